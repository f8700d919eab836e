"""A change of an environment that was there before: from the lock to the commit, and back from anywhere
between."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from envfix.errors import EnvironmentChanged, InputError, InstallFailed
from envfix.install import loader
from envfix.install.transaction import history, imports, journal, recover, snapshot
from envfix.install.transaction.change import Change, Contended
from envfix.install.transaction.ending import ended, message_of
from envfix.install.transaction.journal import Changes, Journal, Moved, Snapshot, State
from envfix.install.transaction.kept import Keeper
from envfix.install.transaction.patience import Patience
from envfix.install.transaction.surroundings import present, wanted
from envfix.model.plan import Break
from envfix.model.target import Target
from envfix.ports import Outside
from envfix.tree import BYTE_CODE, FOLDER, LINK, Entry, Held


class Transaction(Change):
    """A change of an environment that was there before, which comes back when the change fails."""

    def __init__(self, outside: Outside, target: Target, reread: Callable[[], Target], home: str) -> None:
        super().__init__(outside, target, reread)
        self.home = home
        self.folder = ""
        self.journal: Journal | None = None
        self.taken: snapshot.Taken | None = None
        self.keeper: Keeper | None = None

    @property
    def number(self) -> int | None:
        complete = self.journal is not None and self.journal.state is State.COMMITTED
        return self.journal.number if self.journal and complete else None

    @property
    def needs_fetch(self) -> bool:
        return True

    @property
    def lasts(self) -> bool:
        return True

    def copied_bytes(self, leaving: Collection[str]) -> int:
        return snapshot.copied_bytes(self.outside, self.target, {*leaving, loader.NAME}, self.home)

    def begin(
        self, moved: Sequence[Moved], arrives: Sequence[str] | None, accepted: Sequence[Break] = ()
    ) -> None:
        super().begin(moved, arrives, accepted)
        outside = self.outside
        number = max(journal.numbers(outside, self.home), default=0) + 1
        self.folder = f"{self.home}/{number}"
        outside.make_dir(self.folder)
        imports.import_all(outside, (self.target.purelib, self.target.platlib))
        leaving = {row.name for row in moved} | {loader.NAME}
        own = loader.describe(outside, self.target)
        names = None if arrives is None else [*arrives, *own.files, *own.compiled.values(), BYTE_CODE]
        with Patience(outside, "keeping what is going to be replaced ..."):
            self.taken = snapshot.take(outside, self.target, leaving, names)
            self.keeper = Keeper(outside, self.folder)
            for path in self.taken.going:
                self.keeper.keep(path, self.taken.snapshot.entries[path])
            self.keeper.finish()
        journal.write_snapshot(outside, self.folder, self.taken.snapshot, self.keeper.places)
        prepared = Journal(
            number=number,
            state=State.PREPARED,
            started=history.now(),
            python=self.target.executable,
            packages=tuple(moved),
        )
        self._to(prepared)
        outside.settle(self.home)
        self._to(prepared._replace(state=State.INSTALLING))

    def _to(self, entry: Journal) -> None:
        journal.write(self.outside, self.folder, entry)
        self.journal = entry

    def finish(self) -> None:
        if self.journal is None or self.taken is None:
            return  # nothing was to be changed
        self._to(self.journal._replace(state=State.INSTALLED))
        now = self.reread()
        self._check(now)
        changes, places, held = self._changes(self.taken.snapshot)
        rows = tuple(row._replace(after=now.version_of(row.name)) for row in self._rows(now))
        with self.outside.undisturbed():
            if not rows and not changes.paths:
                recover.discard(self.outside, self.folder)  # nothing that could be undone
                self.journal = None
                return
            journal.write_changes(self.outside, self.folder, changes, places)
            self._to(self.journal._replace(state=State.CHECKED, packages=rows, kept_bytes=held))
            self.journal = recover.complete(self.outside, self.folder, self.journal, places)
            self._prune()

    def _prune(self) -> None:
        """What is installed is installed, whether or not the oldest transactions can be forgotten."""
        try:
            history.prune(self.outside, self.home)
        except OSError as problem:
            self.outside.say(f"warning: old transactions cannot be removed: {message_of(problem)}")

    def _rows(self, now: Target) -> list[Moved]:
        """What really moved: of the loader nobody knew before whether it would."""
        assert self.journal is not None
        before = self.target.version_of(loader.NAME)
        rows = [row for row in self.journal.packages if row.name != loader.NAME]
        if before != now.version_of(loader.NAME):
            rows.append(Moved(loader.NAME, before, None))
        return rows

    def _changed(self, now: Target) -> set[str]:
        assert self.journal is not None
        return {row.name for row in self.journal.packages} | {loader.NAME}

    def _changes(self, before: Snapshot) -> tuple[Changes, dict[str, object], int]:
        """What became different, where its old files are kept, and how many bytes those hold."""
        assert self.keeper is not None
        others = [path for path in before.entries if not recover.within(path, before.sites)]
        now = present(self.outside, before.sites, (*others, *before.arrives))
        aims, _ = wanted(before, now)
        paths = {path: (was, now.get(path)) for path, was in aims.items() if _became(was, now.get(path))}
        paths = {
            path: both
            for path, both in paths.items()
            if both[0] is None or both[0].kind in (FOLDER, LINK) or path in self.keeper.places
        }
        places: dict[str, object] = {
            path: place for path, place in self.keeper.places.items() if path in paths
        }
        held = sum(both[0].size for path, both in paths.items() if both[0] and path in places)
        return Changes(paths), places, held

    def after_failure(self) -> str:
        with self.outside.undisturbed():
            return self._put_back()

    def _put_back(self) -> str:
        if self.journal is None or self.journal.state is State.PREPARED:
            # It may have been stopped before there was a folder.
            if self.outside.is_dir(self.folder):
                recover.discard(self.outside, self.folder)
            return "the environment is as it was"
        if self.journal.state is State.COMMITTED:
            return "what was to be installed is installed"
        with Patience(self.outside, "putting the environment back ..."):
            outcome = recover.back(self.outside, self.folder, self.journal)
        said = recover.said_of(outcome)
        if said:
            raise EnvironmentChanged(f"the environment was put back{said}")
        return "the environment is as it was"


def _became(before: Entry | None, now: Entry | None) -> bool:
    if before is None or now is None:
        return before is not now
    if before.kind == now.kind == FOLDER:
        return before._replace(size=0, inode=0) != now._replace(size=0, inode=0)
    return not before.same(now) or (before.kind != LINK and before.inode != now.inode)


@contextmanager
def changing(
    outside: Outside, target: Target, reread: Callable[[], Target], *, disposable: bool = False
) -> Iterator[Change]:
    """Around everything that changes `target`: at its end it is checked and stays, or is as it was.

    A `disposable` target was made for this, and the caller removes it when this raises. Raises Contended
    where another envfix has changed the environment since `target` was read; InputError for one that this
    user cannot write; what the block raised, with what is true of the environment then.
    """
    if disposable:
        with _put_right(Change(outside, target, reread)) as change:
            yield change
        return
    for folder in dict.fromkeys((target.purelib, target.platlib)):
        if not outside.writable(folder):
            raise InputError(f"`{folder}` cannot be written by this user", "envfix install --venv .venv")
        _check_owner(outside, folder)
    home = journal.home_of(outside, target.purelib)
    held, waited = _locked(outside, home)
    try:
        # What was decided holds for the environment as it was before the lock.
        if _tidied(outside, home) or waited or reread().installed != target.installed:
            raise Contended
        with _put_right(Transaction(outside, target, reread, home)) as change:
            yield change
    finally:
        recover.leave(outside, home, held)


def _check_owner(outside: Outside, folder: str) -> None:
    """Only its owner, or the administrator, can give a file back its times and its owner."""
    entry, user = outside.look(folder), getattr(os, "geteuid", int)()
    if entry is not None and user != 0 and entry.uid not in (-1, user):
        raise InputError(
            f"`{folder}` belongs to another user, so that it could not be put back as it was",
            "envfix install --venv .venv",
        )


def _locked(outside: Outside, home: str) -> tuple[Held, bool]:
    try:
        held, waited = recover.acquire(outside, home)
    except OSError as problem:
        raise InstallFailed(f"{message_of(problem)}; the environment is as it was") from None
    assert held is not None
    return held, waited


def _tidied(outside: Outside, home: str) -> bool:
    """Whether something that did not finish was ended first; it is said."""
    try:
        found = recover.ended(outside, home)
    except OSError as problem:
        raise InstallFailed(f"a change that did not finish cannot be ended: {message_of(problem)}") from None
    for one in found:
        outside.say(str(one))
    return bool(found)


@contextmanager
def _put_right(change: Change) -> Iterator[Change]:
    try:
        yield change
        change.finish()
    except BaseException as problem:
        with change.outside.undisturbed():
            change.give_up()
        raise ended(change, problem) from problem
