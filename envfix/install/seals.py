"""Packages that were found to be what their RECORD says, known again for as long as nobody touches a file.

uv links the files of a wheel from its cache into each environment: the next one has the very same files, and
reading TensorFlow's 5.5 GB again is what such an install would take most of its time for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from envfix import cache
from envfix.ports import Outside
from envfix.tree import FILE, Entry

_FILE = "seals.json"
_MOST = 4000  # packages remembered: some eighty environments


class Sealed(NamedTuple):
    """A file by its path within the environment, what RECORD says of it, and what it is on the disk."""

    path: str
    digest: bytes
    entry: Entry | None


def seal(files: Iterable[Sealed]) -> str:
    """What is the same only for the very same files: path, digest, size, time of change and inode of each.
    Empty where one is missing or no plain file: such a package is never known.
    """
    found = hashlib.sha256()
    for path, digest, entry in sorted(files, key=lambda file: file.path):
        if entry is None or entry.kind != FILE:
            return ""
        found.update(f"{path}\0{digest.hex()}\0{entry.size}\0{entry.mtime}\0{entry.inode}\n".encode())
    return found.hexdigest()


def known(outside: Outside) -> tuple[str, ...]:
    """The seals of packages that were right, the latest last."""
    data = cache.kept(outside, cache.place(outside, _FILE))
    try:
        return msgspec.json.decode(data or b"[]", type=tuple[str, ...])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()  # half a cache: every file is read


def remember(outside: Outside, before: Iterable[str], fresh: Iterable[str]) -> None:
    """Keep the seals of packages of which every file was just found right."""
    new = [one for one in fresh if one]
    if not new:
        return
    newest = list(dict.fromkeys([*before, *new]))[-_MOST:]
    # A cache that cannot be written costs the next install the seconds that this one took.
    with contextlib.suppress(OSError):
        cache.keep(outside, cache.place(outside, _FILE), msgspec.json.encode(newest))
