"""Whether what was installed is, byte for byte, what its RECORD says."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from envfix import record
from envfix.errors import InstallFailed
from envfix.install import digests, seals
from envfix.install.libraries import is_library
from envfix.install.transaction.putback import few
from envfix.model.target import Distribution, Target
from envfix.ports import Outside

# Digits of the size in bytes of what counts as small: of TensorFlow 2.21.0's environment of 24,000 files and
# 5.5 GB, all but 100 files, which have 5.1 GB.
_SMALL = 6


class Wrong(NamedTuple):
    """A file that is not what the RECORD of its `package` says."""

    package: str
    path: str


def wrong_files(outside: Outside, target: Target, names: Collection[str]) -> tuple[Wrong, ...]:
    """The files of the distributions `names` that are missing or have another SHA-256 than their RECORD's.

    A file that several packages bring, each with its own content, is right where it is what one of them says.
    One that was right before, in whatever environment, and was not touched since, is not read again.
    """
    listed = [_listed(outside, dist, target) for dist in target.installed if dist.name in names]
    marks = {one.package: _marks(outside, one) for one in listed}
    before = seals.known(outside)
    known = frozenset(before)
    libraries = {claim.path: claim.digest for one in listed for claim in one.libraries()}
    entries = {path: outside.look(path) for path in libraries}
    doubted = [
        claim
        for one in listed
        for part in one.parts()
        if (mark := marks[one.package].get(part.name)) is None or mark not in known
        for claim in one.claims(part)
    ]
    # The large ones first: beside a thread at small ones, which keep the interpreter's lock, another waits
    # for it after every piece of a large one (half of the time over TensorFlow's 20,000 files).
    ordered = sorted(doubted, key=lambda claim: -claim.size)
    now = digests.computed(outside, (claim.path for claim in ordered))
    found = [claim for claim in doubted if now[claim.path] != claim.digest]
    wrong = {claim.package for claim in found}
    right = (mark for package, own in marks.items() if package not in wrong for mark in own.values())
    seals.remember(outside, before, right)
    # The next command looks at the libraries again, and need not read 3 GB for that.
    digests.remember(outside, {path: now.get(path, said) for path, said in libraries.items()}, entries)
    return tuple(_not_of_others(outside, target, found)) if found else ()


def seals_of_unpacked(outside: Outside, folder: str, go_on: Callable[[], bool]) -> tuple[str, ...]:
    """The seals of the wheel that uv has just unpacked in `folder`, which environments share; none where a
    file is not what its RECORD says, and where `go_on` ended it before all were looked at.

    uv has compared the wheel's SHA-256 with the plan's as it unpacked it (uv 0.13.9, for `--require-hashes`
    and for locks: "Hash mismatch for"), and what it wrote is in memory still: of the large files the size is
    compared. Reading them again too would be a sixth of the time of an install on two cores.
    """
    info = next(iter(outside.glob(folder, "*.dist-info")), "")
    if not info:
        return ()
    one = _listed_at(outside, "", record.Place(info, folder))
    marks = _marks(outside, one)
    for part in one.parts():
        if part.name is None:
            continue  # what uv writes anew for each environment
        for claim in one.claims(part):
            enough = part.name and outside.size(claim.path) == claim.size
            if not go_on() or not (enough or digests.digest(outside, claim.path) == claim.digest):
                return ()
    return tuple(marks.values())


def damaged(wrong: Sequence[Wrong], installer: str) -> InstallFailed:
    """What to raise for such files; `installer` is `uv` or `pip`."""
    names = sorted({one.package for one in wrong})
    # uv links what it has unpacked before; pip unpacks each wheel anew, and checks its hash before.
    hint = "run it again" if installer == "pip" else f"uv cache clean {' '.join(names)}"
    return InstallFailed(
        f"what {installer} installed is not as its RECORD says: " + few([one.path for one in wrong]), hint
    )


class _Claim(NamedTuple):
    """What a RECORD says of a file; a `size` that it does not say is 0."""

    package: str
    path: str
    digest: bytes
    size: int


class _Part(NamedTuple):
    """Files by their paths in the RECORD with what is said of each.

    `name` is None for those that an installer writes for each environment (scripts, its notes), the file's
    for a large one by itself, and empty for the others of the wheel's own, which it may link from its cache.
    """

    name: str | None
    files: dict[str, str]


class _Listed(NamedTuple):
    """The files of a package that its RECORD gives a hash of.

    Of a package without a RECORD the RECORD itself is claimed, which is not there: nothing says what belongs
    to it, and no installer leaves it so.
    """

    package: str
    base: str
    own: dict[str, str]
    small: dict[str, str]
    large: dict[str, str]

    def parts(self) -> Iterator[_Part]:
        """Each is right or not by itself: `nvidia/__init__.py` is of nine wheels, and the last one's."""
        yield _Part(None, self.own)
        yield _Part("", self.small)
        for name, said in self.large.items():
            yield _Part(name, {name: said})

    def claims(self, part: _Part) -> Iterator[_Claim]:
        """What is said of the part's files."""
        for name, said in part.files.items():
            file = record.read_row(said)
            yield _Claim(self.package, self.path(name), file.digest or b"", file.size or 0)

    def libraries(self) -> Iterator[_Claim]:
        """What is said of NVIDIA's shared libraries."""
        named = {
            name: said for files in (self.small, self.large) for name, said in files.items() if ".so" in name
        }
        return (claim for claim in self.claims(_Part("", named)) if is_library(claim.path))

    def path(self, name: str) -> str:
        whole = f"{self.base}/{name}"
        # Of 20,000 paths hardly one is not as it should be written.
        return os.path.normpath(whole) if "/." in whole or "//" in whole else whole


def _listed(outside: Outside, dist: Distribution, target: Target) -> _Listed:
    place = record.place_of(outside, dist, target)
    return _Listed(dist.name, "", {}, {}, {}) if place is None else _listed_at(outside, dist.name, place)


def _listed_at(outside: Outside, package: str, place: record.Place) -> _Listed:
    one = _Listed(package, place.base, {}, {}, {})
    rows = record.said_of_files(outside, place.info)
    notes = f"{place.info.rpartition('/')[2]}/"
    for name, said in (rows or {}).items():
        if not said.startswith("sha256="):
            continue  # another hash than SHA-256 is allowed, and not looked at
        if name.startswith((notes, "../", "/")):
            one.own[name] = said
        elif len(said.rpartition(",")[2]) > _SMALL:
            one.large[name] = said
        else:
            one.small[name] = said
    if not rows:
        one.own[f"{place.info}/RECORD"[len(place.base) + 1 :]] = ""
    return one


def _marks(outside: Outside, one: _Listed) -> dict[str | None, str]:
    """The seal of each part that another environment may share with this one, by its name."""
    marks: dict[str | None, str] = {}
    for part in one.parts():
        if part.name is not None and part.files:
            stamps = outside.stamps(map(one.path, part.files))
            files = zip(part.files.items(), stamps, strict=True)
            marks[part.name] = seals.seal(seals.Sealed(name, said, stamp) for (name, said), stamp in files)
    return {name: mark for name, mark in marks.items() if mark}


def _not_of_others(outside: Outside, target: Target, found: Sequence[_Claim]) -> Iterator[Wrong]:
    owners = {claim.path: claim.package for claim in found}
    allowed: dict[str, set[bytes]] = {path: set() for path in owners}
    for dist in target.installed:
        one = _listed(outside, dist, target)
        for claim in (claim for part in one.parts() for claim in one.claims(part)):
            if claim.path in allowed:
                allowed[claim.path].add(claim.digest)
    for path, package in owners.items():
        if digests.digest(outside, path) not in allowed[path]:
            yield Wrong(package, path)
