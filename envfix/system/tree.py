"""Exact files of this machine (`envfix.tree`)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from envfix.system.locks import RealHeld, take
from envfix.tree import FILE, FOLDER, LINK, OTHER, Entry, Held, Stamp, Tree

_KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK}
# A pipe is not waited for.
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_ENDING = tuple(number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)))


class RealTree(Tree):
    """Files through `os`, whose calls are counted in no other place."""

    def __init__(self) -> None:
        self.held: list[RealHeld] = []

    def look(self, path: str) -> Entry | None:
        try:
            return _entry(path, os.lstat(path))
        except (OSError, ValueError):
            return None

    def stamps(self, paths: Iterable[str]) -> list[Stamp | None]:
        # By the thousand: an `Entry` of each would take half as long again.
        found: list[Stamp | None] = []
        for path in paths:
            try:
                one = os.lstat(path)
            except (OSError, ValueError):
                found.append(None)
            else:
                # Filesystems without inodes have them all 0.
                plain = stat.S_ISREG(one.st_mode) and one.st_ino
                found.append((one.st_size, one.st_mtime_ns, one.st_ino) if plain else None)
        return found

    def walk(self, folder: str) -> Iterator[tuple[str, Entry]]:
        folders = [folder]
        while folders:
            with os.scandir(folders.pop()) as found:
                for item in found:
                    try:
                        entry = _entry(item.path, item.stat(follow_symlinks=False))
                    except FileNotFoundError:
                        continue  # another process works here too
                    yield item.path, entry
                    if entry.kind == FOLDER:
                        folders.append(item.path)

    def sha256(self, path: str) -> bytes:
        digest = hashlib.sha256()
        descriptor = os.open(path, _READ)
        try:
            # Large pieces: the interpreter's lock is given up while each is hashed.
            while piece := os.read(descriptor, 1 << 20):
                digest.update(piece)
        finally:
            os.close(descriptor)
        return digest.digest()

    def small(self, path: str, limit: int) -> bytes:
        descriptor = os.open(path, _READ)
        try:
            return os.read(descriptor, limit)
        finally:
            os.close(descriptor)

    def link(self, path: str, other: str) -> None:
        os.link(path, other, follow_symlinks=False)

    def symlink(self, goal: str, path: str) -> None:
        Path(path).symlink_to(goal)

    def copy(self, path: str, other: str) -> None:
        with open(path, "rb") as source, open(other, "xb") as target:  # noqa: PTH123
            shutil.copyfileobj(source, target, 1 << 20)

    def create(self, path: str, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    def rename(self, path: str, other: str) -> None:
        os.replace(path, other)  # noqa: PTH105

    def make_dir(self, path: str, mode: int = 0o777) -> None:
        Path(path).mkdir(mode)

    def remove_dir(self, path: str) -> None:
        Path(path).rmdir()

    def dress(self, path: str, entry: Entry) -> None:
        _own(path, entry)
        if entry.kind != LINK:
            Path(path).chmod(entry.mode)
        with contextlib.suppress(NotImplementedError):  # a system without times of links
            os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    def settle(self, path: str) -> None:
        if os.name == "nt":
            return  # a folder cannot be opened there
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def settle_all(self, path: str) -> None:
        if not _sync_filesystem(path) and hasattr(os, "sync"):
            os.sync()

    def hold(self, path: str) -> Held | None:
        held = take(path)
        if held is not None:
            self.held = [other for other in self.held if other.descriptor is not None] + [held]
        return held

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals go to the main thread
            return
        came: list[int] = []
        before = {
            number: signal.signal(number, lambda number, frame: came.append(number)) for number in _ENDING
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for number in came:
            signal.raise_signal(number)


def _entry(path: str, found: os.stat_result) -> Entry:
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), OTHER)
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        size=found.st_size,
        mtime=found.st_mtime_ns,
        inode=found.st_ino,
        uid=found.st_uid,
        gid=found.st_gid,
        goal=os.readlink(path) if kind == LINK else "",  # noqa: PTH115 - a third of its time
    )


def _own(path: str, entry: Entry) -> None:
    """Only the superuser may give files away, and another user made none that are to be given back."""
    now = os.lstat(path)
    if (now.st_uid, now.st_gid) != (entry.uid, entry.gid) and hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)


def _sync_filesystem(path: str) -> bool:
    """`syncfs(2)`, which waits for one filesystem only; False where there is none. Raises OSError."""
    import ctypes

    try:
        syncfs: Any = ctypes.CDLL(None, use_errno=True).syncfs
        descriptor = os.open(path, os.O_RDONLY)
    except (OSError, AttributeError, TypeError):
        return False
    try:
        if syncfs(descriptor) == 0:
            return True
        code = ctypes.get_errno()
        if code == errno.ENOSYS:
            return False
        raise OSError(code, os.strerror(code), path)  # what was written is not on the disk
    finally:
        os.close(descriptor)
