"""The transactions of an environment that are complete: listed, undone, and in the end forgotten."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from envfix.errors import EnvironmentChanged, InputError
from envfix.install.transaction import journal, recover
from envfix.install.transaction.journal import Journal, State, Unreadable
from envfix.install.transaction.putback import Outcome, few
from envfix.tree import BYTE_CODE, FOLDER

if TYPE_CHECKING:
    from envfix.ports import Outside

# How many stay, and how many bytes their files may hold together; the newest stays whatever it holds.
KEEP = 3
KEEP_BYTES = 10_000_000_000


def now() -> str:
    """The local time as people write it, for them alone: nothing is decided by it."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def complete(outside: Outside, site: str) -> tuple[Journal, ...]:
    """Those that came to their end, newest first. Raises EnvironmentChanged for a journal it cannot read."""
    home = journal.home_of(outside, site)
    try:
        found = [one for one in journal.journals(outside, home) if one.state is State.COMMITTED]
    except Unreadable as problem:
        raise EnvironmentChanged(f"the record of a change cannot be read: {problem}") from None
    return tuple(reversed(found))


def undoable(outside: Outside, site: str, number: int | None) -> Journal:
    """The transaction to undo, the latest where none is named. Raises InputError where there is none, where a
    later one stands on it, or where others have changed its files since."""
    found = complete(outside, site)
    if not found:
        raise InputError(f"envfix has changed nothing in `{site}` that it could put back")
    latest = found[0]
    if number is None or number == latest.number:
        _check_unchanged(outside, f"{journal.home_of(outside, site)}/{latest.number}", latest)
        return latest
    if number not in [one.number for one in found]:
        there = ", ".join(str(one.number) for one in found)
        raise InputError(
            f"there is no transaction {number} in `{site}`, found {there}", "envfix rollback --list"
        )
    raise InputError(
        f"transaction {latest.number} was made after {number} and stands on it",
        f"roll it back first: envfix rollback {latest.number}",
    )


def _check_unchanged(outside: Outside, folder: str, entry: Journal) -> None:
    try:
        changes, _ = journal.read_changes(outside, folder)
    except Unreadable as problem:
        home = folder.rpartition("/")[0]
        raise InputError(
            f"transaction {entry.number} cannot be rolled back: {problem}",
            f"what is kept for it can go: {shlex.join(['rm', '-r', home])}",
        ) from None
    wrong = []
    for path, (_, after) in changes.paths.items():
        found = outside.look(path)
        if BYTE_CODE in path or (after is not None and after.kind == FOLDER):
            continue  # Python's own, and what follows from what is in it
        if (found is None) != (after is None) or (found and after and not found.same(after)):
            wrong.append(path)
    if wrong:
        raise InputError(
            f"transaction {entry.number} cannot be rolled back, for others have changed its files since: "
            + few(wrong),
            "envfix install puts right what is there now",
        )


def undo(outside: Outside, site: str, number: int) -> Outcome:
    """Put back what the transaction changed. The lock is taken for it.

    Raises InputError as `undoable` does, EnvironmentChanged where it cannot be put back now.
    """
    home = journal.home_of(outside, site)
    held, _ = recover.acquire(outside, home)
    assert held is not None
    try:
        # Another envfix may have been killed since it was looked at: its change stands on this one.
        for one in recover.ended(outside, home):
            outside.say(str(one))
        entry = undoable(outside, site, number)
        with outside.undisturbed():
            return recover.back(outside, f"{home}/{number}", entry)
    except (OSError, Unreadable) as problem:
        raise EnvironmentChanged(
            f"transaction {number} cannot be put back now: {problem}",
            "make room or writable, then run the same command again",
        ) from None
    finally:
        recover.leave(outside, home, held)


def prune(outside: Outside, home: str) -> None:
    """Forget the oldest that are complete, of which more are there than are kept."""
    total = 0
    done = [one for one in journal.journals(outside, home) if one.state is State.COMMITTED]
    for place, entry in enumerate(reversed(done)):
        total += entry.kept_bytes
        if place and (place >= KEEP or total > KEEP_BYTES):
            recover.discard(outside, f"{home}/{entry.number}")
