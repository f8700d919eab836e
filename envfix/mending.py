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
    here = _finished(parts, where, matrix) if makes else None
    if here is None:
        _refuse_marked(parts, where, where.venv)
        here = situate(parts, where, matrix, to_install=True)
    if here.new_venv:
        return here
    _refuse_unfinished(parts, where, here)
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


def _finished(parts: Parts, where: Where, matrix: Matrix | None) -> Situation | None:
    """`situate`, where nobody makes the environment any more; None without `--venv`.

    Another envfix may begin to make it at any moment, and its Python may not be there yet.
    """
    while where.venv is not None:
        if making.remove_abandoned(parts.outside, where.venv):
            parts.outside.say(f"`{where.venv}` was never finished, and was removed: it is made anew")
        try:
            here = situate(parts, where, matrix, to_install=True)
        except InputError:
            if not making.is_marked(parts.outside, where.venv):
                raise
            continue
        if not making.is_marked(parts.outside, where.venv):
            return here
    return None


def put_back(parts: Parts, where: Where, here: Situation) -> tuple[Recovered, ...]:
    """Put back what did not finish in the environment; what that was."""
    _refuse_unfinished(parts, where, here)
    return recover.recover(parts.outside, here.target.purelib)


def look(parts: Parts, where: Where, matrix: Matrix | None = None, *, to_install: bool = False) -> Situation:
    """`situate` for what writes nothing: a change that did not finish is only said."""
    outside = parts.outside
    marked = where.venv is not None and making.is_marked(outside, where.venv)
    here = situate(parts, where, matrix, to_install=to_install, anew=marked and to_install)
    if marked:
        outside.say(
            f"warning: `{where.venv}` was not finished by the envfix that makes it; "
            f"to make it anew: {_anew(where, where.venv)}"
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


def _refuse_unfinished(parts: Parts, where: Where, here: Situation) -> None:
    """One named by its interpreter is not removed: nobody said that an environment should be made."""
    if here.target.virtual:
        _refuse_marked(parts, where, here.target.prefix)


def _refuse_marked(parts: Parts, where: Where, folder: str | None) -> None:
    if folder is not None and making.is_marked(parts.outside, folder):
        raise InputError(
            f"`{folder}` was not finished by the envfix that makes it",
            f"to make it anew: {_anew(where, folder)}\nto remove it: {shlex.join(['rm', '-r', folder])}",
        )


def _anew(where: Where, folder: str | None) -> str:
    machine = ["--machine", where.machine] if where.machine else []
    return shlex.join(["envfix", "install", *machine, "--venv", folder or ""])
