"""How the dynamic loader looked for each library, as glibc itself tells it with LD_DEBUG=libs (ld.so(8)).

Nothing has to be guessed of RUNPATHs, `LD_LIBRARY_PATH`, the cache and their order: the loader writes down
each folder that it searched, on whose behalf, and each file that it tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from posixpath import normpath

from msgspec import Struct

from envfix.ports import Outside

LIMIT = 64 << 20
_LINE = re.compile(r"^ *\d+:\t(.*)$")
_FIND = re.compile(r"find library=(\S+) \[\d+\]; searching")
_PATH = re.compile(r" search path=(.*?)\t*\((.*)\)$")
_CACHE = re.compile(r" search cache=(.*)$")
_TRIED = re.compile(r"  trying file=(.*)$")
# What glibc searches below a folder for the CPU's kind; nobody puts CUDA there, and it makes long lists.
_SUBFOLDERS = re.compile(r"/(?:glibc-hwcaps|tls|haswell|avx512_1|x86_64)(?:/|$)")


class Place(Struct, frozen=True):
    """One list of folders that was searched: `kind` is `LD_LIBRARY_PATH`, `RUNPATH`, `RPATH`, `cache` or
    `system`, `file` whose RUNPATH or RPATH it is (of the cache: its path)."""

    kind: str
    folders: tuple[str, ...] = ()
    file: str = ""

    def __str__(self) -> str:
        name = self.file.rpartition("/")[2]
        if self.kind in ("RUNPATH", "RPATH"):
            return f"the {self.kind} of {name}"
        return {"cache": f"the loader's cache ({self.file})", "system": "the system's folders"}.get(
            self.kind, self.kind
        )


class Search(Struct, frozen=True):
    """One search for a soname: where, in order, and the files tried with the number of their place."""

    soname: str
    places: tuple[Place, ...]
    tried: tuple[tuple[str, int], ...]

    def place_of(self, path: str) -> Place | None:
        """Where the loader came upon the file; None where this search did not try it."""
        return next((self.places[number] for tried, number in self.tried if tried == path), None)


def environment(folder: str) -> dict[str, str]:
    """The variables that make glibc write its searches into the folder; other C libraries ignore them."""
    return {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": f"{folder}/loader"}


def read(outside: Outside, folder: str) -> tuple[Search, ...]:
    """Every search of the process that searched most (the others are programs that it started)."""
    texts = [outside.read_text(path, LIMIT) for path in outside.glob(folder, "loader.*")]
    return parse(max(texts, key=len, default=""))


def parse(text: str) -> tuple[Search, ...]:
    """The searches in the order in which they were made; lines of other kinds are passed over."""
    return tuple(_searches(line[1] for line in map(_LINE.match, text.splitlines()) if line))


def _searches(lines: Iterator[str]) -> Iterator[Search]:
    soname, places, tried = "", [], []  # type: ignore[var-annotated]
    for line in lines:
        found = _FIND.match(line)
        if found:
            if soname:
                yield Search(soname, tuple(places), tuple(tried))
            soname, places, tried = found[1], [], []
        elif soname and (place := _place(line)):
            places.append(place)
        elif soname and places and (one := _TRIED.match(line)):
            tried.append((normpath(one[1]), len(places) - 1))
    if soname:
        yield Search(soname, tuple(places), tuple(tried))


def _place(line: str) -> Place | None:
    if cache := _CACHE.match(line):
        return Place("cache", (), cache[1])
    found = _PATH.match(line)
    if not found:
        return None
    folders = _folders(found[1].split(":"))
    kind, _, file = found[2].partition(" from file ")
    return Place("system" if kind == "system search path" else kind, folders, file)


def _folders(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for path in paths if path and not _SUBFOLDERS.search(path)))
