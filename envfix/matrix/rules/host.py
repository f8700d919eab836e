"""Rules 1 and 7: whether the machine can install the wheel and its CPU can run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import UNSET

from envfix.matrix.rules.case import Case
from envfix.model.decision import Fit, Verdict
from envfix.model.machine import Arch, Machine, known
from envfix.model.matrix import Release, WheelSet
from envfix.model.versions import PythonRelease

TAGS = "https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/"
# Official wheels use AVX since TensorFlow 1.6.
AVX = "https://www.tensorflow.org/install/pip#hardware-requirements"


def judge_wheel(case: Case) -> Verdict:
    """A CUDA build exists for this OS, architecture, Python and C library."""
    return _judge_wheel(case.release, case.machine, cuda=True)


def judge_any_wheel(case: Case) -> Verdict:
    """As `judge_wheel`, for a build of any kind: that is enough for the CPU."""
    return _judge_wheel(case.release, case.machine, cuda=False)


def judge_cpu(case: Case) -> Verdict:
    """An x86_64 CPU has AVX."""
    arch, flags = case.machine.arch, case.machine.cpu_flags
    if arch is not UNSET and arch is not Arch.X86_64:
        return _verdict("cpu", Fit.YES, "nothing of this architecture", arch.value, AVX)
    if flags is UNSET:
        return _verdict("cpu", Fit.UNKNOWN, "avx", "CPU flags not known", AVX)
    if "avx" in flags:
        return _verdict("cpu", Fit.YES, "avx", "avx", AVX)
    if arch is UNSET:
        return _verdict("cpu", Fit.UNKNOWN, "avx on x86_64", "no avx, architecture not known", AVX)
    return _verdict("cpu", Fit.NO, "avx", "no avx", AVX)


def _judge_wheel(release: Release, machine: Machine, *, cuda: bool) -> Verdict:
    """Keep the wheels that each known fact allows: none left is a no, a missing fact an unknown."""
    left = list(release.wheels)
    unknown: list[str] = []
    for fact, shown, allows, offered in _filters(machine, cuda):
        if shown is None:
            unknown.append(fact)
            continue
        kept = [wheels for wheels in left if allows(wheels)]
        if not kept:
            return _verdict("wheel", Fit.NO, f"{fact} {offered(left)}", shown, TAGS)
        left = kept
    wanted = f"a {'CUDA build' if cuda else 'wheel'} for {_place(left[0])}, {_floors(left[0])}"
    if unknown:
        return _verdict("wheel", Fit.UNKNOWN, wanted, f"{' and '.join(unknown)} not known", TAGS)
    return _verdict("wheel", Fit.YES, wanted, _shown(machine), TAGS)


Filter = tuple[str, str | None, Callable[[WheelSet], bool], Callable[[list[WheelSet]], str]]


def _filters(machine: Machine, cuda: bool) -> list[Filter]:
    """(fact, its value or None, whether a set of wheels allows it, what the sets offer instead)."""
    return [*_system_filters(machine, cuda), *_interpreter_filters(machine)]


def _system_filters(machine: Machine, cuda: bool) -> list[Filter]:
    system, arch = machine.os, machine.arch
    filters: list[Filter] = [
        (
            "OS",
            None if system is UNSET else system.value,
            lambda wheels: wheels.os is system,
            lambda left: _listed({wheels.os.value for wheels in left}),
        ),
        (
            "architecture",
            None if arch is UNSET else arch.value,
            lambda wheels: wheels.arch is arch,
            lambda left: _listed({wheels.arch.value for wheels in left}),
        ),
    ]
    if cuda:
        filters.append(
            (
                "a CUDA build",
                "a CPU build"
                if system is UNSET or arch is UNSET
                else f"a CPU build for {system.value} {arch.value}",
                lambda wheels: wheels.cuda,
                lambda left: f"for {_listed({_place(wheels) for wheels in left})}",
            )
        )
    return filters


def _interpreter_filters(machine: Machine) -> list[Filter]:
    python, glibc = machine.python, machine.glibc
    feature = python.cut(2) if python is not UNSET else None
    filters: list[Filter] = []
    filters.append(
        (
            "Python",
            None if feature is None else str(feature),
            lambda wheels: feature in wheels.python,
            lambda left: pythons_text([release for wheels in left for release in wheels.python]),
        )
    )
    if not _has_no_glibc(machine):
        filters.append(
            (
                "glibc",
                None if glibc is UNSET else str(glibc),
                lambda wheels: wheels.glibc is None or glibc is UNSET or wheels.glibc <= glibc,
                lambda left: ">= " + _listed({str(wheels.glibc) for wheels in left if wheels.glibc}),
            )
        )
    return filters


def _has_no_glibc(machine: Machine) -> bool:
    return machine.os is not UNSET and machine.os.value != "linux"


def _place(wheels: WheelSet) -> str:
    return f"{wheels.os.value} {wheels.arch.value}"


def _floors(wheels: WheelSet) -> str:
    glibc = f", glibc >= {wheels.glibc}" if wheels.glibc else ""
    return f"Python {pythons_text(wheels.python)}{glibc}"


def pythons_text(releases: Iterable[PythonRelease]) -> str:
    """`3.10 to 3.13`, or the only one."""
    ordered = sorted(set(releases))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _shown(machine: Machine) -> str:
    facts = [known(machine.os, None), known(machine.arch, None)]
    words = " ".join(fact.value for fact in facts if fact)
    glibc = "" if machine.glibc is UNSET else f", glibc {machine.glibc}"
    return f"{words}, Python {known(machine.python, '')}{glibc}"


def _listed(words: set[str]) -> str:
    return " or ".join(sorted(words))


def _verdict(rule: str, fit: Fit, wanted: str, found: str, source: str) -> Verdict:
    return Verdict(rule=rule, fit=fit, wanted=wanted, found=found, source=source)
