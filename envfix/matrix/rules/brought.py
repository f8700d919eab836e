"""What a release brings of another package: its requirements, envfix's caps, and the NVIDIA wheels."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from envfix.matrix.rules.case import Case
from envfix.matrix.rules.match import Match, matches
from envfix.model.markers import counts
from envfix.model.matrix import Effect, KnownBad
from envfix.model.specifiers import name_in, requirement


class Brought(Struct, frozen=True, kw_only=True):
    """The versions of a package that go with a release, and a sentence and a source that say so."""

    specifier: str
    text: str
    source: str


def brought_by(case: Case, name: str) -> Iterator[Brought]:
    """Everything that narrows the package with the normalised name, nothing where it is free."""
    release = case.release
    tensorflow, metadata = f"{release.package} {release.version}", _metadata(case)
    if name == release.package:
        yield Brought(specifier=f"=={release.version}", text=tensorflow, source=metadata)
    for pin in case.libraries.pins:
        if pin.name == name:
            text = f"{tensorflow} gets {name}=={pin.version}"
            yield Brought(specifier=f"=={pin.version}", text=text, source=pin.because)
    for line in lines_on(case, name):
        parsed = requirement(line)
        if parsed is not None and parsed.specifier:
            text = f"{tensorflow} needs {name}{parsed.specifier}"
            yield Brought(specifier=str(parsed.specifier), text=text, source=metadata)
    for text, row in caps(case):
        if name_in(text) == name:
            parsed = requirement(text)
            specifier = str(parsed.specifier) if parsed else ""
            yield Brought(
                specifier=specifier, text=f"{tensorflow} works with {name}{specifier}", source=row.source
            )


def lines_on(case: Case, name: str) -> Iterator[str]:
    """The release's requirements on a package that count on the machine, as far as that is known."""
    for line in case.release.requires:
        if name_in(line) == name and (";" not in line or counts(line, case.machine)):
            yield line


def caps(case: Case) -> Iterator[tuple[str, KnownBad]]:
    """The caps that envfix adds for the release (`known_bad.yaml`), each with its row."""
    for row in case.matrix.known_bad:
        if row.effect is Effect.CAPS and matches(row, case.release, case.machine) is not Match.NO:
            yield from ((text, row) for text in row.requirements)


def _metadata(case: Case) -> str:
    return f"METADATA of {case.release.package} {case.release.version}"
