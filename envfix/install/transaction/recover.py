"""Ending what an envfix that was killed, or lost its power or its disk, has left: the next one does it.

Only the standard library is needed, for the packages that envfix imports may be half replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from envfix.errors import EnvironmentChanged
from envfix.install.transaction import journal
from envfix.install.transaction.journal import Journal, State, Unreadable
from envfix.install.transaction.kept import Kept
from envfix.install.transaction.putback import Outcome, differing, few, put_back
from envfix.install.transaction.surroundings import present, wanted
from envfix.tree import BYTE_CODE, Entry

if TYPE_CHECKING:
    from envfix.ports import Outside
    from envfix.tree import Held

LOCK = "lock"
_LOOK_AGAIN = 0.2  # seconds
# From the first change to the last file put back.
HALF = frozenset({State.INSTALLING, State.INSTALLED, State.ROLLING_BACK})


class Recovered(NamedTuple):
    """A change that did not finish, and what was not put back of it (nothing, unless others were at work).
    `home` is the folder of the environment's transactions; `completed` says that all of it was there and only
    its end was missing."""

    home: str
    journal: Journal
    outcome: Outcome
    completed: bool = False

    def __str__(self) -> str:
        ended = "is complete" if self.completed else "was put back: the environment is as it was before"
        return (
            f"a change of `{self.journal.python}` ({spoken(self.journal)}) did not finish and {ended}"
            + said_of(self.outcome)
        )


def spoken(entry: Journal) -> str:
    """`tensorflow 2.20.0 -> 2.21.0 and 11 more, 2026-11-23 06:30`."""
    first = next((row for row in entry.packages if row.name.startswith("tensorflow")), None)
    first = first or (entry.packages[0] if entry.packages else None)
    if first is None:
        return entry.started
    more = f" and {len(entry.packages) - 1} more" if len(entry.packages) > 1 else ""
    return f"{first.name} {first.before or 'none'} -> {first.after or 'none'}{more}, {entry.started}"


def said_of(outcome: Outcome) -> str:
    """What is to be added to "as it was"; nothing where that is all."""
    said = ""
    if outcome.lost:
        said += f"; written into while it was replaced, so not as it was: {few(outcome.lost)}"
    if outcome.strange:
        said += f"; left alone, for envfix did not write it: {few(outcome.strange)}"
    return said


def unfinished(outside: Outside, site: str) -> Journal | None:
    """The change of the environment that is under way or was cut off; reads only. Raises EnvironmentChanged
    for a journal that cannot be read."""
    home = journal.home_of(outside, site)
    try:
        found = [entry for entry in journal.journals(outside, home) if entry.state in HALF]
    except Unreadable as problem:
        raise _unreadable(home, problem) from None
    return found[-1] if found else None


def has_leftovers(outside: Outside, site: str) -> bool:
    """Whether `recover` would find something to end or to take away."""
    home = journal.home_of(outside, site)
    if not outside.is_dir(home):
        return False
    try:
        states = [journal.read(outside, f"{home}/{number}") for number in journal.numbers(outside, home)]
    except Unreadable:
        return True
    if not states or _stray(outside, home):
        return True
    return any(one is None or one.state is not State.COMMITTED for one in states)


def _stray(outside: Outside, home: str) -> list[str]:
    """The files that are neither a transaction nor the lock: an envfix that was killed has left them."""
    names = (name for name in outside.listdir(home) if name != LOCK)
    return [name for name in names if not outside.is_dir(f"{home}/{name}")]


def acquire(outside: Outside, home: str, *, wait: bool = True) -> tuple[Held | None, bool]:
    """The lock of the environment, and whether it had to be waited for. Raises OSError."""
    waited = False
    while True:
        held = None
        try:
            with outside.undisturbed():
                if not outside.is_dir(home):
                    _unseen(outside, home, lambda: outside.claim_dir(home))
                held = outside.hold(f"{home}/{LOCK}")
        except FileNotFoundError:
            continue  # the one that had it has just taken the folder away
        except BaseException:
            if held is not None:
                leave(outside, home, held)  # or an interrupt would leave an empty folder behind
            raise
        if held is not None or not wait:
            return held, waited
        if not waited:
            site = home.rpartition("/")[0]
            outside.say(f"another envfix changes `{site}`: waiting until it has ended (Ctrl-C leaves)")
            waited = True
        time.sleep(_LOOK_AGAIN)


def leave(outside: Outside, home: str, held: Held) -> None:
    """Give the lock up; where no transaction is left, take the folder away, as if it had never been."""
    try:
        with outside.undisturbed():
            _tidy(outside, home)
    except OSError as problem:
        outside.say(f"warning: `{home}` is empty and cannot be removed: {problem.strerror}")
    finally:
        held.release()


def _tidy(outside: Outside, home: str) -> None:
    for name in _stray(outside, home):
        outside.remove(f"{home}/{name}")
    if journal.numbers(outside, home):
        return
    outside.remove(f"{home}/{LOCK}")
    # Another one may have come, and has a lock of its own in it.
    if not outside.listdir(home):
        _unseen(outside, home, lambda: outside.remove_dir(home))


def _unseen(outside: Outside, home: str, step: Callable[[], object]) -> None:
    """Make or remove a folder of ours without a trace in the time of the folder around it."""
    site = home.rpartition("/")[0]
    entry = outside.look(site)
    step()
    if entry is not None:
        outside.dress(site, entry)


def recover(outside: Outside, site: str, *, wait: bool = True) -> tuple[Recovered, ...]:
    """End what was cut off in the environment whose packages are in `site`.

    Waits for a living envfix, unless `wait` is false. Raises EnvironmentChanged where it cannot be done.
    """
    home = journal.home_of(outside, site)
    if not has_leftovers(outside, site):
        return ()
    try:
        held, _ = acquire(outside, home, wait=wait)
        if held is None:
            return ()
        try:
            return ended(outside, home)
        finally:
            leave(outside, home, held)
    except OSError as problem:
        if unfinished(outside, site) is None:
            return ()  # another user's leavings, which mean nothing
        raise EnvironmentChanged(
            f"a change of the packages in `{site}` did not finish, and cannot be put back: "
            f"`{problem.filename or site}`: {problem.strerror or problem}",
            "make room or writable, then run the same command again",
        ) from None


def ended(outside: Outside, home: str) -> tuple[Recovered, ...]:
    """What `recover` does under the lock, for whoever has it already. Raises EnvironmentChanged, OSError."""
    done = []
    try:
        for number in reversed(journal.numbers(outside, home)):
            folder = f"{home}/{number}"
            entry = journal.read(outside, folder)
            if entry is None or entry.state in (State.PREPARED, State.ROLLED_BACK):
                discard(outside, folder)
            elif entry.state is State.CHECKED:
                complete(outside, folder, entry)
                done.append(Recovered(home, entry, Outcome(), completed=True))
            elif entry.state in HALF:
                with outside.undisturbed():
                    done.append(Recovered(home, entry, back(outside, folder, entry)))
    except Unreadable as problem:
        raise _unreadable(home, problem) from None
    return tuple(done)


def back(outside: Outside, folder: str, entry: Journal) -> Outcome:
    """Put everything back that the transaction in `folder` changed or may have changed, and forget it.

    Raises OSError where that cannot be done now: the journal then says so to the next one. Raises Unreadable.
    """
    if entry.state is not State.ROLLING_BACK:
        entry = entry._replace(state=State.ROLLING_BACK)
        journal.write(outside, folder, entry)
    aims, places, strange = _aims(outside, folder, entry)
    outcome = put_back(outside, aims, Kept(outside, folder, places))
    left = {*outcome.lost, *outcome.strange}
    wrong = tuple(path for path in differing(outside, aims) if path not in left and BYTE_CODE not in path)
    if wrong:
        raise OSError(0, "is still not as it was", wrong[0])
    outside.settle_all(folder)
    journal.write(outside, folder, entry._replace(state=State.ROLLED_BACK))
    discard(outside, folder)
    changed = tuple(path for path in outcome.strange if BYTE_CODE not in path)
    return Outcome(outcome.lost, (*changed, *strange))


def _aims(
    outside: Outside, folder: str, entry: Journal
) -> tuple[dict[str, Entry | None], dict[str, object], tuple[str, ...]]:
    if entry.committed:
        changes, places = journal.read_changes(outside, folder)
        aims = {path: before for path, (before, _) in changes.paths.items()}
        aims.update(_newer_byte_code(outside, aims))
        return aims, places, ()
    snapshot, places = journal.read_snapshot(outside, folder)
    others = [path for path in snapshot.entries if not within(path, snapshot.sites)]
    now = present(outside, snapshot.sites, (*others, *snapshot.arrives))
    aims, strange = wanted(snapshot, now)
    return aims, places, strange


def within(path: str, sites: tuple[str, ...]) -> bool:
    """Whether the path is below one of the folders."""
    return any(path.startswith(f"{site}/") for site in sites)


def _newer_byte_code(outside: Outside, aims: dict[str, Entry | None]) -> dict[str, None]:
    """Byte code that Python has written since of modules that go or become others."""
    sources: dict[str, set[str]] = {}
    for path in aims:
        above, _, name = path.rpartition("/")
        if name.endswith(".py"):
            sources.setdefault(above, set()).add(name[:-3])
    found: dict[str, None] = {}
    for above, stems in sources.items():
        cache = f"{above}/{BYTE_CODE}"
        names = [name for name in outside.listdir(cache) if name.partition(".")[0] in stems]
        found.update((f"{cache}/{name}", None) for name in names if f"{cache}/{name}" not in aims)
        if names and cache not in aims:
            found[cache] = None  # it goes if nothing else is in it
    return found


def complete(
    outside: Outside, folder: str, entry: Journal, places: Mapping[str, Any] | None = None
) -> Journal:
    """End a transaction that was checked: it stays, and only what it changed is kept of it.

    `places` are those of its changes, where they need not be read again.
    """
    if places is None:
        _, places = journal.read_changes(outside, folder)
    entry = entry._replace(state=State.COMMITTED, committed=True)
    journal.write(outside, folder, entry)
    names = {place[1] for place in places.values()}
    for name in outside.listdir(f"{folder}/kept"):
        if name not in names:
            outside.remove(f"{folder}/kept/{name}")
    outside.remove(f"{folder}/before.json")
    return entry


def discard(outside: Outside, folder: str) -> None:
    """Forget a transaction. Without its journal, what is left of it is of no meaning to anybody."""
    outside.remove(f"{folder}/journal.json")
    outside.remove_tree(folder)


class CannotTell(EnvironmentChanged):
    """A change did not finish, and nobody can say any more what it was."""


def _unreadable(home: str, problem: Unreadable) -> CannotTell:
    return CannotTell(
        f"a change did not finish, and its record cannot be read: {problem}",
        f"make the environment anew, or remove `{home}` to keep it as it is",
    )
