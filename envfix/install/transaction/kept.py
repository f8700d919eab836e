"""The files that a change replaces or removes, kept so that they can be put back.

A large file is kept by a second name (a hard link), which takes no room. A small one is copied, many into one
file: installers and people write small files (scripts, `.pth`, metadata) in place, which would reach into a
second name of it. Where the filesystem has no hard links, or the file is on another one, it is copied too.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from envfix.tree import FILE, LINK, Entry

if TYPE_CHECKING:
    from envfix.ports import Outside

SMALL = 8 << 10  # bytes up to which a file is copied
_PACK = 16 << 20  # bytes of small files that are held in memory before they are written
TEMPORARY = ".envfix-kept"


class Keeper:
    """Keeps files in the folder of a transaction. `places` says where each is: `["link", NAME]`,
    `["copy", NAME]` or `["pack", NAME, OFFSET]`. `taken` counts the bytes that the copies take."""

    def __init__(self, outside: Outside, folder: str) -> None:
        self.outside = outside
        self.folder = f"{folder}/kept"
        self.places: dict[str, list[Any]] = {}
        self.taken = 0
        self._pack = bytearray()
        self._packs = 0
        self._links = outside.device(folder)
        outside.make_dir(self.folder)

    def keep(self, path: str, entry: Entry) -> None:
        """Raises OSError for a file that can neither be read nor linked."""
        if entry.kind != FILE or path in self.places:
            return
        if entry.size <= SMALL and self._packed(path, entry):
            return
        name = f"{len(self.places):06d}"
        try:
            self.outside.link(path, f"{self.folder}/{name}")
            self.places[path] = ["link", name]
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.outside.copy(path, f"{self.folder}/{name}")
            self.places[path] = ["copy", name]
            self.taken += entry.size

    def _packed(self, path: str, entry: Entry) -> bool:
        try:
            data = self.outside.small(path, SMALL + 1)
        except PermissionError:
            return False  # not ours to read, but perhaps to link
        if len(data) != entry.size:
            return False
        self.places[path] = ["pack", f"pack{self._packs}", len(self._pack)]
        self._pack += data
        self.taken += entry.size
        if len(self._pack) >= _PACK:
            self._flush()
        return True

    def _flush(self) -> None:
        self.outside.write_bytes(f"{self.folder}/pack{self._packs}", bytes(self._pack), 0o600)
        self._pack.clear()
        self._packs += 1

    def finish(self) -> None:
        """Everything that was kept is on the disk from here on."""
        if self._pack:
            self._flush()
        if any(place[0] == "copy" for place in self.places.values()):
            self.outside.settle_all(self.folder)
        self.outside.settle(self.folder)


class Kept:
    """Kept files on their way back."""

    def __init__(self, outside: Outside, folder: str, places: dict[str, Any]) -> None:
        self.outside = outside
        self.folder = f"{folder}/kept"
        self.places = places
        self._packs: dict[str, bytes] = {}

    def __contains__(self, path: str) -> bool:
        return path in self.places

    def put_back(self, path: str, entry: Entry) -> bool:
        """Put the file or link where it was, in one step, in the place of a file or link that is there now.

        False where somebody has written into the file in place, so that something else comes back than was
        there. Raises OSError, also for a kept file that is gone.
        """
        beside = f"{path.rpartition('/')[0]}/{TEMPORARY}"
        self.outside.remove(beside)
        if entry.kind == LINK:
            self.outside.symlink(entry.goal, beside)
            whole = True
        else:
            whole = self._unpack(path, entry, beside)
        if whole:
            self.outside.dress(beside, entry)
        self.outside.rename(beside, path)
        # Renaming one name of a file to another name of it leaves both (rename(2)).
        self.outside.remove(beside)
        return whole

    def _unpack(self, path: str, entry: Entry, beside: str) -> bool:
        how, name, *at = self.places[path]
        source = f"{self.folder}/{name}"
        if how == "pack":
            if name not in self._packs:
                self._packs[name] = self.outside.read_bytes(source, 2 * _PACK)
            data = self._packs[name][at[0] : at[0] + entry.size]
            self.outside.create(beside, data)
            return len(data) == entry.size
        found = self.outside.look(source)
        whole = found is not None and found.size == entry.size
        if how == "link":
            whole = whole and found is not None and found.mtime == entry.mtime
            try:
                self.outside.link(source, beside)
                return whole
            except OSError as problem:
                if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
                    raise
        self.outside.copy(source, beside)
        return whole
