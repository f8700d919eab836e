"""Processes, files and messages of this machine."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from envfix.model.urls import redact
from envfix.ports import Outside, Ran
from envfix.printable import clean
from envfix.system import streams, temporary
from envfix.system.following import follow
from envfix.system.processes import end, finish
from envfix.system.reading import is_own, open_at_once, read_patiently
from envfix.system.shown import Shown
from envfix.system.surroundings import child_environment, program_path
from envfix.system.tree import RealTree

TEMPORARY = ".envfix-"  # how the names of half written files begin


class RealOutside(RealTree, Outside):
    """The machine envfix runs on. `quiet` keeps progress lines back.

    `in_cell` says that this is a notebook's cell, whose terminal is a pretended one that draws no bars.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__()
        self.quiet = quiet
        self.in_cell = False
        self._children: set[subprocess.Popen[bytes]] = set()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        cwd: str | None = None,
        show: bool = False,
        keep: Callable[[str], str] | None = None,
    ) -> Ran:
        draws = show and sys.stderr.isatty() and not self.in_cell
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                # A progress bar only draws itself on a terminal, so a shown child gets ours untouched.
                stderr=None if draws else subprocess.PIPE,
                env=child_environment(os.environ if env is None else env, draws=draws),
                cwd=cwd or self._nowhere,
                # Its own group, so that it is ended with everything it started, and nothing goes on writing.
                start_new_session=True,
                # Should envfix be killed, nobody may put back what the child still changes.
                pass_fds=[held.descriptor for held in self.held if held.descriptor is not None],
            )
        except OSError as problem:
            return Ran(tuple(argv), None, "", "", error=f"could not be started: {problem.strerror}")
        self._children.add(child)
        try:
            return finish(child, argv, timeout, stdin, Shown(keep) if show else None)
        finally:
            self._children.discard(child)

    def end_children(self) -> None:
        end(self._children)

    def follow(self, argv: Sequence[str], *, patience: float, each: Callable[[str], None]) -> Ran:
        return follow(argv, patience, each)

    def which(self, name: str) -> str | None:
        path = program_path(os.environ)
        return shutil.which(name, path=path) if path else None

    @property
    def environ(self) -> Mapping[str, str]:
        return os.environ

    def read_bytes(self, path: str, limit: int = 16 << 20) -> bytes:
        descriptor = open_at_once(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return read_patiently(descriptor, limit, path)
        finally:
            os.close(descriptor)

    def pieces(self, path: str | None, size: int = 1 << 20) -> Iterator[bytes]:
        if path is None:
            yield from iter(lambda: sys.stdin.buffer.read(size), b"") if sys.stdin else ()
            return
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            yield from iter(lambda: file.read(size), b"")

    def exists(self, path: str) -> bool:
        return os.path.exists(path)  # noqa: PTH110 - no PermissionError for a folder that is closed to us

    def size(self, path: str) -> int | None:
        try:
            return os.stat(path).st_size  # noqa: PTH116 - one for each library at every start
        except OSError:
            return None

    def trusted(self, path: str) -> bool:
        return is_own(path)

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)  # noqa: PTH112 - the same

    def listdir(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(entry.name for entry in Path(path).iterdir()))
        except (OSError, ValueError):  # a NUL byte is part of no name
            return ()

    def glob(self, folder: str, pattern: str) -> tuple[str, ...]:
        below = f"{glob.escape(folder.rstrip('/'))}/{pattern}"
        return tuple(sorted(glob.glob(below)))  # noqa: PTH207 - what is wanted is text

    def realpath(self, path: str) -> str:
        return os.path.realpath(path)

    def writable(self, path: str) -> bool:
        return os.access(_existing(path), os.W_OK | os.X_OK)

    def free_bytes(self, path: str) -> int:
        return shutil.disk_usage(_existing(path)).free

    def device(self, path: str) -> int:
        return _existing(path).stat().st_dev

    def write_bytes(self, path: str, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
        # What a link leads to is replaced, not the link; and a device or a pipe (`-o /dev/stdout`) is written
        # into: renaming a file over it would take it away from everybody.
        target = Path(os.path.realpath(path))
        # What is a link even now leads round in a circle. `Path.resolve` says so by a RuntimeError up to
        # Python 3.12 and not at all from 3.13 on.
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.exists() and not target.is_file():
            with target.open("wb") as device:
                device.write(data)
            return
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                if lasting:
                    file.flush()
                    os.fsync(file.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).replace(target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
            raise

    def make_dirs(self, path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def claim_dir(self, path: str) -> bool:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            Path(path).mkdir()
        except FileExistsError:
            return False
        return True

    @functools.cached_property
    def _nowhere(self) -> str:
        """An empty folder for children to work in: what the user's holds is none of their business."""
        return self.temporary_dir()

    def temporary_dir(self) -> str:
        path, held = temporary.make()
        if held is not None and held not in self.held:
            self.held.append(held)  # the children's too, which may live on
        return path

    def remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def remove_tree(self, path: str) -> None:
        shutil.rmtree(path)

    def say(self, text: str) -> None:
        if not self.quiet:
            # Where nobody reads any more (`2>&1 | head`, a full disk), the work still goes to its end.
            streams.write(clean(redact(text)) + "\n", sys.stderr)


def _existing(path: str) -> Path:
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
