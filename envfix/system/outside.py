"""Processes, files and messages of this machine."""

from __future__ import annotations

import atexit
import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from envfix.ports import Outside, Ran

KEPT = 1 << 20  # bytes of a shown child's standard error that are kept for the report


class RealOutside(Outside):
    """The machine envfix runs on. `quiet` keeps progress lines back."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        cwd: str | None = None,
        show: bool = False,
    ) -> Ran:
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                # A progress bar only draws itself on a terminal, so a shown child gets ours untouched.
                stderr=None if show and sys.stderr.isatty() else subprocess.PIPE,
                env=None if env is None else dict(env),
                cwd=cwd,
                # Its own group, so that a child that hangs is killed with everything it started.
                start_new_session=not show,
            )
        except OSError as problem:
            return Ran(tuple(argv), None, "", "", error=f"could not be started: {problem.strerror}")
        return self._wait(child, argv, timeout, stdin, show)

    def _wait(
        self,
        child: subprocess.Popen[bytes],
        argv: Sequence[str],
        timeout: float,
        stdin: str | None,
        show: bool,
    ) -> Ran:
        kept = bytearray()
        echo = None
        if show and child.stderr is not None:
            echo = threading.Thread(target=_echo, args=(child.stderr, kept), daemon=True)
            echo.start()
            child.stderr = None
        data = None if stdin is None else stdin.encode("utf-8")
        timed_out = False
        try:
            out, err = child.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
            _kill(child, group=not show)
            out, err = _drain(child)
        except BaseException:
            _kill(child, group=not show)
            child.wait()
            raise
        if echo is not None:
            echo.join(timeout=5)
            err = bytes(kept)
        return Ran(
            tuple(argv),
            None if timed_out else child.returncode,
            (out or b"").decode("utf-8", "replace"),
            (err or b"").decode("utf-8", "replace"),
            timed_out=timed_out,
            error=f"timed out after {timeout:g} s" if timed_out else "",
        )

    def which(self, name: str) -> str | None:
        # An empty or relative entry of PATH means the working directory, which must never supply a program.
        path = os.pathsep.join(
            part for part in os.environ.get("PATH", "").split(os.pathsep) if Path(part).is_absolute()
        )
        return shutil.which(name, path=path)

    @property
    def environ(self) -> Mapping[str, str]:
        return os.environ

    def read_bytes(self, path: str, limit: int = 16 << 20) -> bytes:
        with open(path, "rb") as file:  # noqa: PTH123 - /proc files have no size to read by
            return file.read(limit)

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def is_dir(self, path: str) -> bool:
        return Path(path).is_dir()

    def listdir(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(entry.name for entry in Path(path).iterdir()))
        except OSError:
            return ()

    def glob(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(glob.glob(pattern)))  # noqa: PTH207 - the pattern is absolute

    def realpath(self, path: str) -> str:
        return os.path.realpath(path)

    def writable(self, path: str) -> bool:
        return os.access(_existing(path), os.W_OK | os.X_OK)

    def free_bytes(self, path: str) -> int:
        return shutil.disk_usage(_existing(path)).free

    def write_bytes(self, path: str, data: bytes, mode: int = 0o644) -> None:
        target = Path(path)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
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

    def temporary_dir(self) -> str:
        path = tempfile.mkdtemp(prefix="envfix-")
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        return path

    def remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def remove_tree(self, path: str) -> None:
        shutil.rmtree(path)

    def say(self, text: str) -> None:
        if not self.quiet:
            # Where nobody reads any more (`2>&1 | head`), the work still goes to its end.
            with contextlib.suppress(BrokenPipeError):
                print(text, file=sys.stderr, flush=True)


def _echo(source: IO[bytes], kept: bytearray) -> None:
    """Pass a child's standard error on as it comes, and keep its end."""
    for line in iter(source.readline, b""):
        # A child whose output is no longer read would wait for ever, so it is read to its end in any case.
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
        kept += line
        del kept[:-KEPT]
    source.close()


def _kill(child: subprocess.Popen[bytes], group: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group and hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()


def _drain(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What the killed child had printed; a grandchild that keeps the pipe open is not waited for."""
    try:
        return child.communicate(timeout=2)
    except subprocess.TimeoutExpired as late:
        return late.stdout or b"", late.stderr or b""


def _existing(path: str) -> Path:
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
