"""Where a command works: the interpreter it is about, the machine it decides for, the pip configuration."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import UNSET, Struct, structs

from envfix.aside import Aside
from envfix.errors import InputError
from envfix.model.machine import Gpu, Machine, Outcome, known
from envfix.model.matrix import Matrix
from envfix.model.request import Accelerator, ResolverName
from envfix.model.target import Caller, Distribution, PipConfig, Target
from envfix.model.versions import PythonRelease
from envfix.ports import Attester, Index, Outside, Resolver
from envfix.probe import interpreter, machine_file, survey
from envfix.resolve import pip_config


class Parts(Struct, frozen=True, kw_only=True):
    """The real parts that the command line builds, or a test's; `caller` is who asked from within Python."""

    outside: Outside
    matrix_dir: str
    index: Callable[[PipConfig], Index]
    resolver: Callable[[ResolverName, PipConfig], Resolver]
    caller: Caller | None = None
    attester: Callable[[], Attester | None] = lambda: None


class Where(Struct, frozen=True, kw_only=True):
    """`--python`, `--venv` and `--machine` as given, and the command that they were given to."""

    python: str | None = None
    venv: str | None = None
    machine: str | None = None
    command: str = "install"

    @property
    def again(self) -> tuple[str, ...]:
        """The command line up to what is asked for, such as `envfix lock --machine colab-t4`."""
        given = {"--machine": self.machine, "--python": self.python, "--venv": self.venv}
        words = [word for option, value in given.items() if value for word in (option, value)]
        return ("envfix", self.command, *words)

    def verify_command(self, python: str, accelerator: Accelerator) -> str:
        """The command line that verifies `python` for the same machine, to be pasted into a shell."""
        words = ["envfix", "verify", "--python", python]
        words += ["--machine", self.machine] if self.machine else []
        words += ["--accelerator", "cpu"] if accelerator is Accelerator.CPU else []
        return shlex.join(words)

    def install_command(self, accelerator: Accelerator, machine: Machine) -> str:
        """The command line that puts right what these options name, to be pasted into a shell; on a machine
        without a GPU one that does not ask for it."""
        if accelerator is Accelerator.GPU and machine.has_no_gpu:
            accelerator = Accelerator.AUTO
        words = ["envfix", "install"]
        words += ["--venv", self.venv] if self.venv else ["--python", self.python] if self.python else []
        words += ["--machine", self.machine] if self.machine else []
        words += ["--accelerator", accelerator.value] if accelerator is not Accelerator.GPU else []
        return shlex.join(words)


class Situation(Struct, frozen=True, kw_only=True):
    """`target` is the interpreter (of a `--venv` that is still to be made: the one it is made with).

    `named` says that the machine is one that was named, not the one envfix runs on, `machine_option` how.
    `moved` says it where the machine's system is not the one decided for.
    `beside` are the packages that ask for NVIDIA wheels themselves, with these requirements: those that
    `--with` brings and those that are installed and stay. `again` begins the command line of a hint.
    """

    target: Target
    machine: Machine
    named: bool
    new_venv: bool = False
    beside: tuple[Distribution, ...] = ()
    machine_option: str = ""
    moved: str = ""
    again: tuple[str, ...] = ("envfix", "install")

    @property
    def to_install(self) -> tuple[str, ...]:
        """The command line that installs there, up to what is asked for."""
        return ("envfix", "install", *self.again[2:])

    @property
    def distributions(self) -> tuple[Distribution, ...] | None:
        """What is installed, None where that is not known."""
        known_of = self.target.installed or self.machine.installed is not UNSET
        return self.target.installed if known_of else None

    def lock_command(self, options: Iterable[str]) -> str:
        """The command line that makes a lock anew for the same machine, with these options."""
        return shlex.join(["envfix", "lock", *self.again[2:], *options])

    @property
    def brought(self) -> tuple[Distribution, ...]:
        """Those of `beside` that are still to be installed."""
        there = {(dist.name, dist.version) for dist in self.target.installed}
        return tuple(dist for dist in self.beside if (dist.name, dist.version) not in there)

    @property
    def site_packages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.target.purelib, self.target.platlib)))


def situate(
    parts: Parts,
    where: Where,
    matrix: Matrix | None = None,
    *,
    to_install: bool = False,
    anew: bool = False,
) -> Situation:
    """Read the target and the machine. Raises InputError for an interpreter or machine file that is none.

    When something is to be installed, or an interpreter was named, the Python, C library and operating system
    are those of the interpreter that is really there; else a named machine's are the machine's own.
    `anew` says that the environment is made anew, whatever is there.
    """
    if where.machine is None:
        target, machine, new_venv = _here(parts.outside, where, anew)
        machine = _with_capabilities(machine, matrix)
        return Situation(target=target, machine=machine, named=False, new_venv=new_venv, again=where.again)
    directory = f"{parts.matrix_dir}/machines"
    # Read while the interpreter answers.
    reading = Aside.begun(partial(machine_file.load_machine, parts.outside, where.machine, directory))
    target, new_venv = _target(parts.outside, where, anew)
    named = reading.result()
    named = _with_capabilities(named, matrix)
    moved = ""
    if to_install or where.python or where.venv:
        machine, moved = _moved_into(named, target), _said_to_move(where.machine, named, target)
    else:
        target = _target_like(named, target)
        machine = named if named.python is not UNSET else structs.replace(named, python=target.feature)
    return Situation(
        target=target,
        machine=machine,
        named=True,
        new_venv=new_venv,
        machine_option=where.machine,
        moved=moved,
        again=where.again,
    )


def complete(here: Situation, matrix: Matrix) -> Situation:
    """The situation with what only the matrix can add to the machine."""
    return structs.replace(here, machine=_with_capabilities(here.machine, matrix))


def config_of(parts: Parts, target: Target) -> PipConfig:
    """The user's pip configuration as it holds for the target."""
    return pip_config.read_pip_config(parts.outside, target.prefix if target.virtual else None)


def _here(outside: Outside, where: Where, anew: bool) -> tuple[Target, Machine, bool]:
    """The target, this machine, and whether the environment is still to be made.

    The interpreter that runs envfix is read beside the machine: it needs nothing that the user has named.
    """
    target, new_venv = None, False
    if where.python is not None or where.venv is not None:
        target, new_venv = _target(outside, where, anew)
    machine, target = survey.survey_with_target(outside, target)
    # One that is slower than a fact may be has more time here, and says why it does not answer.
    return target or _target(outside, where, anew)[0], machine, new_venv


def _target(outside: Outside, where: Where, anew: bool) -> tuple[Target, bool]:
    if where.venv is None:
        return interpreter.read_target(outside, where.python or interpreter.running_python()), False
    inside = None if anew else venv_python(outside, where.venv)
    if inside:
        return interpreter.read_target(outside, inside), False
    base = interpreter.read_target(outside, where.python or interpreter.running_python())
    # A new environment is empty and belongs to nobody else, whatever it is made with.
    return structs.replace(base, installed=(), virtual=True, externally_managed=""), True


def venv_python(outside: Outside, folder: str) -> str | None:
    """The interpreter of an existing virtual environment, None where the folder is not one."""
    for name in ("bin/python", "Scripts/python.exe"):
        if outside.exists(f"{folder}/{name}"):
            return f"{folder}/{name}"
    if outside.exists(folder) and not outside.is_dir(folder):
        raise InputError(f"`{folder}` is a file, not a virtual environment", "name a folder: --venv demo")
    return None


def _moved_into(named: Machine, target: Target) -> Machine:
    """The named machine's driver, GPUs, CPU and platform around the interpreter that is really there.

    Its toolkit and cuDNN are not here, so nothing may count on them.
    """
    return structs.replace(
        named,
        os=target.os,
        arch=known(named.arch, target.arch),
        glibc=target.glibc if target.glibc else UNSET,
        python=target.feature,
        installed={dist.name: dist.version for dist in target.installed},
        toolkit=None,
        cudnn=None,
    )


def _said_to_move(name: str, named: Machine, target: Target) -> str:
    system = known(named.os, target.os)
    if system is target.os:
        return ""
    return (
        f"`{name}` runs {system.value}; decided for the interpreter that is here: {target.os.value}, "
        f"Python {target.feature}"
    )


def _target_like(machine: Machine, base: Target) -> Target:
    """What an interpreter on the machine would say of itself, for a dry run; `base` where it is silent."""
    installed = known(machine.installed, {})
    feature = known(machine.python, base.feature)
    python = base.python if feature == base.feature else PythonRelease(f"{feature}.0")
    return structs.replace(
        base,
        executable=base.executable if feature == base.feature else "",
        python=python,
        os=known(machine.os, base.os),
        arch=known(machine.arch, base.arch),
        glibc=known(machine.glibc, base.glibc),
        externally_managed="",
        installed=interpreter.distributions(installed),
    )


def _with_capabilities(machine: Machine, matrix: Matrix | None) -> Machine:
    """The machine with compute capabilities that only the GPU's name tells (`gpus.yaml`)."""
    gpus = known(machine.gpus, ())
    if matrix is None or all(gpu.compute_capability is not UNSET for gpu in gpus):
        return machine
    table = {row.name.lower(): row.compute_capability for row in matrix.gpus.gpus}
    completed = []
    for gpu in gpus:
        name = known(gpu.name, "").lower()
        matches = [key for key in table if key in name]
        if gpu.compute_capability is UNSET and matches:
            gpu = structs.replace(gpu, compute_capability=table[max(matches, key=len)])
        completed.append(gpu)
    return structs.replace(machine, gpus=tuple(completed))


def visible_gpus(machine: Machine) -> tuple[Gpu, ...]:
    """The machine's GPUs, empty where there is none or nothing is known."""
    return known(machine.gpus, ())


def searched(machine: Machine) -> tuple[str, ...]:
    """The sources that were asked for a driver or a GPU and had none, for the sentence that says so."""
    pieces = known(machine.evidence, ())
    return tuple(
        dict.fromkeys(
            piece.source
            for piece in pieces
            if piece.outcome is Outcome.ABSENT and piece.fact.split(".")[0] in ("driver", "gpus")
        )
    )
