"""`envfix explain`: the text, the machine that goes with it, and what both come to."""

from __future__ import annotations

import re

from msgspec import structs

from envfix.diagnose import catalogue
from envfix.diagnose.document import Document
from envfix.diagnose.explain import document_of, findings, shows_use
from envfix.errors import InputError
from envfix.model.diagnosis import Explained, Finding
from envfix.model.machine import Machine
from envfix.ports import Outside
from envfix.probe import machine_file
from envfix.situation import Parts, Where, situate

STANDARD_INPUT = "-"
THIS = "this"
ALONE = "the text alone; `--machine this` or `--machine FILE` adds a machine's facts"
EMPTY = (
    "nothing: the text is empty. TensorFlow writes its messages to standard error, "
    "which a pipe leaves out: `python train.py 2>&1 | envfix explain -`"
)
HERE = "the text and this machine's facts"
COLLECT = (
    "nvidia-smi",
    "envfix probe",
    'TF_CPP_MIN_LOG_LEVEL=0 TF_CPP_VMODULE=dso_loader=1 python -c "import tensorflow as tf; '
    "print(tf.__version__, tf.config.list_physical_devices('GPU'))\" 2>&1 | envfix explain -",
    "envfix verify",
)
# Whether a GPU that TensorFlow has does the work, only measuring says.
MEASURE = ("envfix verify --deep", "envfix watch")
_PACKAGES = re.compile(r"(/[\w./+@-]{1,200}/(?:site|dist)-packages)/tensorflow/")
_HOST = re.compile(r"(?:information for host: |hostname: |running on this host \()([\w.-]{1,64})")


def explain(parts: Parts, where: Where, log: str | None) -> Explained:
    """What a log says, or this machine's facts without one.

    A log is often another machine's: this one's facts count where it names a path or the host that is here,
    or where `--machine this`, `--python` or `--venv` says so. Raises InputError for an unreadable file.
    """
    known = catalogue.load(parts.outside, parts.matrix_dir)
    if log is None:
        machine = _machine(parts, where)
        return _explained(findings(Document(""), machine, known), machine, "the machine's facts")
    try:
        document = document_of(parts.outside.pieces(None if log == STANDARD_INPUT else log), known)
    except OSError as problem:
        raise InputError(
            f"`{log}` cannot be read: {problem.strerror}", "`envfix explain -` reads standard input"
        ) from None
    here = where.python or where.venv or (not where.machine and _is_from_here(parts.outside, document))
    if not where.machine and not here:
        said = ALONE if document.text.strip() else EMPTY
        return _explained(findings(document, None, known), None, said, used=shows_use(document, known))
    machine = _machine(parts, where)
    judged = HERE if where.machine in (None, THIS) else f"the text and the facts of `{where.machine}`"
    return _explained(findings(document, machine, known), machine, judged, used=shows_use(document, known))


def _explained(
    found: tuple[Finding, ...], machine: Machine | None, judged: str, *, used: bool = False
) -> Explained:
    named = any(not finding.benign for finding in found)
    collect = () if named else MEASURE if used else COLLECT
    return Explained(findings=found, machine=machine, judged_by=judged, collect=collect, gpu_used=used)


def _machine(parts: Parts, where: Where) -> Machine:
    if where.machine and where.machine != THIS:
        return machine_file.load_machine(parts.outside, where.machine, f"{parts.matrix_dir}/machines")
    return situate(parts, structs.replace(where, machine=None)).machine


def _is_from_here(outside: Outside, document: Document) -> bool:
    """Whether the text names TensorFlow's folder or the host of this machine."""
    if any(
        outside.is_dir(f"{path}/tensorflow") for path in dict.fromkeys(_PACKAGES.findall(document.text)[:8])
    ):
        return True
    try:
        host = outside.read_text("/proc/sys/kernel/hostname").strip()
    except OSError:
        return False
    return host in _HOST.findall(document.text)
