"""Whether what was installed is, byte for byte, what its RECORD says."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

from envfix import record
from envfix.model.target import Distribution, Target
from envfix.ports import Outside

# Measured on two cores over TensorFlow's 5.5 GB: two threads take half of the time of one, for hashing and
# reading give up the interpreter's lock; more gain nothing.
_THREADS = 2


def wrong_files(outside: Outside, target: Target, names: Collection[str]) -> tuple[str, ...]:
    """The files of the distributions `names` that are missing or have another SHA-256 than their RECORD's.

    A file that several packages bring, each with its own content, is right where it is what one of them says.
    """
    dists = [dist for dist in target.installed if dist.name in names]
    claims = [claim for dist in dists for claim in _claims(outside, dist, target)]

    def wrong(claim: tuple[str, bytes]) -> bool:
        return _digest(outside, claim[0]) != claim[1]

    with ThreadPoolExecutor(_THREADS) as pool:
        found = [path for (path, _), bad in zip(claims, pool.map(wrong, claims), strict=True) if bad]
    return tuple(_not_of_others(outside, target, found)) if found else ()


def _claims(outside: Outside, dist: Distribution, target: Target) -> Iterator[tuple[str, bytes]]:
    place = record.place_of(outside, dist, target)
    if place is None:
        return
    hashes = record.recorded_hashes(outside, place.info)
    for path, digest in hashes.items():
        yield os.path.normpath(f"{place.base}/{path}"), digest
    if not hashes:
        yield f"{place.info}/RECORD", b""  # nothing says what belongs to it, which no installer leaves so


def _not_of_others(outside: Outside, target: Target, paths: list[str]) -> Iterator[str]:
    wanted = set(paths)
    allowed: dict[str, set[bytes]] = {path: set() for path in paths}
    for dist in target.installed:
        for path, digest in _claims(outside, dist, target):
            if path in wanted:
                allowed[path].add(digest)
    for path in dict.fromkeys(paths):
        if _digest(outside, path) not in allowed[path]:
            yield path


def _digest(outside: Outside, path: str) -> bytes | None:
    try:
        return outside.sha256(path)
    except OSError:
        return None
