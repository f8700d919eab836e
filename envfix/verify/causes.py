"""The cause of a failed check and what to do, from the environment and not from TensorFlow's log alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from envfix.model.machine import Machine
from envfix.model.outcome import Check, Status
from envfix.model.surroundings import Surroundings
from envfix.model.usage import GpuProcess, GpuUsage
from envfix.model.versions import CudnnRelease
from envfix.ports import Outside
from envfix.verify import driver_library, libraries
from envfix.verify.driver_library import LIBRARY
from envfix.verify.libraries import Why
from envfix.verify.transcript import Transcript

# Distributions that bring the `tensorflow` package without GPU code (on Linux x86_64).
CPU_BUILDS = (
    "tensorflow-cpu",
    "intel-tensorflow",
    "tensorflow-intel",
    "tensorflow-cpu-aws",
    "tensorflow-macos",
)
GPU_BUILDS = ("tensorflow", "tensorflow-gpu", "tf-nightly")
NAMED = 3  # libraries that are worth a sentence each
# cuBLAS and cuDNN say this where they cannot have the memory that they need.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OOM when allocating|failed to allocate|RESOURCE_EXHAUSTED|ResourceExhausted|"
    r"CU(?:BLAS|DNN|SOLVER|SPARSE)_STATUS_(?:NOT_INITIALIZED|ALLOC_FAILED|INTERNAL_ERROR)|"
    r"busy or unavailable",
    re.I,
)
SCARCE = 0.25  # of a GPU's memory: what others may hold before it is a cause
LONGEST = 80  # characters of a command line
SMALL = 0.02  # of a GPU's memory: a process that holds less (a desktop) is not named


class Case:
    """One failed verification, and everything that its causes are sought in."""

    def __init__(
        self, outside: Outside, heard: Transcript, machine: Machine, about: Surroundings, stub: str | None
    ) -> None:
        self.outside, self.heard, self.machine, self.about, self.stub = outside, heard, machine, about, stub

    def explained(self, check: Check) -> Check:
        """The check with the cause that the environment shows; as it was where it shows none."""
        if check.status is not Status.FAILED:
            return check
        why = CAUSES.get(check.name, _of_operation)(self) or _of_words(self, check)
        if why is None:
            return check
        return structs.replace(check, cause=why.cause, hint=why.hint or check.hint)

    @property
    def gpus_seen(self) -> Sequence[Mapping[str, Any]]:
        """The GPUs that TensorFlow listed: `name`, `model` and `compute_capability` of each."""
        return list(self.heard.answer.get("done", {}).get("devices", {}).get("gpus", ()))


def _of_build(case: Case) -> Why | None:
    done = case.heard.answer.get("done", {}).get("import", {})
    error = done.get("error", "")
    if re.match(r"ModuleNotFoundError: No module named 'tensorflow'$", error):
        where = case.about.target.executable if case.about.target else "this interpreter"
        return Why(f"tensorflow is not installed in `{where}`", libraries.running(case.about.repair))
    lost = re.match(r"ImportError: (lib(?:cu|nv|nccl)\S+?): (.*)", error)
    if lost:
        return libraries.why_not_opened(
            case.outside, case.heard, case.about.target, lost[1], error.partition(": ")[2], case.about.repair
        )
    if done and not error:
        return _cpu_build(case)
    return None


def _cpu_build(case: Case) -> Why:
    installed = case.about.target.installed if case.about.target else ()
    cpu = [f"{dist.name} {dist.version}" for dist in installed if dist.name in CPU_BUILDS]
    gpu = [f"{dist.name} {dist.version}" for dist in installed if dist.name in GPU_BUILDS]
    cause = "this wheel holds no GPU code"
    if cpu and gpu:
        cause = f"{cpu[0]}, which holds no GPU code, is installed over {gpu[0]}: both bring `tensorflow/`"
    elif cpu:
        cause = f"{cpu[0]} is installed, which holds no GPU code"
    return Why(cause, libraries.running(case.about.repair))


def _of_libraries(case: Case) -> Why | None:
    if LIBRARY not in case.heard.answer.get("libraries", {}):
        return driver_library.why_not_opened(case.outside, case.heard, case.machine, case.about)
    found = [
        libraries.why_not_opened(
            case.outside, case.heard, case.about.target, soname, reason, case.about.repair
        )
        for soname, reason in case.heard.not_opened.items()
        if not case.gpus_seen
    ]
    if not found:
        return _of_cudnn(case)
    more = [f"and {len(found) - NAMED} more"] * (len(found) > NAMED)
    hints = dict.fromkeys(why.hint for why in found if why.hint)
    return Why("; ".join([why.cause for why in found[:NAMED]] + more), "; then ".join(hints))


def _of_visible(case: Case) -> Why | None:
    if LIBRARY not in case.heard.answer.get("libraries", {}):
        return driver_library.why_not_opened(case.outside, case.heard, case.machine, case.about)
    if not case.gpus_seen:
        why = driver_library.why_no_device(case.outside, case.heard, case.machine, case.about, case.stub)
        if why is not None:
            return why
        if case.heard.not_opened and not case.heard.cuinit:
            lost = _of_libraries(case)
            names = ", ".join(case.heard.not_opened)
            hint = lost.hint if lost else ""
            return Why(f"TensorFlow gives up the GPU when one library is missing: {names}", hint)
    return None


def _of_words(case: Case, check: Check) -> Why | None:
    """What the catalogue of failures makes of TensorFlow's words, where the environment tells nothing."""
    finding = case.about.finding
    spoken = check.name in ("build", "device visible") or check.observed.startswith("raised")
    if finding is None or not spoken:
        return None
    fix = "; ".join(finding.fix)
    # Packages that do not fit each other are envfix's to put right, before anything is tried by hand.
    first = libraries.running(case.about.repair) if check.name == "build" else ""
    return Why(f"{check.cause}: {finding.explanation}", f"{first}, or: {fix}" if first else fix)


def _of_operation(case: Case) -> Why | None:
    """Memory that others hold, then another copy of a library than the environment's own."""
    said = case.heard.stderr + str(case.heard.answer.get("done", {}))
    held = held_memory(case.outside, case.about) if _OUT_OF_MEMORY.search(said) else None
    if held is not None:
        return held
    shadows = libraries.shadowed(case.outside, case.heard, case.about.target)
    if not shadows:
        return None
    return shadow(case, *shadows[0])


def shadow(case: Case, path: str, own: libraries.Copy) -> Why:
    """Which copy won, why, and how the environment's own gets its turn."""
    cause = (
        f"`{path}` ({libraries.why_that_one(case.heard, path)}) is used, and not `{own.path}` ({own.owner})"
    )
    return Why(cause, libraries.out_of_the_way(case.outside, case.heard, case.about.target, path))


def held_memory(outside: Outside, about: Surroundings) -> Why | None:
    """Who holds the memory of the GPU of which least is free; None where nobody else holds much."""
    shares = {gpu.index: (gpu.used_mib or 0) / gpu.total_mib for gpu in about.gpus if gpu.total_mib}
    fullest = max(shares, key=lambda index: shares[index], default=None)
    gpu = next((one for one in about.gpus if one.index == fullest), None)
    if gpu is None or shares[gpu.index] < SCARCE:
        return None
    name = f"GPU {gpu.index}" + (f" ({gpu.name})" if gpu.name else "")
    return _holders(
        outside, about, gpu, f"{gpu.used_mib} of {gpu.total_mib} MiB of {name} are held by others"
    )


def _holders(outside: Outside, about: Surroundings, gpu: GpuUsage, cause: str) -> Why:
    kernel = about.kernel.pid if about.kernel else None
    least = SMALL * (gpu.total_mib or 0)
    large = [one for one in gpu.processes or () if one.used_mib is None or one.used_mib >= least]
    named, hints = [], []
    for one in sorted(large, key=lambda one: -(one.used_mib or 0)):
        size = f"{one.used_mib} MiB, " if one.used_mib is not None else ""
        what = "this notebook's kernel" if one.pid == kernel else _command(outside, one)
        named.append(f"process {one.pid} ({size}{what})")
        if one.name is not None or one.pid == kernel:  # what has no name here cannot be ended from here
            hints.append("restart the notebook's kernel" if one.pid == kernel else f"`kill {one.pid}`")
    if not named:
        return Why(
            f"{cause}, by processes that cannot be seen from here (another container's)", "end them there"
        )
    return Why(
        f"{cause}: {', '.join(named)}", f"end what is not needed: {', '.join(hints[:NAMED])}" if hints else ""
    )


def _command(outside: Outside, process: GpuProcess) -> str:
    """The command line, where the process is one of this system, else what NVML's number stands for."""
    if process.name is None:
        return "not of this system: another container's, or the host's"
    try:
        words = outside.read_text(f"/proc/{process.pid}/cmdline").replace("\0", " ").strip()
    except OSError:
        words = ""
    return words[:LONGEST] or process.name


def old_cudnn(heard: Transcript, compiled: CudnnRelease | None) -> str:
    """What is wrong with the loaded cuDNN for a wheel that was compiled against `compiled`; empty if nothing.

    TensorFlow wants the same major, and no older minor (`cuda_dnn.cc`: "Loaded runtime CuDNN library: ... but
    source was compiled with: ...").
    """
    text = heard.answer.get("cudnn", "")
    if not text or compiled is None:
        return ""
    loaded = CudnnRelease(text)
    if loaded.major == compiled.major and (loaded.major, loaded.minor) >= (compiled.major, compiled.minor):
        return ""
    return f"cuDNN {loaded} is loaded, and this TensorFlow was compiled against {compiled}"


def _of_cudnn(case: Case) -> Why | None:
    """Where the cuDNN that does not fit comes from: in front of the right one, or pinned by torch."""
    loaded = case.heard.answer.get("libraries", {})
    path = next((path for name, path in loaded.items() if name.startswith("libcudnn.so.")), None)
    if path is None:
        return None
    for other, own in libraries.shadowed(case.outside, case.heard, case.about.target):
        if other == path:
            return shadow(case, path, own)
    for dist in case.about.target.installed if case.about.target else ():
        pin = next(
            (line.partition(";")[0].strip() for line in dist.requires if line.startswith("nvidia-cudnn")), ""
        )
        if dist.name == "torch" and pin:
            cause = f"`{path}` is what torch {dist.version} asks for (`{pin}`), and both use the same folder"
            return Why(cause, libraries.running(case.about.repair and f"{case.about.repair} --with torch"))
    where = libraries.why_that_one(case.heard, path)
    return Why(f"`{path}` ({where}) does not fit this TensorFlow", libraries.running(case.about.repair))


CAUSES = {
    "build": _of_build,
    "libraries": _of_libraries,
    "device visible": _of_visible,
}
