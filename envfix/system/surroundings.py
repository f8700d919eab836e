"""What a child process must not get from the folder that envfix happens to be started in.

A shell, the dynamic loader and Python all take an empty or relative entry of their search paths for the
working directory, which may be anybody's download folder: `LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/opt/lib` has
such an entry where the variable was not set before (ld.so(8), environ(7), "PYTHONPATH" in Python's manual).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

# Search paths, and what separates their entries (ld.so(8) takes a `;` as well).
_PATHS = {"PYTHONPATH": os.pathsep, "LD_LIBRARY_PATH": ":;", "DYLD_LIBRARY_PATH": ":"}
# Libraries by name: one without a slash is looked for in the search paths (ld.so(8)).
_LIBRARIES = ("LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES")
# These are for a person at Python's prompt: PYTHONINSPECT keeps a child from ending with its own status.
_FOR_PEOPLE = ("PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONBREAKPOINT")
# A notebook's kernel sets them, and no line of a child's would be recognised.
_COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS")


def child_environment(env: Mapping[str, str], *, draws: bool) -> dict[str, str]:
    """`env` without what would lead a child into the working directory.

    What is named by an absolute path stays, for it was named on purpose. Only a child that `draws` on the
    user's terminal may be told to use colours.
    """
    dropped = (*_FOR_PEOPLE, *(() if draws else _COLOURS))
    kept = {name: value for name, value in env.items() if name not in dropped}
    if "PATH" in kept:
        _put(kept, "PATH", program_path(kept))
    for name, separators in _PATHS.items():
        if name in kept:
            _put(kept, name, separators[0].join(_absolute(kept[name], separators)))
    for name in _LIBRARIES:
        if name in kept:
            libraries = re.split("[: ]+", kept[name].strip(": "))
            _put(kept, name, ":".join(one for one in libraries if "/" not in one or _is_absolute(one)))
    if not _is_absolute(kept.get("PYTHONHOME", "/")):
        del kept["PYTHONHOME"]
    return kept


def program_path(environ: Mapping[str, str]) -> str:
    """PATH with its absolute entries alone, and without the working directory."""
    entries = _absolute(environ.get("PATH", ""), os.pathsep)
    return os.pathsep.join(entry for entry in entries if not _is_working_directory(entry))


def _absolute(value: str, separators: str) -> list[str]:
    return [entry for entry in re.split(f"[{separators}]", value) if _is_absolute(entry)]


def _is_absolute(entry: str) -> bool:
    # `$ORIGIN` is the folder of the program (ld.so(8)).
    return os.path.isabs(entry) or entry.startswith(("$ORIGIN", "${ORIGIN}"))  # noqa: PTH117


def _is_working_directory(entry: str) -> bool:
    """Whether the folder is the working directory; where somebody works in a system's folder of programs, or
    in that of the running Python, it is still that."""
    installed = (*os.defpath.split(os.pathsep), os.path.dirname(sys.executable))  # noqa: PTH120
    try:
        here = os.stat(".")  # noqa: PTH116 - at every start of a child
        return entry not in installed and os.path.samestat(os.stat(entry), here)  # noqa: PTH116
    except OSError:
        return False


def _put(env: dict[str, str], name: str, value: str) -> None:
    """An empty search path is itself an empty entry: the variable goes."""
    if value:
        env[name] = value
    else:
        del env[name]
