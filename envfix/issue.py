"""`envfix report --for-issue`: what whoever reads an issue asks for first, and what of it is private."""

from __future__ import annotations

import re
from collections.abc import Iterator

from envfix import __version__
from envfix.deciding import ranked
from envfix.errors import InputError
from envfix.matrix import load
from envfix.model.decision import Fit
from envfix.model.machine import known
from envfix.model.matrix import Matrix
from envfix.model.outcome import Verification
from envfix.model.private import Private
from envfix.model.request import ANY, Accelerator, Request
from envfix.model.results import IssueFacts
from envfix.ports import Outside
from envfix.probe import nvidia_smi
from envfix.probe.evidence import how_it_ended, read_file
from envfix.proving import run_checks
from envfix.situation import Parts, Situation, Where, situate

TIMEOUT = 180.0  # seconds for TensorFlow to start and run its checks
# What TensorFlow needs, what it is used with, and what shares its libraries.
RELEVANT = re.compile(
    r"^(?:tensorflow.*|tf-.*|keras.*|tensorboard.*|tensorrt.*|nvidia-.*|cuda-.*|cupy.*|torch.*|triton|jax.*|"
    r"numpy|scipy|h5py|protobuf|grpcio|ml-dtypes|absl-py|flatbuffers|gast|libclang|opt-einsum|wrapt|"
    r"typing-extensions|setuptools|wheel|pip|uv|envfix.*|ipykernel|jupyterlab|notebook)$"
)
USERS = (
    "USER", "LOGNAME", "USERNAME", "SUDO_USER", "JUPYTERHUB_USER", "NB_USER", "KAGGLE_USERNAME",
    "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME",
)  # fmt: skip
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|KEY|APIKEY|AUTH|COOKIE|DSN)(?:_|$)",
    re.I,
)
_USERINFO = re.compile(r"://([^/\s@]+)@")


def collect(parts: Parts, where: Where, accelerator: Accelerator) -> IssueFacts:
    """Everything, read now; the checks run in a fresh process.

    Raises InputError for a `--venv` that is none.
    """
    matrix = load.load(parts.outside, parts.matrix_dir)
    here = situate(parts, where, matrix)
    if here.new_venv:
        raise InputError(f"`{where.venv}` is no virtual environment", "leave `--venv` out")
    if accelerator is Accelerator.AUTO:
        accelerator = Accelerator.CPU if here.machine.has_no_gpu else Accelerator.GPU
    python, repair = here.target.executable, where.install_command(accelerator, here.machine)
    done = run_checks(parts, here, matrix, python, accelerator, TIMEOUT, None, repair)
    return IssueFacts(
        envfix=__version__,
        matrix_date=matrix.date,
        machine=here.machine,
        python=_python(here),
        system=tuple(_system(parts.outside, here)),
        packages=tuple(
            (dist.name, dist.version) for dist in here.target.installed if RELEVANT.match(dist.name)
        ),
        verification=done,
        nvidia_smi=_nvidia_smi(parts.outside),
        verdicts=_verdicts(here, matrix, accelerator, done),
        private=private_of(parts.outside, here),
    )


def _python(here: Situation) -> str:
    target = here.target
    kind = "a virtual environment" if target.virtual else "not a virtual environment"
    managed = ", externally managed (PEP 668)" if target.externally_managed else ""
    return f"{target.implementation} {target.python} ({kind}{managed}), {target.executable}"


def _system(outside: Outside, here: Situation) -> Iterator[tuple[str, str]]:
    release = read_file(outside, "/etc/os-release", 4096).text
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.M)
    if name:
        yield "system", name[1]
    kernel = read_file(outside, "/proc/sys/kernel/osrelease", 256).text.strip()
    if kernel:
        yield "kernel", kernel
    container = here.machine.saw("container")
    yield "container", container.detail if container else "no"
    yield "WSL", "yes" if known(here.machine.wsl, False) else "no"


def _nvidia_smi(outside: Outside) -> str:
    program = nvidia_smi.find_nvidia_smi(outside)
    if program is None:
        return "no nvidia-smi on PATH"
    ran = outside.run([program], timeout=15)
    return ran.out.strip() if ran.ok else how_it_ended(ran)


def _verdicts(
    here: Situation, matrix: Matrix, accelerator: Accelerator, done: Verification
) -> tuple[str, ...]:
    """What the matrix says of the TensorFlow that is installed: the rules that are not yes."""
    decision = ranked(here, matrix, Request(tf=ANY, accelerator=accelerator))
    found = [one for one in decision.candidates if str(one.version) == done.tensorflow]
    if not found:
        return (f"the matrix does not know tensorflow {done.tensorflow}",) if done.tensorflow else ()
    return tuple(
        f"{verdict.rule}: {verdict.reason}" for verdict in found[0].verdicts if verdict.fit is not Fit.YES
    ) or (f"every rule is yes for tensorflow {done.tensorflow}",)


def private_of(outside: Outside, here: Situation) -> Private:
    """The names, folders and secrets of this session, from its variables and the system's own files."""
    environ = outside.environ
    homes = [environ.get(name, "") for name in ("HOME", "USERPROFILE")]
    accounts = [line.split(":") for line in read_file(outside, "/etc/passwd").text.splitlines()]
    people = [
        fields for fields in accounts if len(fields) > 5 and fields[5].startswith(("/home/", "/Users/"))
    ]
    users = [environ.get(name, "") for name in USERS]
    users += [re.split(r"[/\\]", home.rstrip("/\\"))[-1] for home in homes]
    users += [fields[0] for fields in people]
    # The field for comments begins with the person's own name.
    users += [fields[4].partition(",")[0] for fields in people]
    hosts = [environ.get(name, "") for name in ("HOSTNAME", "HOST", "COMPUTERNAME")]
    hosts += [read_file(outside, path, 256).text for path in ("/proc/sys/kernel/hostname", "/etc/hostname")]
    hosts = [host.strip() for host in hosts]
    folders = [environ.get(name, "") for name in ("PWD", "OLDPWD", "VIRTUAL_ENV", "CONDA_PREFIX", "TMPDIR")]
    secrets = [value for name, value in environ.items() if _SECRET_NAME.search(name)]
    secrets += [
        part for value in environ.values() for user in _USERINFO.findall(value) for part in user.split(":")
    ]
    return Private(
        users=_some(users),
        hosts=_some([*hosts, *(host.partition(".")[0] for host in hosts)]),
        folders=_some([*homes, *folders, *(fields[5] for fields in people), here.target.prefix]),
        secrets=_some([*secrets, *(line for value in secrets for line in value.splitlines())]),
    )


def _some(values: list[str]) -> tuple[str, ...]:
    """Without what is empty and what is there twice."""
    return tuple(dict.fromkeys(value for value in values if value.strip()))
