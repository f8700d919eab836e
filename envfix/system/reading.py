"""Files that may be something else: a pipe, a device, or what another user has put there."""

from __future__ import annotations

import errno
import os
import select
import stat

SILENCE = 10.0  # seconds that a pipe may go without a byte


def open_at_once(path: str, flags: int) -> int:
    """For `open`: a pipe without a writer would hold it for ever.

    One with a name is refused at once (OSError), for nobody may ever write into it. One that a shell has made
    (`/dev/stdin`, `<(...)`) has its writer.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode) and not path.startswith(("/dev/", "/proc/")):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a named pipe, not a file", path)
    return descriptor


def read_patiently(descriptor: int, limit: int, path: str) -> bytes:
    """At most `limit` bytes. Raises TimeoutError for a pipe or device that is silent for too long."""
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if stat.S_ISREG(found.st_mode) or os.name == "nt":
        return _all_of(descriptor, limit, found.st_size)
    data = bytearray()
    while len(data) < limit:
        if not select.select([descriptor], [], [], SILENCE)[0]:
            raise TimeoutError(errno.ETIMEDOUT, f"nothing was written into it for {SILENCE:g} s")
        chunk = os.read(descriptor, min(limit - len(data), 1 << 20))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _all_of(descriptor: int, limit: int, size: int) -> bytes:
    """A regular file up to `limit`; one of the system's (`/proc`) has a size of 0 and something in it."""
    data = b""
    while limit > len(data):
        asked = min(limit - len(data), max(size + 1, 1 << 16))
        piece = os.read(descriptor, asked)
        data += piece
        if not piece or (len(data) == size and len(piece) < asked):
            break
    return data


def is_own(path: str) -> bool:
    """Whether only this user, or the administrator, can have written the file or folder."""
    try:
        places = [os.stat(path), os.stat(os.path.dirname(path))]  # noqa: PTH116, PTH120
    except (OSError, ValueError):
        return False
    # On Windows a profile is closed to others by its access list, which `stat` does not tell.
    if os.name == "nt":
        return True
    own = {0, os.geteuid()}
    return all(place.st_uid in own and not _open_to_all(place.st_mode) for place in places)


def _open_to_all(mode: int) -> bool:
    """In a folder with the sticky bit, such as /tmp, nobody can replace what is another's (unlink(2))."""
    return bool(mode & stat.S_IWOTH) and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
