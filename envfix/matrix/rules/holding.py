"""Where what a package needs of NVIDIA's wheels meets what TensorFlow, or a third one, needs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from envfix.matrix.rules.brought import brought_by
from envfix.matrix.rules.case import Case
from envfix.model.decision import Fit, Verdict
from envfix.model.machine import known
from envfix.model.specifiers import contradict, name_in, requirement
from envfix.model.target import Distribution
from envfix.nvidia.beside import Ask, asks_of, other_majors


class Meeting(Struct, frozen=True, kw_only=True):
    """Two requirements that no version of an NVIDIA wheel satisfies: `ask`, and a sentence with the other."""

    ask: Ask
    other: str


def installed_beside(case: Case) -> tuple[Distribution, ...]:
    """Of the packages that ask for NVIDIA's wheels too those that are installed already, and stay."""
    there = known(case.machine.installed, {})
    return tuple(dist for dist in case.beside if there.get(dist.name) == dist.version)


def brought_beside(case: Case) -> tuple[Distribution, ...]:
    """Those that `--with` brings."""
    there = installed_beside(case)
    return tuple(dist for dist in case.beside if dist not in there)


def meetings(case: Case, holders: Sequence[Distribution]) -> list[Meeting]:
    """Everything that a holder needs and TensorFlow cannot have beside the others.

    cuDNN is the first: of all of them it is the one that decides most often.
    """
    against = [(ask, next(_against(case, ask), None)) for ask in asks_of(holders)]
    found = [Meeting(ask=ask, other=other) for ask, other in against if other is not None]
    return sorted(found, key=lambda one: "cudnn" not in one.ask.name)


def held(case: Case, holders: Sequence[Distribution], rule: str) -> Verdict | None:
    """The rule's no with both requirements of the first meeting; None where there is none."""
    found = meetings(case, holders)
    if not found:
        return None
    first = found[0]
    more = len({one.ask.name for one in found} - {first.ask.name})
    return Verdict(
        rule=rule,
        fit=Fit.NO,
        wanted=first.ask.text,
        found=first.other + (f" (and they meet on {more} more)" if more else ""),
        source=f"METADATA of {first.ask.holder}",
    )


def _against(case: Case, ask: Ask) -> Iterator[str]:
    """The other side, in words, of each contradiction with the ask."""
    release = case.release
    tensorflow = f"{release.package} {release.version}"
    major = release.built_with_cuda.major if release.built_with_cuda and case.libraries.pins else None
    if major is not None and ask.name in other_majors(major):
        ours = f"{ask.name.rpartition('-cu')[0]}-cu{major}"
        yield f"{tensorflow} needs {ours}, whose files have the same names"
    for one in brought_by(case, ask.name):
        if contradict(ask.specifier, one.specifier):
            # Its own range says it better than the one version of it that would be taken. A pin is a floor
            # here: beside a package that asks for a newer one of the same major, that is taken.
            own = [text.replace("==", ">=") for text in release.and_cuda if name_in(text) == ask.name]
            told = [text for text in own if _contradicts(ask.specifier, text)]
            yield f"{tensorflow} needs {told[0]}" if told else one.text
    for other in asks_of(case.beside):
        if other.name == ask.name and contradict(ask.specifier, other.specifier):
            yield other.text


def _contradicts(specifier: str, line: str) -> bool:
    parsed = requirement(line)
    return parsed is not None and contradict(specifier, str(parsed.specifier))
