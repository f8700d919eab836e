"""The RECORD of an installed distribution: which files it brought (packaging.python.org, "Recording installed
projects")."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from envfix.model.target import Distribution, Target
    from envfix.ports import Outside

LIMIT = 64 << 20  # bytes; TensorFlow's is 3 MB
_SIZE = re.compile("[0-9]{1,15}")
# No path is longer (PATH_MAX is 4096 bytes); a quotation mark without its partner must not swallow the rest.
_LONGEST = 1 << 16


class Place(NamedTuple):
    """The `.dist-info` (or `.egg-info`) of a distribution, and the folder that the paths of its RECORD start
    from."""

    info: str
    base: str


def place_of(outside: Outside, dist: Distribution, target: Target) -> Place | None:
    """Where the distribution's metadata is; None where it has no `.dist-info` folder of its version."""
    base = dist.location or target.purelib
    if base.endswith((".dist-info", ".egg-info")):
        return Place(base, base.rsplit("/", 1)[0])
    for name in outside.listdir(base):
        stem, _, version = name.removesuffix(".dist-info").partition("-")
        if name.endswith(".dist-info") and (normalised(stem), version) == (dist.name, dist.version):
            return Place(f"{base}/{name}", base)
    return None


def recorded(outside: Outside, info: str) -> tuple[str, ...] | None:
    """The paths in the RECORD of a `.dist-info` folder; None where it has none that can be read."""
    try:
        return paths_in(outside.read_text(f"{info}/RECORD", LIMIT))
    except OSError:
        return None


class File(NamedTuple):
    """What a row of a RECORD says of its file: size in bytes and SHA-256, None where it does not."""

    size: int | None
    digest: bytes | None


def recorded_files(outside: Outside, info: str) -> dict[str, File] | None:
    """The paths with what is said of each; None where there is no RECORD that can be read."""
    rows = said_of_files(outside, info)
    return None if rows is None else {path: read_row(said) for path, said in rows.items()}


def said_of_files(outside: Outside, info: str) -> dict[str, str] | None:
    """The paths with what follows each in its row, unread (`read_row` reads it); None where there is no
    RECORD that can be read."""
    try:
        return dict(_rows(outside.read_text(f"{info}/RECORD", LIMIT)))
    except OSError:
        return None


def read_row(said: str) -> File:
    """What a row says of its file after the path."""
    digest = said.partition(",")[0]
    return File(size_in(said), _decoded(digest) if digest.startswith("sha256=") else None)


def size_in(said: str) -> int | None:
    """The size in bytes that a row says after the path; None where it says none."""
    size = said.partition(",")[2].partition(",")[0]
    return int(size) if _SIZE.fullmatch(size) else None


def _decoded(text: str) -> bytes:
    """The digest; empty, which no file has, for what is no base 64."""
    try:
        return base64.urlsafe_b64decode(text.partition("=")[2].rstrip("=") + "=")
    except ValueError:
        return b""


def paths_in(text: str) -> tuple[str, ...]:
    """The first column of each row (a CSV file: a path that holds a comma is quoted), in their order."""
    return tuple(path for path, _ in _rows(text))


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """The first column of each row, and the others as they are written."""
    for line in text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        kept = line[:_LONGEST]
        if '"' in kept:
            row = next(csv.reader([kept]), [])
            path, said = (row or [""])[0], ",".join(row[1:])
        else:  # a comma parts two columns: TensorFlow has 20,000 rows, and none has a quotation mark
            path, _, said = kept.partition(",")
        if path:
            yield path, said


def normalised(name: str) -> str:
    """The name as indexes compare it (packaging.python.org, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()
