"""What is there now of all that a change may touch, and which of it is the change's own work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from envfix.install.transaction.journal import FOLDER as HOME
from envfix.install.transaction.journal import Snapshot
from envfix.record import normalised
from envfix.tree import BYTE_CODE, FOLDER, Entry

if TYPE_CHECKING:
    from envfix.ports import Outside

# How the names of what installers leave half done begin: uv's and envfix's temporary files, pip's stash.
_HALF_DONE = (".tmp", ".envfix-", "~")
_INFOS = ("dist-info", "egg-info")


def present(outside: Outside, sites: Sequence[str], others: Iterable[str]) -> dict[str, Entry]:
    """Every path in the `sites` (folders that are walked) and those of the `others` that are there."""
    found: dict[str, Entry] = {}
    for site in sites:
        entry = outside.look(site)
        if entry is not None:
            found[site] = entry
            home = f"{site}/{HOME}"
            below = f"{home}/"
            found.update(
                (path, entry)
                for path, entry in outside.walk(site)
                if path != home and not path.startswith(below)
            )
    return with_others(outside, found, sites, others)


def with_others(
    outside: Outside, found: dict[str, Entry], sites: Sequence[str], others: Iterable[str]
) -> dict[str, Entry]:
    """What was `found` in the `sites`, and those of the `others` that are there."""
    starts = tuple(f"{site}/" for site in sites)
    there: dict[str, bool] = {}
    for path in others:
        if path not in found and not path.startswith(starts) and _is_there(outside, path, there):
            entry = outside.look(path)
            if entry is not None:
                found[path] = entry
    return found


def _is_there(outside: Outside, path: str, known: dict[str, bool]) -> bool:
    """Whether the folder of the path is there: most that may arrive in two places come to one of them."""
    folder = path.rpartition("/")[0]
    if folder not in known:
        known[folder] = not folder or (_is_there(outside, folder, known) and outside.look(folder) is not None)
    return known[folder]


def wanted(snapshot: Snapshot, now: dict[str, Entry]) -> tuple[dict[str, Entry | None], tuple[str, ...]]:
    """What must be at each path for all to be as it was, and the paths that others have added since."""
    aims: dict[str, Entry | None] = dict(snapshot.entries)
    strange = []
    own = _Own(snapshot)
    for path, entry in now.items():
        if path in aims:
            continue
        if own.made(path, entry):
            aims[path] = None
        elif BYTE_CODE not in path:
            strange.append(path)
    return aims, tuple(strange)


class _Own:
    """Whether the change made a path that was not there before."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.folders = {path.rpartition("/")[0] for path in snapshot.arrives} | snapshot.arrives

    def made(self, path: str, entry: Entry) -> bool:
        snapshot = self.snapshot
        if path in snapshot.arrives or (entry.kind == FOLDER and path in self.folders):
            return True
        site = next((site for site in snapshot.sites if path.startswith(f"{site}/")), None)
        if site is None:
            return path.rpartition("/")[2].startswith(_HALF_DONE)
        parts = path[len(site) + 1 :].split("/")
        stem, _, kind = parts[0].rpartition(".")
        about = kind in _INFOS and normalised(stem.partition("-")[0]) in snapshot.names
        if not snapshot.whole or about:
            return True
        return any(part.startswith(_HALF_DONE) for part in parts) or self._is_cache(path)

    def _is_cache(self, path: str) -> bool:
        """Byte code of a file that the change brings or brought."""
        folder, _, name = path.rpartition("/")
        if name == BYTE_CODE:
            return folder in self.folders
        if not folder.endswith(f"/{BYTE_CODE}"):
            return False
        source = f"{folder[: -len(BYTE_CODE) - 1]}/{name.partition('.')[0]}.py"
        return source in self.snapshot.arrives
