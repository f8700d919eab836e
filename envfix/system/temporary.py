"""Folders for what envfix needs as long as it runs, and those of envfixes that were killed.

Each is locked by its envfix and by the children that it starts, so that a lock that can be had says that
nobody works there any more; no clock and no process number decides it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
from itertools import islice

from envfix.system.locks import RealHeld, take_folder
from envfix.system.processes import end_all

PREFIX = "envfix-"
# Only these are ever taken away: other folders with envfix in their name are somebody else's.
OWN = f"{PREFIX}run-"
_LOOKED_AT = 20_000  # names in the folder of temporary files
_AT_ONCE = 100  # folders that one envfix removes


def make() -> tuple[str, RealHeld | None]:
    """A new folder that is gone when this process ends, and the lock on it (None where there are none)."""
    global _current
    if _current is None or _current[0] != os.getpid() or not os.path.isdir(_current[1]):  # noqa: PTH112
        _remove_abandoned_ones()
        _current = (os.getpid(), *_make())
        atexit.register(_remove, _current[1])
    _, path, held = _current
    return tempfile.mkdtemp(prefix=PREFIX, dir=path), held


# The process, the folder that all of its temporary folders are in, and the lock on it.
_current: tuple[int, str, RealHeld | None] | None = None


def _remove(path: str) -> None:
    end_all()  # or a child makes files there meanwhile
    shutil.rmtree(path, ignore_errors=True)


def _make() -> tuple[str, RealHeld | None]:
    while True:
        path = tempfile.mkdtemp(prefix=OWN)
        try:
            held = take_folder(path)
        except OSError:
            # A system or a filesystem without such locks: the folder must not look abandoned to others.
            os.rmdir(path)  # noqa: PTH106
            return tempfile.mkdtemp(prefix=PREFIX), None
        if held is not None and os.path.isdir(path):  # noqa: PTH112 - or one that tidies up was faster
            return path, held


def _remove_abandoned_ones() -> None:
    """Take away folders of this user whose envfix does not live any more; what cannot be is left."""
    user = getattr(os, "geteuid", int)()
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        own = (item.path for item in islice(found, _LOOKED_AT) if item.name.startswith(OWN))
        for path in islice(own, _AT_ONCE):
            with contextlib.suppress(OSError):
                _remove_abandoned(path, user)


def _remove_abandoned(path: str, user: int) -> None:
    entry = os.lstat(path)
    if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != user:
        return
    held = take_folder(path)
    if held is not None:
        try:
            shutil.rmtree(path)
        finally:
            held.release()
