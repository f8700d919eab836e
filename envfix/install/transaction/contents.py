"""Whether what was installed is, byte for byte, what its RECORD says."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from envfix import record
from envfix.errors import InstallFailed
from envfix.install import digests
from envfix.install.libraries import is_library
from envfix.install.transaction.putback import few
from envfix.model.target import Distribution, Target
from envfix.ports import Outside


class Wrong(NamedTuple):
    """A file that is not what the RECORD of its `package` says."""

    package: str
    path: str


def wrong_files(outside: Outside, target: Target, names: Collection[str]) -> tuple[Wrong, ...]:
    """The files of the distributions `names` that are missing or have another SHA-256 than their RECORD's.

    A file that several packages bring, each with its own content, is right where it is what one of them says.
    """
    dists = [dist for dist in target.installed if dist.name in names]
    claims = [claim for dist in dists for claim in _claims(outside, dist, target)]
    paths = [claim.path for claim in claims]
    before = {path: outside.look(path) for path in paths if is_library(path)}
    # The large ones first: beside a thread at small ones, which keep the interpreter's lock, another waits
    # for it after every piece of a large one (half of the time over TensorFlow's 20,000 files).
    ordered = sorted(claims, key=lambda claim: -claim.size)
    now = digests.computed(outside, (claim.path for claim in ordered))
    # The next command looks at the libraries again, and need not read 3 GB for that.
    digests.remember(outside, {path: now[path] for path in before}, before)
    found = [claim for claim in claims if now[claim.path] != claim.digest]
    return tuple(_not_of_others(outside, target, found)) if found else ()


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


def _claims(outside: Outside, dist: Distribution, target: Target) -> Iterator[_Claim]:
    place = record.place_of(outside, dist, target)
    if place is None:
        return
    files = record.recorded_files(outside, place.info)
    for path, file in (files or {}).items():
        if file.digest is not None:  # another hash than SHA-256 is allowed, and not looked at
            yield _Claim(dist.name, os.path.normpath(f"{place.base}/{path}"), file.digest, file.size or 0)
    if not files:
        # Nothing says what belongs to it, which no installer leaves so.
        yield _Claim(dist.name, f"{place.info}/RECORD", b"", 0)


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
