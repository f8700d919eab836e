"""The SHA-256 of files that are gigabytes together, computed once for as long as nobody touches them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from envfix import cache
from envfix.errors import Interrupted
from envfix.ports import Outside
from envfix.tree import Entry

_FILE = "digests.json"
# Measured on two cores over TensorFlow's 5.5 GB: two threads take half of the time of one, for hashing and
# reading give up the interpreter's lock; more gain nothing.
THREADS = 2
_MOST = 4000  # files remembered: some forty environments


class _Known(msgspec.Struct, frozen=True, array_like=True):
    """What a file was when its digest was computed: size in bytes, time of change in nanoseconds, inode."""

    size: int
    mtime: int
    inode: int
    digest: bytes

    def is_of(self, entry: Entry) -> bool:
        return (self.size, self.mtime, self.inode) == (entry.size, entry.mtime, entry.inode)


def digests(outside: Outside, paths: Iterable[str]) -> Mapping[str, bytes | None]:
    """The digest of each file; None for one that is not there or cannot be read.

    What was computed for a file whose size, time and inode are the same still holds.
    """
    entries = {path: outside.look(path) for path in dict.fromkeys(paths)}
    known = _remembered(outside) if entries else {}
    found: dict[str, bytes | None] = {}
    missing = []
    for path, entry in entries.items():
        row = known.get(path)
        if entry is not None and row is not None and row.is_of(entry):
            found[path] = row.digest
        else:
            missing.append(path)
    fresh = computed(outside, missing)
    remember(outside, fresh, entries, known)
    return {**found, **fresh}


def computed(
    outside: Outside, paths: Iterable[str], over: threading.Event | None = None
) -> dict[str, bytes | None]:
    """The digest of each file as it is now; None for one that is not there or cannot be read.

    Raises Interrupted once `over` is set: nobody wants to know any more.
    """
    # Each thread takes the next file by itself: handing out 20,000 small files costs more than hashing them.
    left, failed = iter(dict.fromkeys(paths)), threading.Event()

    def work(_: int) -> dict[str, bytes | None]:
        found = {}
        for path in left:
            if failed.is_set() or (over is not None and over.is_set()):
                raise Interrupted("interrupted")
            found[path] = digest(outside, path)
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        try:
            return {path: found for part in pool.map(work, range(THREADS)) for path, found in part.items()}
        except BaseException:
            failed.set()  # or leaving the block would wait until all are read
            raise


def digest(outside: Outside, path: str) -> bytes | None:
    """The file's digest as it is now; None where it is not there or cannot be read."""
    try:
        return outside.sha256(path)
    except OSError:
        return None


def remember(
    outside: Outside,
    fresh: Mapping[str, bytes | None],
    entries: Mapping[str, Entry | None],
    known: Mapping[str, _Known] | None = None,
) -> None:
    """Keep for the next run digests that were computed, or are known otherwise; `entries` is what the files
    were before."""
    rows = {
        path: _Known(entry.size, entry.mtime, entry.inode, found)
        for path, found in fresh.items()
        if found is not None and (entry := entries.get(path)) is not None
    }
    if not rows:
        return
    kept = {**(_remembered(outside) if known is None else known), **rows}
    newest = dict(list(kept.items())[-_MOST:])
    # A cache that cannot be written costs the next run the seconds that this one took.
    with contextlib.suppress(OSError):
        cache.keep(outside, cache.place(outside, _FILE), msgspec.json.encode(newest), lasting=False)


def _remembered(outside: Outside) -> dict[str, _Known]:
    data = cache.kept(outside, cache.place(outside, _FILE))
    if data is None:
        return {}
    try:
        return msgspec.json.decode(data, type=dict[str, _Known])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}  # half a cache: computed again
