"""The part of the outside that is exact about files: what is there, link or not, and putting the same back.

Nothing here follows a link in the last component of a path. Only the standard library is imported: putting
an environment back must work while the packages that envfix needs are half replaced.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

FILE, FOLDER, LINK, OTHER = "f", "d", "l", "o"
BYTE_CODE = "__pycache__"  # the folder that Python keeps it in (PEP 3147)


class Entry(NamedTuple):
    """One name on disk. `kind` is FILE, FOLDER, LINK or OTHER; `mode` holds the permission bits; `mtime` is
    in nanoseconds; `goal` is where a link leads."""

    kind: str
    mode: int
    size: int
    mtime: int
    inode: int
    uid: int
    gid: int
    goal: str = ""

    def same(self, other: Entry) -> bool:
        """Whether nothing that a user could see is different. Another inode is no difference, nor the size
        and the time of a folder, which follow from what is in it."""
        if (self.kind, self.mode, self.uid, self.gid) != (other.kind, other.mode, other.uid, other.gid):
            return False
        if self.kind == LINK:
            return self.goal == other.goal
        return self.kind == FOLDER or (self.size, self.mtime) == (other.size, other.mtime)


# Size in bytes, time of change in nanoseconds and inode of a plain file: without names, for they are made by
# the ten thousand.
Stamp = tuple[int, int, int]


class Held(abc.ABC):
    """A lock that this process holds. It ends with the process and the children that it started meanwhile."""

    @abc.abstractmethod
    def release(self) -> None: ...


class Tree(abc.ABC):
    """Files by exactly what they are. Methods that change something raise OSError."""

    @abc.abstractmethod
    def look(self, path: str) -> Entry | None:
        """What is at the path, a link being itself; None where nothing is or may be looked at."""

    def stamps(self, paths: Iterable[str]) -> list[Stamp | None]:
        """Of each what tells that it was not touched; None for what is no plain file or not there, and on a
        filesystem without inodes."""
        entries = (self.look(path) for path in paths)
        return [
            (entry.size, entry.mtime, entry.inode) if entry is not None and entry.kind == FILE else None
            for entry in entries
        ]

    @abc.abstractmethod
    def walk(self, folder: str) -> Iterator[tuple[str, Entry]]:
        """Every path below the folder with what it is, a folder before what is in it; links are not followed.

        Raises OSError for a folder that cannot be listed.
        """

    @abc.abstractmethod
    def sha256(self, path: str) -> bytes:
        """The digest of the file's content. Raises OSError."""

    @abc.abstractmethod
    def small(self, path: str, limit: int) -> bytes:
        """At most `limit` bytes, some kilobytes, of a plain file. Raises OSError."""

    @abc.abstractmethod
    def link(self, path: str, other: str) -> None:
        """Make `other` a second name of the file. Raises OSError where the filesystem has no hard links."""

    @abc.abstractmethod
    def symlink(self, goal: str, path: str) -> None: ...

    @abc.abstractmethod
    def copy(self, path: str, other: str) -> None:
        """Write the content of the file to `other`, which is new. It is not on the disk before `settle_all`
        returns."""

    @abc.abstractmethod
    def create(self, path: str, data: bytes) -> None:
        """Write a new file, for this user alone. It is not on the disk before `settle_all` returns."""

    @abc.abstractmethod
    def rename(self, path: str, other: str) -> None:
        """Put the file or link at `other`, in the place of a file or link that is there, in one step."""

    @abc.abstractmethod
    def make_dir(self, path: str, mode: int = 0o777) -> None:
        """Make one folder; its parent is there."""

    @abc.abstractmethod
    def remove_dir(self, path: str) -> None:
        """Remove one empty folder."""

    @abc.abstractmethod
    def dress(self, path: str, entry: Entry) -> None:
        """Give the path the owner (where this user may), mode and time of `entry`."""

    @abc.abstractmethod
    def settle(self, path: str) -> None:
        """Return when the names in the folder are on the disk (power may fail from then on)."""

    @abc.abstractmethod
    def settle_all(self, path: str) -> None:
        """Return when everything written on the filesystem of the folder is on the disk."""

    @abc.abstractmethod
    def hold(self, path: str) -> Held | None:
        """Lock the file, which is made where it is absent; None where another process holds it."""

    @abc.abstractmethod
    def undisturbed(self) -> AbstractContextManager[None]:
        """Inside, neither Ctrl-C nor a request to end interrupts this process; one that came is not lost."""
