"""Loader proofs: which pins one was made with, which are still to be made, and the table of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import structs
from packaging.version import Version

from envfix.errors import MatrixError
from envfix.model.machine import Arch, Os
from envfix.model.matrix import LoaderProof, Release
from envfix.model.versions import PythonRelease

BEGIN = "<!-- proofs: written by scripts/prove_matrix.py -->"
END = "<!-- end of proofs -->"
FIRST_PROVEN = Version("2.8")
# The newest releases are proven on every Python they have, the others on one.
ON_ALL_PYTHONS = 3
_HEADER = (
    "| release | Python | as published | with envfix | missing as published | date |",
    "|---|---|---|---|---|---|",
)
_WORDS = {True: "registers", False: "**no GPU**", None: "not measured"}


def pins_digest(pins: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the lines `name==version` of the whole environment, sorted, each closed by a newline."""
    lines = sorted(f"{name}=={version}\n" for name, version in pins)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pythons_of(release: Release) -> tuple[PythonRelease, ...]:
    """The Pythons that the release has a CUDA build for on Linux x86_64, ascending."""
    found = {
        python
        for wheels in release.wheels
        if wheels.cuda and (wheels.os, wheels.arch) == (Os.LINUX, Arch.X86_64)
        for python in wheels.python
    }
    return tuple(sorted(found))


def to_prove(
    releases: Sequence[Release], pythons: Iterable[PythonRelease]
) -> tuple[tuple[Release, PythonRelease], ...]:
    """Every stable release from 2.8 on, newest first: the newest three on all of `pythons` that they have,
    the others on the newest of them. A release that has none of these Pythons is left out."""
    given = set(pythons)
    stable = [row for row in releases if row.version >= FIRST_PROVEN and not row.version.is_prerelease]
    pairs: list[tuple[Release, PythonRelease]] = []
    for place, row in enumerate(sorted(stable, key=lambda row: row.version, reverse=True)):
        shared = [python for python in reversed(pythons_of(row)) if python in given]
        pairs += [(row, python) for python in (shared if place < ON_ALL_PYTHONS else shared[:1])]
    return tuple(pairs)


def is_proven(release: Release, python: PythonRelease, pins: str) -> bool:
    """Whether there is a proof of just these pins, whatever it came to."""
    return any(proof.python == python and proof.pins == pins for proof in release.proofs)


def with_proof(
    releases: Iterable[Release], package: str, version: Version, proof: LoaderProof
) -> tuple[Release, ...]:
    """The rows with the proof in its place, instead of an older one for the same Python."""
    rows = []
    for row in releases:
        if (row.package, row.version) == (package, version):
            others = [old for old in row.proofs if old.python != proof.python]
            proofs = sorted((*others, proof), key=lambda one: one.python)
            row = structs.replace(row, proofs=tuple(proofs))
        rows.append(row)
    return tuple(rows)


def table(releases: Iterable[Release]) -> str:
    """The proofs as a Markdown table, the newest release first."""
    lines = list(_HEADER)
    for row in sorted(releases, key=lambda row: (row.package, row.version), reverse=True):
        name = str(row.version) if row.package == "tensorflow" else f"{row.package} {row.version}"
        lines += [_line(name, proof) for proof in row.proofs]
    return "\n".join(lines)


def _line(name: str, proof: LoaderProof) -> str:
    missing = _missing(proof.missing_as_published)
    left = proof.missing_with_envfix
    if left:
        missing += f"; with envfix still {_missing(left)}"
    cells = (
        name,
        str(proof.python),
        _WORDS[proof.registers_as_published],
        _WORDS[proof.registers_with_envfix],
        missing,
        proof.date,
    )
    return f"| {' | '.join(cells)} |"


def _missing(sonames: Sequence[str] | None) -> str:
    if sonames is None:
        return "not recorded"
    return ", ".join(f"`{name}`" for name in sonames) or "none"


def with_table(text: str, written: str) -> str:
    """`text` with `written` between the two markers. Raises MatrixError where it does not hold both, once."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise MatrixError(f"README.md: needs `{BEGIN}` and after it `{END}`, each once")
    return f"{before}{BEGIN}\n{written}\n{END}{after}"
