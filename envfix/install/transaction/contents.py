"""Whether what was installed is, byte for byte, what its RECORD says."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from envfix import record
from envfix.errors import InstallFailed
from envfix.install import digests, seals
from envfix.install.libraries import is_library
from envfix.install.transaction.putback import few
from envfix.model.target import Distribution, Target
from envfix.ports import Outside
from envfix.tree import Entry


class Wrong(NamedTuple):
    """A file that is not what the RECORD of its `package` says."""

    package: str
    path: str


def wrong_files(outside: Outside, target: Target, names: Collection[str]) -> tuple[Wrong, ...]:
    """The files of the distributions `names` that are missing or have another SHA-256 than their RECORD's.

    A file that several packages bring, each with its own content, is right where it is what one of them says.
    One that was right before, in whatever environment, and was not touched since, is not read again.
    """
    claims = {
        dist.name: list(_claims(outside, dist, target)) for dist in target.installed if dist.name in names
    }
    entries = {claim.path: outside.look(claim.path) for of_one in claims.values() for claim in of_one}
    marks = {name: _seal(of_one, entries) for name, of_one in claims.items()}
    known = seals.known(outside)
    right = {name for name, mark in marks.items() if mark and mark in known}
    unread = [claim for name in right for claim in claims[name] if claim.shared]
    doubted = [
        claim for name, of_one in claims.items() for claim in of_one if name not in right or not claim.shared
    ]
    # The large ones first: beside a thread at small ones, which keep the interpreter's lock, another waits
    # for it after every piece of a large one (half of the time over TensorFlow's 20,000 files).
    ordered = sorted(doubted, key=lambda claim: -claim.size)
    now = digests.computed(outside, (claim.path for claim in ordered))
    found = [claim for claim in doubted if now[claim.path] != claim.digest]
    wrong = {claim.package for claim in found}
    seals.remember(outside, known, (mark for name, mark in marks.items() if name not in wrong))
    # The next command looks at the libraries again, and need not read 3 GB for that.
    held = {**now, **{claim.path: claim.digest for claim in unread}}
    libraries = {path: digest for path, digest in held.items() if is_library(path)}
    digests.remember(outside, libraries, entries)
    return tuple(_not_of_others(outside, target, found)) if found else ()


def _seal(claims: Sequence[_Claim], entries: Mapping[str, Entry | None]) -> str:
    """Of the files that another environment may share with this one."""
    shared = [seals.Sealed(claim.name, claim.digest, entries[claim.path]) for claim in claims if claim.shared]
    return seals.seal(shared) if shared else ""


def seal_of_unpacked(outside: Outside, folder: str, go_on: Callable[[], bool]) -> str:
    """The seal of the wheel that is unpacked in `folder`, which environments share; empty where a file is not
    what its RECORD says, and where `go_on` ended it before all were read."""
    place = record.Place(next(iter(outside.glob(folder, "*.dist-info")), ""), folder)
    claims = [claim for claim in _claims_at(outside, "", place) if claim.shared] if place.info else []
    entries = {claim.path: outside.look(claim.path) for claim in claims}
    right = all(go_on() and digests.digest(outside, claim.path) == claim.digest for claim in claims)
    return _seal(claims, entries) if right else ""


def damaged(wrong: Sequence[Wrong], installer: str) -> InstallFailed:
    """What to raise for such files; `installer` is `uv` or `pip`."""
    names = sorted({one.package for one in wrong})
    # uv links what it has unpacked before; pip unpacks each wheel anew, and checks its hash before.
    hint = "run it again" if installer == "pip" else f"uv cache clean {' '.join(names)}"
    return InstallFailed(
        f"what {installer} installed is not as its RECORD says: " + few([one.path for one in wrong]), hint
    )


class _Claim(NamedTuple):
    """What a RECORD says of a file; a `size` that it does not say is 0.

    `name` is its path as the RECORD has it; `shared` says that it is one of the wheel's own, which an
    installer may link from its cache, and none that it writes for each environment (scripts, its own notes).
    """

    package: str
    path: str
    digest: bytes
    size: int
    name: str
    shared: bool


def _claims(outside: Outside, dist: Distribution, target: Target) -> Iterator[_Claim]:
    place = record.place_of(outside, dist, target)
    if place is not None:
        yield from _claims_at(outside, dist.name, place)


def _claims_at(outside: Outside, package: str, place: record.Place) -> Iterator[_Claim]:
    files = record.recorded_files(outside, place.info)
    own = f"{place.info.rpartition('/')[2]}/"
    for path, file in (files or {}).items():
        if file.digest is not None:  # another hash than SHA-256 is allowed, and not looked at
            shared = not path.startswith((own, "../", "/"))
            whole = f"{place.base}/{path}"
            # Of 20,000 paths hardly one is not as it should be written.
            whole = os.path.normpath(whole) if "/." in whole or "//" in whole else whole
            yield _Claim(package, whole, file.digest, file.size or 0, path, shared)
    if not files:
        # Nothing says what belongs to it, which no installer leaves so.
        yield _Claim(package, f"{place.info}/RECORD", b"", 0, "", False)


def _not_of_others(outside: Outside, target: Target, found: Sequence[_Claim]) -> Iterator[Wrong]:
    owners = {claim.path: claim.package for claim in found}
    allowed: dict[str, set[bytes]] = {path: set() for path in owners}
    for dist in target.installed:
        for claim in _claims(outside, dist, target):
            if claim.path in allowed:
                allowed[claim.path].add(claim.digest)
    for path, package in owners.items():
        if digests.digest(outside, path) not in allowed[path]:
            yield Wrong(package, path)
