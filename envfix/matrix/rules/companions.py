"""Rule 8: the companions fit: what TensorFlow requires, what envfix caps, and what `--with` names."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET, Struct
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envfix.matrix.rules.brought import brought_by, caps, lines_on
from envfix.matrix.rules.case import Case
from envfix.matrix.rules.holding import brought_beside, held
from envfix.model.companions import Companion
from envfix.model.decision import Fit, Verdict
from envfix.model.machine import Arch, Os, known
from envfix.model.specifiers import allows, contradict, requirement
from envfix.model.versions import PythonRelease

RULE = "companions"
# Those that old notebooks and other packages quarrel about.
_TELLING = ("keras", "ml-dtypes", "numpy", "protobuf")


class Misfit(Struct, frozen=True, kw_only=True):
    """A requirement of `--with` that the release does not go with.

    `instead` is the requirement that would (None: none is known), `python` those that its wheels are for,
    where the Python is what is wrong. `fit` is unknown where it may be there already.
    """

    asked: Requirement
    fit: Fit = Fit.NO
    wanted: str
    source: str
    instead: str | None = None
    python: tuple[PythonRelease, ...] = ()


def judge_companions(case: Case) -> Verdict:
    """Everything asked for can be in one environment with the release, as far as that is written down.

    What nobody wrote down is left to the resolver, and said so: it is no reason against a release.
    """
    met = held(case, brought_beside(case), RULE)
    if met is not None:
        return met
    wrong = sorted(misfits(case), key=lambda misfit: misfit.fit is not Fit.NO)
    if wrong:
        first = wrong[0]
        found = f"--with {first.asked}"
        return Verdict(rule=RULE, fit=first.fit, wanted=first.wanted, found=found, source=first.source)
    capped = [text for text, _ in caps(case)]
    asked = [_seen(case, one) for one in case.companions]
    found = "; ".join([*asked, *([f"held at {', '.join(capped)}"] if capped else [])])
    return Verdict(
        rule=RULE,
        fit=Fit.YES,
        wanted=_wanted(case),
        found=found or "nothing else is asked for",
        source=f"METADATA of {case.release.package} {case.release.version}",
    )


def misfits(case: Case) -> Iterator[Misfit]:
    """The requirements of `--with` that contradict the release, in their order."""
    for asked in case.companions:
        misfit = _against_release(case, asked) or _against_table(case, asked)
        if misfit is not None:
            yield misfit


def _against_release(case: Case, asked: Requirement) -> Misfit | None:
    """TensorFlow's own requirement, or a cap. NVIDIA's wheels are left out: the resolver weighs them."""
    name = canonicalize_name(asked.name)
    for one in brought_by(case, name) if not name.startswith("nvidia-") else ():
        if contradict(str(asked.specifier), one.specifier):
            instead = f"{name}{one.specifier}"
            told = f"{instead} for {case.release.package} {case.release.version}"
            wanted = one.text if name == case.release.package else told
            return Misfit(asked=asked, wanted=wanted, source=one.source, instead=instead)
    return None


def _against_table(case: Case, asked: Requirement) -> Misfit | None:
    """`companions.yaml`: rows that cover the release tell; where none does nothing is known."""
    covering = covering_rows(case, asked)
    if not covering:
        return None
    allowed = [row for row in covering if not contradict(str(asked.specifier), row.version)]
    newest = (allowed or covering)[-1]
    goes_with = f"{newest.name}{newest.version} with {case.release.package} {case.release.version}"
    if not allowed:
        instead = f"{newest.name}{newest.version}"
        return Misfit(asked=asked, wanted=goes_with, source=newest.source, instead=instead)
    fitting = [row for row in allowed if _has_wheel(case, row)]
    if not fitting:
        pythons = ", ".join(map(str, newest.python))
        return Misfit(
            asked=asked,
            wanted=f"Python {pythons} for {goes_with}",
            source=newest.source,
            python=newest.python,
        )
    return _lacking(case, asked, fitting[-1])


def _lacking(case: Case, asked: Requirement, row: Companion) -> Misfit | None:
    """What the companion imports without declaring it, where nothing brings it."""
    there = {canonicalize_name(one.name) for one in case.companions} | set(known(case.machine.installed, {}))
    missing = [name for name in row.needs if name not in there]
    if not missing or row.extra in asked.extras:
        return None
    return Misfit(
        asked=asked,
        fit=Fit.UNKNOWN if case.machine.installed is UNSET else Fit.NO,
        wanted=f"{' and '.join(missing)} beside it, which {row.name} imports and does not declare",
        source=row.source,
        instead=f"{row.name}[{row.extra}]{asked.specifier}",
    )


def covering_rows(case: Case, asked: Requirement) -> list[Companion]:
    """The rows of `companions.yaml` for the package that go with the release, ascending."""
    name, version = canonicalize_name(asked.name), str(case.release.version)
    return [row for row in case.matrix.companions if row.name == name and allows(row.tensorflow, version)]


def _has_wheel(case: Case, row: Companion) -> bool:
    """The table speaks of Linux on x86_64; elsewhere, and for an unknown Python, it says nothing."""
    machine = case.machine
    if not row.python or machine.os is not Os.LINUX or machine.arch is not Arch.X86_64:
        return True
    return machine.python is UNSET or machine.python.cut(2) in row.python


def _seen(case: Case, asked: Requirement) -> str:
    told = any(brought_by(case, canonicalize_name(asked.name))) or covering_rows(case, asked)
    return f"{asked} fits" if told else f"{asked} is left to the resolver"


def _wanted(case: Case) -> str:
    """What TensorFlow itself requires of the packages that most often do not fit."""
    words = []
    for name in _TELLING:
        for line in lines_on(case, name):
            parsed = requirement(line)
            if parsed is not None and parsed.specifier:
                words.append(f"{name}{parsed.specifier}")
    return ", ".join(words) or "companions of any version"
