"""Locks between processes: on a file, gone with the process and the children that it was handed to.

`flock` is of the standard library. A lock from a package could not be taken while that very package is half
replaced, which is when putting an environment back needs one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from envfix.tree import Held

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class RealHeld(Held):
    """An open, locked file; `descriptor` is None once it is released."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor: int | None = descriptor

    def release(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def take(path: str) -> RealHeld | None:
    """The lock on the file, None where another process has it. Raises OSError where none can be made."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            if not _lock(descriptor):
                os.close(descriptor)
                return None
            with contextlib.suppress(FileNotFoundError):
                now, ours = Path(path).stat(), os.fstat(descriptor)
                if (now.st_ino, now.st_dev) == (ours.st_ino, ours.st_dev):
                    return RealHeld(descriptor)
            # The holder before removed the file as it ended: the lock on it is nobody else's concern.
            os.close(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise


def take_folder(path: str) -> RealHeld | None:
    """The lock on a folder that is no link, None where another process has it. Raises OSError where there
    can be none."""
    if fcntl is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if _lock(descriptor):
            return RealHeld(descriptor)
        os.close(descriptor)
        return None
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
