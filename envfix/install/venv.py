"""The virtual environment that `--venv` names, made where it is not there."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath

from envfix.errors import InputError, InstallFailed
from envfix.installers import pip_environment, uv_binary, uv_environment
from envfix.model.target import PipConfig
from envfix.ports import Outside, Ran

_VERSION = "import sys; print('%s %d.%d.%d' % ((sys.implementation.name,) + sys.version_info[:3]))"
TIME_LIMIT = 180.0


def ensure_venv(
    outside: Outside,
    directory: str,
    python: str | None,
    config: PipConfig | None = None,
    *,
    offline: bool = False,
) -> tuple[str, bool]:
    """The environment's interpreter, and whether the environment was made now.

    A new one is seeded with pip, because notebooks use `%pip`. Raises InputError for a folder that is
    something else or an environment of another Python, InstallFailed when it cannot be made.
    """
    folder = os.path.abspath(os.path.expanduser(directory))  # noqa: PTH100, PTH111
    inside = _python_of(folder)
    _check_way(outside, folder)
    if outside.exists(f"{folder}/pyvenv.cfg"):
        _check_existing(outside, folder, inside, python)
        return inside, False
    if outside.listdir(folder):
        raise InputError(
            f"`{folder}` is a folder with other files, not a virtual environment",
            "name another folder: --venv .venv",
        )
    if not outside.writable(folder):
        raise InputError(
            f"`{folder}` cannot be made: no permission to write there", "name another folder: --venv .venv"
        )
    _make(outside, folder, _named(outside, python), config or PipConfig(), offline)
    if not outside.exists(inside):
        raise InstallFailed(f"the new virtual environment `{folder}` has no interpreter `{inside}`")
    return inside, True


def _python_of(folder: str) -> str:
    return f"{folder}/Scripts/python.exe" if os.name == "nt" else f"{folder}/bin/python"


def _check_way(outside: Outside, folder: str) -> None:
    for path in (PurePath(folder), *PurePath(folder).parents):
        if outside.exists(str(path)):
            if not outside.is_dir(str(path)):
                raise InputError(
                    f"`{path}` is a file, so no virtual environment can be at `{folder}`",
                    "name another folder: --venv .venv",
                )
            return


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


def _make(outside: Outside, folder: str, python: str, config: PipConfig, offline: bool) -> None:
    """uv first, for it is fast; where the index has no pip to seed, the standard library's venv."""
    empty = outside.is_dir(folder)
    argv = [uv_binary(outside), "venv", "--quiet", "--no-project", "--seed", "--python", python]
    argv += [*(["--offline"] if offline else []), *(["--no-index"] if config.no_index else []), folder]
    first = outside.run(argv, timeout=TIME_LIMIT, env=uv_environment(outside.environ, config))
    if first.ok:
        return
    _clear(outside, folder, empty)
    second = outside.run(
        [python, "-I", "-m", "venv", folder], timeout=TIME_LIMIT, env=pip_environment(outside.environ, config)
    )
    if not second.ok:
        _clear(outside, folder, empty)
        raise InstallFailed(
            f"the virtual environment `{folder}` cannot be made: {_why(second) or _why(first)}"
        )


def _clear(outside: Outside, folder: str, keep: bool) -> None:
    if outside.exists(folder):
        outside.remove_tree(folder)
    if keep:
        outside.make_dirs(folder)


def _why(ran: Ran) -> str:
    lines = [line.strip() for line in (ran.err or ran.out).splitlines() if line.strip()]
    return ran.error or (lines[-1] if lines else f"exit {ran.code}")
