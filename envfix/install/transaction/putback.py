"""Making paths what they were, whatever they are now; doing it twice does no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from envfix.install.transaction.kept import Kept
from envfix.tree import FOLDER, LINK, Entry

if TYPE_CHECKING:
    from envfix.ports import Outside

T = TypeVar("T")
_FEW = 3


class Outcome(NamedTuple):
    """What is not as it was: files that were written in place while they were being replaced (`lost`), and
    those that others added or changed meanwhile and that were left alone (`strange`)."""

    lost: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()


def few(paths: Sequence[str]) -> str:
    """The first of them, for a message."""
    more = f" and {len(paths) - _FEW} more" if len(paths) > _FEW else ""
    return ", ".join(f"`{path}`" for path in paths[:_FEW]) + more


def put_back(outside: Outside, wanted: Mapping[str, Entry | None], kept: Kept) -> Outcome:
    """Make every path what it was (None: nothing was there).

    A folder that holds something else stays. Raises OSError where something cannot be written.
    """
    work = _Work(outside)
    lost: list[str] = []
    strange: list[str] = []
    _clear(outside, wanted, work)
    strange += _make_folders(outside, wanted, kept, work)
    for path, entry in wanted.items():
        now = outside.look(path)
        if entry is None or entry.kind == FOLDER or now == entry:
            continue
        if entry.kind != LINK and path not in kept:
            if now is None or not now.same(entry):
                strange.append(path)
        elif not work.on(path, lambda path=path, entry=entry: kept.put_back(path, entry)):  # type: ignore[misc]
            lost.append(path)
    _dress_folders(outside, {**work.opened, **{path: entry for path, entry in wanted.items() if entry}})
    return Outcome(tuple(lost), tuple(strange))


def differing(outside: Outside, wanted: Mapping[str, Entry | None]) -> tuple[str, ...]:
    """The paths that are not what they should be; a folder that still holds something may stay."""
    return tuple(path for path, entry in wanted.items() if _differs(outside, path, entry))


def _differs(outside: Outside, path: str, entry: Entry | None) -> bool:
    now = outside.look(path)
    if entry is None:
        return now is not None and not (now.kind == FOLDER and outside.listdir(path))
    return now is None or not now.same(entry)


def _make_folders(outside: Outside, wanted: Mapping[str, Entry | None], kept: Kept, work: _Work) -> list[str]:
    """Make the folders that are gone, but for those that others have taken away; which these are.

    Such a folder held files, and none of them was kept: the change did not touch it.
    """
    held = _above(path for path, entry in wanted.items() if entry and entry.kind != FOLDER)
    needed = _above(path for path, entry in wanted.items() if entry and (entry.kind == LINK or path in kept))
    left: list[str] = []
    for path in sorted(path for path, entry in wanted.items() if entry and entry.kind == FOLDER):
        if outside.look(path) is not None:
            continue
        if path in needed or (path not in held and path.rpartition("/")[0] not in left):
            work.on(path, lambda path=path: outside.make_dir(path))  # type: ignore[misc]
        else:
            left.append(path)
    return left


def _above(paths: Iterable[str]) -> set[str]:
    """Every folder above the paths."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _clear(outside: Outside, wanted: Mapping[str, Entry | None], work: _Work) -> None:
    """Take away what was not there, and what is of another kind, the deepest first."""
    for path in sorted(wanted, reverse=True):
        entry, now = wanted[path], outside.look(path)
        if now is None or (entry is not None and (entry.kind == FOLDER) == (now.kind == FOLDER)):
            continue
        if now.kind == FOLDER:
            if not outside.listdir(path):
                work.on(path, lambda path=path: outside.remove_dir(path))  # type: ignore[misc]
        else:
            work.on(path, lambda path=path: outside.remove(path))  # type: ignore[misc]


def _dress_folders(outside: Outside, wanted: Mapping[str, Entry]) -> None:
    for path in sorted(wanted, reverse=True):
        entry, now = wanted[path], outside.look(path)
        if entry.kind != FOLDER or now is None or now.kind != FOLDER:
            continue
        if (now.mode, now.mtime, now.uid, now.gid) != (entry.mode, entry.mtime, entry.uid, entry.gid):
            outside.dress(path, entry)


class _Work:
    """Opens a folder that is read-only for as long as something in it is put back."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.opened: dict[str, Entry] = {}

    def on(self, path: str, step: Callable[[], T]) -> T:
        try:
            return step()
        except PermissionError:
            parent = path.rpartition("/")[0]
            entry = self.outside.look(parent)
            if entry is None or parent in self.opened:
                raise
            self.outside.dress(parent, entry._replace(mode=entry.mode | 0o700))
            self.opened[parent] = entry
            return step()
