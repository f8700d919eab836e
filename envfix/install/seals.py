"""Files that were found to be what their RECORD says, known again for as long as nobody touches one.

uv links the files of a wheel from its cache into each environment: the next one has the very same files, and
reading TensorFlow's 5.5 GB again is what such an install would take most of its time for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from envfix import cache
from envfix.ports import Outside
from envfix.tree import Stamp

_FILE = "seals.json"
_MOST = 12000  # remembered: some eighty environments


def seal(said: Mapping[str, str], stamps: Sequence[Stamp | None]) -> str:
    """What is the same only for the very same files: path, RECORD's row, size, time of change and inode of
    each, in whatever order. Empty where one is missing or no plain file: that is never known.

    `said` is what RECORD says of each path within the environment, `stamps` what each is on the disk.
    """
    if None in stamps:
        return ""
    files = zip(said.items(), stamps, strict=True)
    rows = sorted([f"{path}\0{row}\0{stamp}\n" for (path, row), stamp in files])
    return hashlib.sha256("".join(rows).encode("utf-8", "surrogatepass")).hexdigest()


def known(outside: Outside) -> tuple[str, ...]:
    """The seals of what was right, what was found last at the end."""
    data = cache.kept(outside, cache.place(outside, _FILE))
    try:
        return msgspec.json.decode(data or b"[]", type=tuple[str, ...])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()  # half a cache: every file is read


def remember(outside: Outside, before: Iterable[str], fresh: Iterable[str]) -> None:
    """Keep the seals of what was just found right."""
    old, new = dict.fromkeys(before), dict.fromkeys(one for one in fresh if one)
    if new.keys() <= old.keys():
        return
    newest = [*(one for one in old if one not in new), *new][-_MOST:]
    # A cache that cannot be written costs the next install the seconds that this one took.
    with contextlib.suppress(OSError):
        cache.keep(outside, cache.place(outside, _FILE), msgspec.json.encode(newest), lasting=False)
