"""What envfix keeps for its next run, in the user's cache folder.

A cache is trusted only where nobody else can have written it: what is kept there decides what is installed
and which library is loaded, and `sudo` often leaves HOME at another user's.
"""

from __future__ import annotations

import contextlib

from envfix.ports import Outside

_LIMIT = 64 << 20


def place(outside: Outside, *names: str) -> str:
    """The absolute path of a file or folder below envfix's own cache folder.

    Where HOME or XDG_CACHE_HOME is relative, and so means the working directory, it is a temporary one.
    """
    import platformdirs

    folder = platformdirs.user_cache_path("envfix", appauthor=False)
    base = folder.as_posix() if folder.is_absolute() else outside.temporary_dir()
    return "/".join((base, *names))


def kept(outside: Outside, path: str) -> bytes | None:
    """What was kept there; None where nothing is, or where another user may have written it."""
    if not outside.trusted(path):
        return None
    with contextlib.suppress(OSError):
        return outside.read_bytes(path, _LIMIT)
    return None


def keep(outside: Outside, path: str, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
    """Keep it for the next run, where nobody else can change it; OSError where it cannot be written.

    What is not `lasting` may be cut short after a loss of power: its reader must take that for nothing.
    """
    folder = path.rpartition("/")[0]
    outside.make_dirs(folder)
    if outside.trusted(folder):
        outside.write_bytes(path, data, mode, lasting=lasting)
