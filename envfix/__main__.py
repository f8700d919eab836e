"""`envfix` and `python -m envfix`: nothing is imported from the folder that the command is started in."""

from __future__ import annotations

import os
import sys

OLDEST = (3, 10)


def main() -> None:
    """The command; it ends the process with the contract's exit code."""
    try:
        _run()
    except KeyboardInterrupt:  # before the command line can say it by itself
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


def _run() -> None:
    if sys.version_info < OLDEST:
        needed, found = (".".join(map(str, version[:2])) for version in (OLDEST, sys.version_info))
        sys.stderr.write(f"error: envfix runs on Python >= {needed}, this is {found}\n")
        sys.exit(2)
    _leave_working_directory()
    if sys.argv[1:2] == ["--asked"]:  # by `envfix.notebook.asking`, and nobody else
        from envfix.notebook.child import entry as answer

        answer(sys.argv[2:])
    from envfix.cli import entry

    entry()


def _leave_working_directory() -> None:
    """Take the working directory off `sys.path`: a file `yaml.py` there must not be taken for the library.

    `python -m` puts it in front, and so does an empty or relative entry of PYTHONPATH. One that is named by
    its absolute path was named on purpose and stays.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - nothing is to be imported before
    except OSError:
        return  # a folder that is gone supplies nothing
    if sys.path and sys.path[0] in ("", here) and not _named(here):
        del sys.path[0]
    if not sys.flags.ignore_environment:
        entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        relative = {os.path.abspath(entry) for entry in entries if not _absolute(entry)}  # noqa: PTH100
        sys.path[:] = [path for path in sys.path if path not in relative or _named(path)]


def _absolute(path: str) -> bool:
    return os.path.isabs(path)  # noqa: PTH117 - nothing is to be imported before


def _named(path: str) -> bool:
    return path in os.environ.get("PYTHONPATH", "").split(os.pathsep)


if __name__ == "__main__":
    main()
