"""The virtual environment that `--venv` names, made where it is not there."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import NamedTuple

from envfix.errors import InputError, InstallFailed
from envfix.explanation import why_failed
from envfix.install.making import clear, mark, remove_made, unmark
from envfix.install.transaction.change import Contended
from envfix.installers import pip_environment, uv_binary, uv_environment, uv_folder
from envfix.model.target import PipConfig
from envfix.ports import Outside, Ran
from envfix.tree import Held

_VERSION = "import sys; print('%s %d.%d.%d' % ((sys.implementation.name,) + sys.version_info[:3]))"
TIME_LIMIT = 180.0
_ANOTHER = "name another folder: --venv .venv"


class Place(NamedTuple):
    """Where an environment is or is to be made.

    `folder` is absolute; `python` the interpreter in it; `base` the one to make it with; `there` says that
    the environment is there; `kept` is the deepest folder on the way to it that was there before, `folder`
    itself where it was there and empty.
    """

    folder: str
    python: str
    base: str
    there: bool
    kept: str


def check_venv(outside: Outside, directory: str, python: str | None) -> Place:
    """Where `--venv directory` leads, without making anything.

    Raises InputError for a folder that is something else or cannot be written, an environment of another
    Python than `python`, and a `python` that is not there.
    """
    folder = os.path.abspath(os.path.expanduser(directory))  # noqa: PTH100, PTH111
    inside = _python_of(folder)
    kept = _way(outside, folder)
    if outside.exists(f"{folder}/pyvenv.cfg"):
        _check_existing(outside, folder, inside, python)
        return Place(folder, inside, inside, True, folder)
    if outside.exists(inside):
        raise InputError(
            f"`{folder}` has a Python, but no `pyvenv.cfg`: it is no virtual environment",
            f"install into it as it is: --python {shlex.quote(inside)}",
        )
    if outside.listdir(folder):
        raise InputError(f"`{folder}` is a folder with other files, not a virtual environment", _ANOTHER)
    if not outside.writable(folder):
        raise InputError(f"`{folder}` cannot be made: no permission to write in `{kept}`", _ANOTHER)
    return Place(folder, inside, _named(outside, python), False, kept)


def make_venv(
    outside: Outside,
    place: Place,
    config: PipConfig,
    *,
    offline: bool,
    before_asking: Callable[[], object],
) -> Held:
    """Make the environment, marked as not finished until `finish_venv`; nothing is left when this raises.

    It is seeded with pip, because notebooks use `%pip`: one that uv has in its cache, else the index is
    asked, after `before_asking` has returned. Raises InstallFailed or InputError when it cannot be made, and
    Contended where another process has begun to make it, whose work is left alone.
    """
    held: Held | None = None
    try:
        with outside.undisturbed():  # a Ctrl-C finds either nothing or what is known to be made here
            held = _begun(outside, place)
        _make(outside, place, config, before_asking, offline=offline)
        if not outside.exists(place.python):
            raise InstallFailed(
                f"the new virtual environment `{place.folder}` has no interpreter `{place.python}`"
            )
    except BaseException:
        if held is not None:
            remove_venv(outside, place, held)
        raise
    return held


def _begun(outside: Outside, place: Place) -> Held:
    """The lock on the folder's mark. Raises Contended where another process has it, InputError where no
    folder can be made there."""
    try:
        if place.folder != place.kept and not outside.claim_dir(place.folder):
            raise Contended
        held = mark(outside, place.folder, place.kept)
    except OSError as problem:
        raise InputError(f"`{place.folder}` cannot be made: {problem.strerror}", _ANOTHER) from None
    if held is None:
        raise Contended
    return held


def finish_venv(outside: Outside, place: Place, held: Held) -> None:
    """The environment stays."""
    unmark(outside, place.folder)
    held.release()


def remove_venv(outside: Outside, place: Place, held: Held) -> None:
    """Remove an environment that was made now, with the folders made for it; what was there before stays."""
    try:
        with outside.undisturbed():
            remove_made(outside, place.folder, place.kept)
    finally:
        held.release()


def _python_of(folder: str) -> str:
    return f"{folder}/Scripts/python.exe" if os.name == "nt" else f"{folder}/bin/python"


def _way(outside: Outside, folder: str) -> str:
    """The deepest folder on the way that is there. Raises InputError for a file or a dead link on the way."""
    for path in (PurePath(folder), *PurePath(folder).parents):
        if outside.is_dir(str(path)):
            return str(path)
        if outside.exists(str(path)):
            raise InputError(f"`{path}` is a file, so no virtual environment can be at `{folder}`", _ANOTHER)
        goal = outside.realpath(str(path))
        if goal != f"{outside.realpath(str(path.parent)).rstrip('/')}/{path.name}" and os.name != "nt":
            raise InputError(f"`{path}` is a link to `{goal}`, which is not there", _ANOTHER)
    return "/"


def _named(outside: Outside, python: str | None) -> str:
    if python is None:
        return sys.executable
    found = python if outside.exists(python) else outside.which(python)
    if found is None:
        raise InputError(f"no Python is at `{python}`", "name its path: --python /usr/bin/python3")
    return os.path.abspath(found)  # noqa: PTH100


def _version(outside: Outside, python: str) -> str | None:
    ran = outside.run([python, "-I", "-c", _VERSION], timeout=30)
    return ran.out.strip() if ran.ok and ran.out.strip() else None


def _check_existing(outside: Outside, folder: str, inside: str, python: str | None) -> None:
    found = _version(outside, inside)
    if found is None:
        raise InputError(
            f"the virtual environment `{folder}` has no working interpreter `{inside}`",
            "remove the folder, or name another: --venv .venv",
        )
    if python is None:
        return
    named = _named(outside, python)
    wanted = _version(outside, named)
    if wanted is None:
        raise InputError(f"`{named}` is no Python that runs", "name its path: --python /usr/bin/python3")
    if wanted != found:
        raise InputError(
            f"`{folder}` is a virtual environment of {_spoken(found)}, "
            f"`--python {python}` is {_spoken(wanted)}",
            "leave --python out, or name another folder: --venv .venv",
        )


def _spoken(version: str) -> str:
    name, number = version.split(" ", 1)
    return f"Python {number}" if name == "cpython" else f"{name} (Python {number})"


def _make(
    outside: Outside, place: Place, config: PipConfig, before_asking: Callable[[], object], *, offline: bool
) -> None:
    """uv first, for it is fast; where it gets no pip to seed, the standard library's venv.

    A pip from uv's cache may not be the newest, no more than the one that comes with Python: to ask for
    another takes five times as long as all else, and longer while the resolver asks too (two at once wait 5 s
    where a name server drops one of two questions).
    """
    argv = [uv_binary(outside), "venv", "--quiet", "--no-project", "--seed", "--python", place.base]
    argv.append("--allow-existing")  # the folder holds the mark
    argv += ["--no-index"] if config.no_index else []
    env = uv_environment(outside.environ, config)
    # Away from the user's folder, whose `uv.toml` is about a project of its own.
    away = uv_folder(outside)
    first = outside.run([*argv, "--offline", place.folder], timeout=TIME_LIMIT, env=env, cwd=away)
    if not first.ok and not offline:
        clear(outside, place.folder)
        before_asking()
        first = outside.run([*argv, place.folder], timeout=TIME_LIMIT, env=env, cwd=away)
    if first.ok:
        return
    clear(outside, place.folder)
    argv = [place.base, "-I", "-m", "venv", place.folder]
    second = outside.run(argv, timeout=TIME_LIMIT, env=pip_environment(outside.environ, config))
    if not second.ok:
        raise InstallFailed(
            f"the virtual environment `{place.folder}` cannot be made: "
            f"{_said(second) or _said(first) or why_failed(second)}"
        )


def _said(ran: Ran) -> str:
    return why_failed(ran) if ran.error or ran.err.strip() or ran.out.strip() else ""
