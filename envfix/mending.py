"""Before a command works on an environment: what an earlier change of it left half done."""

from __future__ import annotations

import shlex

from envfix.errors import InputError
from envfix.install import making
from envfix.install.transaction import recover
from envfix.install.transaction.recover import CannotTell, Recovered
from envfix.model.matrix import Matrix
from envfix.situation import Parts, Situation, Where, situate


def put_right(parts: Parts, where: Where, matrix: Matrix | None = None, *, makes: bool = False) -> Situation:
    """`situate` for what may write: a change that did not finish is put back first.

    With `makes`, an environment that was never finished is removed, to be made anew. Raises InputError for
    one without it, EnvironmentChanged where a change cannot be put back. Without it, a change whose record
    cannot be read is only said.
    """
    outside = parts.outside
    if where.venv is not None and _unfinished_venv(parts, where.venv, makes):
        outside.say(f"`{where.venv}` was never finished, and was removed: it is made anew")
    here = situate(parts, where, matrix, to_install=True)
    if here.new_venv:
        return here
    _refuse_unfinished(parts, here)
    try:
        done = recover.recover(outside, here.target.purelib)
    except CannotTell as problem:
        if makes:
            raise
        done = ()
        _warn(parts, problem)
    for one in done:
        outside.say(str(one))
    return situate(parts, where, matrix, to_install=True) if done else here


def put_back(parts: Parts, here: Situation) -> tuple[Recovered, ...]:
    """Put back what did not finish in the environment; what that was."""
    _refuse_unfinished(parts, here)
    return recover.recover(parts.outside, here.target.purelib)


def look(parts: Parts, where: Where, matrix: Matrix | None = None, *, to_install: bool = False) -> Situation:
    """`situate` for what writes nothing: a change that did not finish is only said."""
    here = situate(parts, where, matrix, to_install=to_install)
    outside = parts.outside
    if where.venv is not None and making.is_marked(outside, where.venv):
        outside.say(
            f"warning: `{where.venv}` was not finished by the envfix that makes it; "
            f"to make it anew: {shlex.join(['envfix', 'install', '--venv', where.venv])}"
        )
    elif not here.new_venv:
        _say_unfinished(parts, here)
    return here


def _say_unfinished(parts: Parts, here: Situation) -> None:
    try:
        cut = recover.unfinished(parts.outside, here.target.purelib)
    except CannotTell as problem:
        _warn(parts, problem)
        return
    if cut is not None:
        parts.outside.say(
            f"warning: a change of `{here.target.executable}` ({recover.spoken(cut)}) is under way or did "
            f"not finish; to put it back: {_rollback(here)}"
        )


def _warn(parts: Parts, problem: CannotTell) -> None:
    parts.outside.say(f"warning: {problem.message} ({problem.hint})")


def _rollback(here: Situation) -> str:
    return shlex.join(["envfix", "rollback", "--python", here.target.executable])


def _unfinished_venv(parts: Parts, folder: str, removes: bool) -> bool:
    if removes:
        return making.remove_abandoned(parts.outside, folder)
    if making.is_marked(parts.outside, folder):
        raise _not_finished(folder)
    return False


def _refuse_unfinished(parts: Parts, here: Situation) -> None:
    """One named by its interpreter is not removed: nobody said that an environment should be made."""
    if here.target.virtual and making.is_marked(parts.outside, here.target.prefix):
        raise _not_finished(here.target.prefix)


def _not_finished(folder: str) -> InputError:
    return InputError(
        f"`{folder}` was not finished by the envfix that makes it",
        shlex.join(["envfix", "install", "--venv", folder]),
    )
