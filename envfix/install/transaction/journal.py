"""What a transaction has done so far, on disk: one folder each in `.envfix` beside the packages.

    .envfix/lock            held by the envfix that changes the environment
    .envfix/3/journal.json  the state, with what is changed from which version to which
    .envfix/3/before.json   what was there (`Snapshot`)
    .envfix/3/kept/         the files that are replaced or removed (`envfix.install.transaction.kept`)
    .envfix/3/after.json    what became different, once it is installed (`Changes`)

The folder's name cannot be imported, and is found from the interpreter alone. Numbers only grow: no clock
decides which transaction is the later one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from envfix.tree import Entry

if TYPE_CHECKING:
    from envfix.ports import Outside

FOLDER = ".envfix"
LIMIT = 1 << 30  # bytes of a file of ours; the snapshot of 200,000 files is 40 MB


class State(str, Enum):
    """Each is on disk before what it names begins.

    PREPARED: everything is fetched, what will go is kept, nothing is changed. INSTALLING: files may be
    changed. INSTALLED: the installer has ended, and what is there is being checked. CHECKED: what is
    installed is what was wanted, and `after.json` is written. COMMITTED: it stays. ROLLING_BACK: what was
    there is being put back. ROLLED_BACK: it is all there again.
    """

    PREPARED = "prepared"
    INSTALLING = "installing"
    INSTALLED = "installed"
    CHECKED = "checked"
    COMMITTED = "committed"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"


class Moved(NamedTuple):
    """A package with its version before and after; None where it is not there."""

    name: str
    before: str | None
    after: str | None


class Journal(NamedTuple):
    """`started` is the local time as people read it. `kept_bytes` is what the kept files hold on disk.
    `committed` says that the transaction was complete before it began to be rolled back."""

    number: int
    state: State
    started: str
    python: str
    packages: tuple[Moved, ...]
    kept_bytes: int = 0
    committed: bool = False


class Snapshot(NamedTuple):
    """What was there before. `names` are the distributions that the change is about, normalised; `arrives`
    the paths that it may write, which are all if it is `whole`. `sites` are the folders that were walked."""

    entries: Mapping[str, Entry]
    sites: tuple[str, ...]
    names: frozenset[str]
    arrives: frozenset[str]
    whole: bool


class Changes(NamedTuple):
    """Each path that became different: what was there and what is there now, None for nothing."""

    paths: Mapping[str, tuple[Entry | None, Entry | None]]


class Unreadable(Exception):
    """A file of a transaction is not what envfix writes."""


def home_of(outside: Outside, site: str) -> str:
    """The folder of the transactions of the environment whose packages are in `site`."""
    return f"{outside.realpath(site)}/{FOLDER}"


def numbers(outside: Outside, home: str) -> tuple[int, ...]:
    """The transactions that are there, oldest first."""
    return tuple(sorted(int(name) for name in outside.listdir(home) if name.isascii() and name.isdigit()))


def journals(outside: Outside, home: str) -> Iterator[Journal]:
    """Those that have a journal, oldest first. Raises Unreadable."""
    for number in numbers(outside, home):
        found = read(outside, f"{home}/{number}")
        if found is not None:
            yield found


def read(outside: Outside, folder: str) -> Journal | None:
    """None where there is none, so that nothing of it has happened. Raises Unreadable."""
    value = _read(outside, f"{folder}/journal.json")
    if value is None:
        return None
    try:
        return Journal(
            number=int(value["number"]),
            state=State(value["state"]),
            started=str(value["started"]),
            python=str(value["python"]),
            packages=tuple(Moved(*row) for row in value["packages"]),
            kept_bytes=int(value["kept_bytes"]),
            committed=bool(value["committed"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as problem:
        raise Unreadable(f"`{folder}/journal.json`: {problem}") from None


def write(outside: Outside, folder: str, journal: Journal) -> None:
    """Put the journal on the disk in one step."""
    _write(outside, f"{folder}/journal.json", {**journal._asdict(), "state": journal.state.value})
    outside.settle(folder)


def write_snapshot(outside: Outside, folder: str, snapshot: Snapshot, kept: Mapping[str, Any]) -> None:
    """Write what was there before, and where each file of it is kept. Raises OSError."""
    value = {
        "home": _home(folder),
        "entries": snapshot.entries,
        "sites": snapshot.sites,
        "names": sorted(snapshot.names),
        "arrives": sorted(snapshot.arrives),
        "whole": snapshot.whole,
        "kept": kept,
    }
    _write_all(outside, f"{folder}/before.json", value)


def read_snapshot(outside: Outside, folder: str) -> tuple[Snapshot, dict[str, Any]]:
    """The snapshot, and where each file is kept. Raises Unreadable."""
    value = _read(outside, f"{folder}/before.json")
    try:
        _check_home(value, folder)
        snapshot = Snapshot(
            entries={path: Entry(*row) for path, row in value["entries"].items()},
            sites=tuple(value["sites"]),
            names=frozenset(value["names"]),
            arrives=frozenset(value["arrives"]),
            whole=bool(value["whole"]),
        )
        return snapshot, dict(value["kept"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise Unreadable(f"`{folder}/before.json`: {problem}") from None


def write_changes(outside: Outside, folder: str, changes: Changes, kept: Mapping[str, Any]) -> None:
    """Write what a finished install changed, path by path. Raises OSError."""
    value = {"home": _home(folder), "paths": changes.paths, "kept": kept}
    _write_all(outside, f"{folder}/after.json", value)


def read_changes(outside: Outside, folder: str) -> tuple[Changes, dict[str, Any]]:
    """The changes, and where each file is kept. Raises Unreadable."""
    value = _read(outside, f"{folder}/after.json")
    try:
        _check_home(value, folder)
        paths = {path: (_entry(before), _entry(after)) for path, (before, after) in value["paths"].items()}
        return Changes(paths=paths), dict(value["kept"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise Unreadable(f"`{folder}/after.json`: {problem}") from None


def _home(folder: str) -> str:
    return folder.rpartition("/")[0]


def _check_home(value: Any, folder: str) -> None:
    """Paths are absolute: those of a copied or moved environment are another environment's."""
    if value is None:
        raise ValueError("it is not there")
    if value["home"] != _home(folder):
        raise ValueError(f"it is about `{_home(value['home'])}`: the environment was copied or moved since")


def _entry(row: list[Any] | None) -> Entry | None:
    return None if row is None else Entry(*row)


def _read(outside: Outside, path: str) -> Any:
    """None where there is no such file. Names that are not UTF-8 come back as they were written: JSON keeps
    the lone surrogates of `os.fsdecode`."""
    try:
        return json.loads(outside.read_bytes(path, LIMIT))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as problem:
        raise Unreadable(f"`{path}`: {problem}") from None


def _write(outside: Outside, path: str, value: Any) -> None:
    outside.write_bytes(path, json.dumps(value, separators=(",", ":")).encode("ascii"))


def _write_all(outside: Outside, path: str, value: Any) -> None:
    """The same in a fifth of the time, which is 0.1 s for 60,000 paths; what puts back does without it."""
    import msgspec

    try:
        outside.write_bytes(path, msgspec.json.encode(value))
    except UnicodeEncodeError:  # a name that is not UTF-8
        _write(outside, path, value)
