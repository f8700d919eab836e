"""What a RECORD says of the files of a package, parted by which of them environments share."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

from envfix import record
from envfix.install.libraries import is_library
from envfix.model.target import Distribution, Target
from envfix.ports import Outside

# Digits of the size in bytes of what counts as small: of TensorFlow 2.21.0's environment of 24,000 files and
# 5.5 GB, all but 100 files, which have 5.1 GB.
_SMALL = 6


class Claim(NamedTuple):
    """What a RECORD says of a file in the part of this name; a `size` that it does not say is 0."""

    package: str
    part: str | None
    path: str
    digest: bytes
    size: int


class Part(NamedTuple):
    """Files by their paths in the RECORD with what is said of each.

    `name` is None for those that an installer writes for each environment (scripts, its notes), the file's
    for a large one by itself, and empty for the others of the wheel's own, which it may link from its cache.
    """

    name: str | None
    files: dict[str, str]


class Listed(NamedTuple):
    """The files of a package that its RECORD gives a SHA-256 of.

    Of a `.dist-info` without a RECORD the RECORD itself is claimed, which is not there: nothing says what
    belongs to it, and no installer leaves it so.
    """

    package: str
    base: str
    own: dict[str, str]
    small: dict[str, str]
    large: dict[str, str]

    def parts(self) -> Iterator[Part]:
        """Each is right or not by itself: `nvidia/__init__.py` is of nine wheels, and the last one's."""
        yield Part(None, self.own)
        yield Part("", self.small)
        for name, said in self.large.items():
            yield Part(name, {name: said})

    def claims(self, part: Part) -> Iterator[Claim]:
        """What is said of the part's files."""
        for path, said in zip(self.paths(part.files), part.files.values(), strict=True):
            file = record.read_row(said)
            yield Claim(self.package, part.name, path, file.digest or b"", file.size or 0)

    def libraries(self) -> Iterator[Claim]:
        """What is said of NVIDIA's shared libraries."""
        named = {
            name: said for files in (self.small, self.large) for name, said in files.items() if ".so" in name
        }
        return (claim for claim in self.claims(Part("", named)) if is_library(claim.path))

    def path(self, name: str) -> str:
        """Where the file is: a RECORD's paths start from the folder of the packages, or are absolute."""
        return next(self.paths((name,)))

    def paths(self, names: Collection[str]) -> Iterator[str]:
        """Where each of the files is."""
        # Of 20,000 paths hardly one is not as it should be written: they are looked through as one text.
        text = "\n".join(("", *names))
        if any(sign in text for sign in ("\n/", "\n.", "/.", "//")):
            return (os.path.normpath(os.path.join(self.base, name)) for name in names)  # noqa: PTH118
        return (f"{self.base}/{name}" for name in names)


def listed(outside: Outside, dist: Distribution, target: Target) -> Listed:
    """What the RECORD of an installed distribution says; nothing of one without a `.dist-info`."""
    place = record.place_of(outside, dist, target)
    return Listed(dist.name, "", {}, {}, {}) if place is None else listed_at(outside, dist.name, place)


def listed_at(outside: Outside, package: str, place: record.Place) -> Listed:
    """What the RECORD at the place says, for the package of this name."""
    one = Listed(package, place.base, {}, {}, {})
    rows = record.said_of_files(outside, place.info)
    notes = f"{place.info.rpartition('/')[2]}/"
    for name, said in (rows or {}).items():
        if not said.startswith("sha256="):
            continue  # another hash than SHA-256 is allowed, and not looked at
        if name.startswith((notes, "../", "/")):
            one.own[name] = said
        elif len(said) - said.rfind(",") > _SMALL + 1:
            one.large[name] = said
        else:
            one.small[name] = said
    if not rows:
        one.own[f"{place.info}/RECORD"[len(place.base) + 1 :]] = ""
    return one
