"""What is there before a change, and which files of it the change may replace or remove."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from envfix import record
from envfix.install.transaction.journal import Snapshot
from envfix.install.transaction.kept import SMALL
from envfix.install.transaction.surroundings import present, with_others
from envfix.model.target import Distribution, Target
from envfix.ports import Outside
from envfix.tree import BYTE_CODE, FILE, FOLDER, LINK, Entry

# Names several packages at once, so that removing one of them rewrites it.
_SHARED = (".pth", ".egg-link")


class Taken(Struct, frozen=True, kw_only=True):
    """A snapshot, and the paths in it that may not be there, or not be the same, after the change."""

    snapshot: Snapshot
    going: tuple[str, ...]


def take(outside: Outside, target: Target, leaving: Collection[str], arrives: Sequence[str] | None) -> Taken:
    """Look at everything before the distributions of the names `leaving` go and the files `arrives` come.

    `arrives` are paths as a wheel's RECORD has them when everything is installed into one folder (scripts in
    `bin/`, headers in `include/`), or None where they are not known.
    """
    place = _Place(outside, target)
    place.walked = present(outside, place.sites, ())
    coming = frozenset((*place.candidates(arrives or ()), *place.absent()))
    dists = [dist for dist in target.installed if dist.name in leaving]
    listed = {path for dist in dists for path in _listed(outside, dist, target, place)}
    folders = {path.rpartition("/")[0] for path in (*coming, *listed)}
    entries = with_others(outside, place.walked, place.sites, (*coming, *listed, *place.upwards(folders)))
    going = {path for path in (*listed, *coming) if path in entries}
    going |= set(_byte_code(entries, going, place.sites))
    going |= {path for path in entries if path.endswith(_SHARED) and path.rpartition("/")[0] in place.sites}
    snapshot = Snapshot(
        entries=entries,
        sites=place.sites,
        names=frozenset(leaving),
        arrives=coming,
        whole=arrives is not None,
    )
    return Taken(snapshot=snapshot, going=tuple(sorted(going)))


class _Place:
    """Where a target has what: `sites` are purelib and platlib, once where one is a link to the other."""

    def __init__(self, outside: Outside, target: Target) -> None:
        self.outside = outside
        self.target = target
        self.sites = tuple(dict.fromkeys(map(outside.realpath, (target.purelib, target.platlib))))
        self.roots = tuple(
            dict.fromkeys(outside.realpath(path) for path in (target.data, target.prefix) if path)
        )
        self.walked: dict[str, Entry] = {}
        self._below = tuple(f"{site}/" for site in self.sites)
        self._folders: dict[str, str] = {}

    def exact(self, path: str) -> str:
        """The path with every link in its folder followed, itself not."""
        folder, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            folder, name = os.path.split(os.path.normpath(path))
        real = self._folders.get(folder)
        return f"{self._real(os.path.normpath(folder)) if real is None else real}/{name}"

    def _real(self, folder: str) -> str:
        """The folder with every link followed; most of them are known from the walk, or with those above."""
        found = self._folders.get(folder)
        if found is None:
            above, _, name = folder.rpartition("/")
            path = f"{self._real(above)}/{name}" if name else ""
            entry = self._entry(path) if name else None
            linked = entry is not None and entry.kind == LINK
            found = self._folders[folder] = self.outside.realpath(path).rstrip("/") if linked else path
        return found

    def _entry(self, path: str) -> Entry | None:
        known = self.walked and path.startswith(self._below)
        return self.walked.get(path) if known else self.outside.look(path)

    def candidates(self, names: Sequence[str]) -> Iterator[str]:
        """Where an installer may put what is called so in one folder of everything."""
        target = self.target
        homes = tuple(folder for folder in (*self.sites, target.data) if folder)
        for name in names:
            yield from (self.exact(f"{home}/{name}") for home in homes)
            top, _, rest = name.partition("/")
            if top in ("bin", "Scripts") and rest and target.scripts:
                yield self.exact(f"{target.scripts}/{rest}")
            if top == "include" and rest and target.headers:
                yield self.exact(f"{target.headers}/{rest}")

    def absent(self) -> Iterator[str]:
        """The folders that everything comes into, and those above, that an installer has to make first."""
        target = self.target
        homes = (target.purelib, target.platlib, target.scripts, target.headers, target.data)
        for folder in sorted(self.upwards([self._real(home) for home in homes if home])):
            if self.outside.look(folder) is None:
                yield folder

    def upwards(self, folders: Collection[str]) -> set[str]:
        """The folders and those above, up to the environment's own: they may have to be made or remade."""
        found: set[str] = set()
        below = tuple(f"{root}/" for root in self.roots)
        for folder in folders:
            while folder not in found and (folder in self.roots or folder.startswith(below)):
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return found


def _listed(outside: Outside, dist: Distribution, target: Target, place: _Place) -> Iterator[str]:
    """Everything that an uninstaller may take for the distribution's."""
    where = record.place_of(outside, dist, target) or _by_name(outside, dist, target)
    if where is None:
        return
    for path in record.recorded(outside, where.info) or _of_egg(outside, where):
        yield place.exact(f"{where.base}/{path}")
    info = place.exact(where.info)
    yield info
    if outside.is_dir(info):
        yield from (path for path, _ in outside.walk(info))


def _by_name(outside: Outside, dist: Distribution, target: Target) -> record.Place | None:
    """The metadata of another form: its version is spelled otherwise, or it is an `.egg-info`."""
    base = dist.location or target.purelib
    for name in outside.listdir(base):
        stem, dot, kind = name.rpartition(".")
        named = record.normalised(stem.partition("-")[0]) == dist.name
        if dot and kind in ("dist-info", "egg-info") and named:
            return record.Place(f"{base}/{name}", base)
    return None


def _of_egg(outside: Outside, where: record.Place) -> Iterator[str]:
    """The files of a distribution without a RECORD: those that it lists, or its import packages whole."""
    named = _lines(outside, f"{where.info}/installed-files.txt")
    if named:
        prefix = where.info.rpartition("/")[2]
        yield from (f"{prefix}/{line}" for line in named)
        return
    for name in _lines(outside, f"{where.info}/top_level.txt"):
        yield f"{name}.py"
        if outside.is_dir(f"{where.base}/{name}"):
            start = len(where.base) + 1
            yield from (path[start:] for path, _ in outside.walk(f"{where.base}/{name}"))


def _lines(outside: Outside, path: str) -> list[str]:
    try:
        return [line.strip() for line in outside.read_text(path).splitlines() if line.strip()]
    except OSError:
        return []


def _byte_code(entries: dict[str, Entry], going: Collection[str], sites: Collection[str]) -> Iterable[str]:
    """Byte code beside what goes: uninstallers remove a package's `__pycache__` whole, listed or not."""
    folders = {path.rpartition("/")[0] for path in going}
    for path, entry in entries.items():
        above, _, name = path.rpartition("/")
        if entry.kind == FOLDER or not above.endswith(f"/{BYTE_CODE}"):
            continue
        folder = above[: -len(BYTE_CODE) - 1]
        if folder not in folders:
            continue
        # At the top the folder is shared by all packages that are a single module.
        if folder not in sites or f"{folder}/{name.partition('.')[0]}.py" in going:
            yield path


def copied_bytes(outside: Outside, target: Target, leaving: Collection[str], home: str) -> int:
    """Bytes that keeping the distributions `leaving` takes: of what is small or not to be linked."""
    place, here, links = _Place(outside, target), outside.device(home), _has_links(outside, home)
    total = 0
    for dist in target.installed:
        if dist.name not in leaving:
            continue
        for path in _listed(outside, dist, target, place):
            entry = outside.look(path)
            if entry is None or entry.kind != FILE:
                continue
            if entry.size <= SMALL or not links or outside.device(path.rpartition("/")[0]) != here:
                total += entry.size
    return total


def _has_links(outside: Outside, home: str) -> bool:
    one, other = f"{home}/one", f"{home}/other"
    try:
        outside.write_bytes(one, b"")
        outside.link(one, other)
    except OSError:
        return False
    finally:
        outside.remove(one)
        outside.remove(other)
    return True
