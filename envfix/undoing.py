"""Taking back what an install changed: which changes there are, and undoing the latest."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from msgspec import structs

from envfix import mending
from envfix.errors import EnvironmentChanged, InputError
from envfix.install import kernelspec
from envfix.install.transaction import history, recover
from envfix.install.transaction.journal import Journal, home_of
from envfix.install.transaction.putback import Outcome
from envfix.install.transaction.recover import Recovered
from envfix.model.outcome import KernelspecChange, PackageMove, RestartAdvice, Transaction
from envfix.model.results import RolledBack, TransactionList
from envfix.model.target import Target
from envfix.ports import Outside
from envfix.probe import kernel, session
from envfix.restart import stale
from envfix.situation import Parts, Situation, Where, situate


def transactions(parts: Parts, where: Where) -> TransactionList:
    """The changes of the environment that came to their end, newest first; nothing is written.

    Where the latest cannot be undone, that is said.
    """
    here = mending.look(parts, where)
    _refuse_new(here, where)
    found = history.complete(parts.outside, here.target.purelib)
    try:
        if found:
            history.undoable(parts.outside, here.target.purelib, None)
    except InputError as problem:
        parts.outside.say(f"warning: {problem.message} ({problem.hint})")
    return TransactionList(python=here.target.executable, transactions=tuple(map(_transaction, found)))


def rollback(
    parts: Parts,
    where: Where,
    number: int | None,
    approve: Callable[[RolledBack], None],
    earlier: Sequence[Recovered] = (),
) -> RolledBack:
    """Undo the transaction `number`, or the latest.

    A change that did not finish is put back first, and where no number is named that is all; `earlier` is
    what was put back before this was called.

    `approve` is shown what will be put back, and raises to stop before the first change. Raises InputError
    where there is nothing of that number, or it cannot be undone; EnvironmentChanged where that fails.
    """
    here = _there(parts, where)
    home = home_of(parts.outside, here.target.purelib)
    found = [one for one in earlier if one.home == home]
    for one in mending.put_back(parts, where, here):
        parts.outside.say(str(one))
        found.append(one)
    # One of which only the end was missing stays, and can be undone like any other.
    done = [one for one in found if not one.completed]
    if done and number in (None, done[0].journal.number):
        return _undone(parts, here, _rolled_back(here.target, done[0].journal), done[0].outcome)
    site = here.target.purelib
    entry = _undoable(parts, here.target, number)
    planned = _rolled_back(here.target, entry)
    approve(planned)
    return _undone(parts, here, planned, history.undo(parts.outside, site, entry.number))


def _undoable(parts: Parts, target: Target, number: int | None) -> Journal:
    """Raises InputError, which names what undoes a kernel's environment where envfix has made all of it."""
    try:
        return history.undoable(parts.outside, target.purelib, number)
    except InputError as problem:
        made = kernelspec.registered(parts.outside, target.executable)
        if problem.hint is None and any(_lies_in(parts.outside, target.prefix, one.name) for one in made):
            remove = shlex.join(["jupyter", "kernelspec", "remove", *(one.name for one in made)])
            folder = shlex.join(["rm", "-r", target.prefix])
            problem.hint = (
                f"the kernel's environment was made as a whole, and goes as one: {remove} && {folder}"
            )
        raise


def _lies_in(outside: Outside, prefix: str, kernel: str) -> bool:
    """Whether that is the folder that envfix itself has chosen for the kernel: in another one, which `--venv`
    has named, there may be what the user has made."""
    try:
        return outside.realpath(prefix) == outside.realpath(kernelspec.default_folder(kernel))
    except InputError:
        return False  # there is no such folder without a home


def _undone(parts: Parts, here: Situation, planned: RolledBack, outcome: Outcome) -> RolledBack:
    """What was put back, with what a notebook must do. Raises EnvironmentChanged where not all of it was."""
    if outcome.lost or outcome.strange:
        raise EnvironmentChanged(
            f"transaction {planned.transaction.id} was put back{recover.said_of(outcome)}"
        )
    return structs.replace(
        planned,
        restart=_restart(parts, here, planned.transaction),
        kernelspecs=_followed(parts, planned),
    )


def _followed(parts: Parts, planned: RolledBack) -> tuple[KernelspecChange, ...]:
    """The kernels of the interpreter, brought to what it has now; what cannot be written is said."""
    try:
        return kernelspec.follow(parts.outside, planned.python, planned.transaction.packages)
    except OSError as problem:
        parts.outside.say(
            f"warning: a Jupyter kernel still names what is gone: `{problem.filename}`: {problem.strerror}"
        )
        return ()


def _restart(parts: Parts, here: Situation, undone: Transaction) -> RestartAdvice:
    """For a notebook that was started on what is gone now."""
    running = kernel.find_kernel(parts.outside)
    platform, _ = session.read_platform(parts.outside, running)
    names = [move.name for move in undone.packages]
    added = [move.name for move in undone.packages if move.after is None]
    return stale.advise(parts.outside, running, platform, names, here.site_packages, added, parts.caller)


def _there(parts: Parts, where: Where) -> Situation:
    here = situate(parts, where, to_install=True)
    _refuse_new(here, where)
    return here


def _refuse_new(here: Situation, where: Where) -> None:
    if here.new_venv:
        raise InputError(f"`{where.venv}` is no virtual environment", "name one that is there")


def _rolled_back(target: Target, entry: Journal) -> RolledBack:
    return RolledBack(python=target.executable, transaction=_transaction(entry))


def _transaction(entry: Journal) -> Transaction:
    return Transaction(
        id=str(entry.number),
        date=entry.started,
        packages=tuple(
            PackageMove(name=row.name, before=row.before, after=row.after) for row in entry.packages
        ),
        kept_bytes=entry.kept_bytes,
    )
