"""A child process from its start to its end: what it prints, its time limit, and how it is ended."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import IO

from envfix.ports import Ran
from envfix.system.shown import Shown

KEPT = 64 << 20  # bytes that are kept of what a child prints on one stream
_alive: set[subprocess.Popen[bytes]] = set()
_SOON = 2.0  # seconds in which what is killed is gone


@atexit.register
def end_all() -> None:
    """End every child that a thread still waits for."""
    end(_alive)


def end(children: Collection[subprocess.Popen[bytes]]) -> None:
    """End the children with what they have started, and return when they are gone."""
    for child in tuple(children):
        _kill(child)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_SOON)


def finish(
    child: subprocess.Popen[bytes],
    argv: Sequence[str],
    timeout: float,
    stdin: str | None,
    shown: Shown | None,
) -> Ran:
    """How the child ended, after at most `timeout` seconds.

    It leads a process group, which is killed with it when the time is up or this is interrupted: nothing that
    it started is at work any more when this raises.
    """
    _alive.add(child)
    try:
        return _finished(child, argv, timeout, stdin, shown)
    finally:
        _alive.discard(child)


def _finished(
    child: subprocess.Popen[bytes],
    argv: Sequence[str],
    timeout: float,
    stdin: str | None,
    shown: Shown | None,
) -> Ran:
    out, err = _Kept(child), _Kept(child, shown=shown)
    threads = _started(child, stdin, out, err)
    timed_out, deadline = False, time.monotonic() + timeout
    try:
        _await_end(child, threads, deadline)
        for thread in threads:
            # A grandchild may hold the pipe open after the child has ended.
            thread.join(max(0, deadline - time.monotonic()) if shown is None else 5)
        if shown is None and any(thread.is_alive() for thread in threads):
            timed_out = True
            _kill(child)
    except subprocess.TimeoutExpired:
        timed_out = True
        _kill(child)
        child.wait()
    except BaseException:
        _kill(child)
        child.wait()
        for thread in threads:
            thread.join(timeout=5)  # its pipes end with the last process of the group
        raise
    for thread in threads:
        thread.join(timeout=2)
    ended = f"timed out after {timeout:g} s" if timed_out else ""
    if out.overrun or err.overrun:
        ended = f"printed more than {KEPT >> 20} MiB"
    code = None if ended else child.returncode
    return Ran(tuple(argv), code, out.text, err.text, timed_out=timed_out, error=ended)


def _started(
    child: subprocess.Popen[bytes], stdin: str | None, out: _Kept, err: _Kept
) -> list[threading.Thread]:
    """The threads that feed the child and read what it prints; one that feeds comes last."""
    work: list[Callable[[], None]] = [
        functools.partial(kept.read, stream)
        for kept, stream in ((out, child.stdout), (err, child.stderr))
        if stream is not None
    ]
    if stdin is not None:
        work.append(functools.partial(_feed, child.stdin, stdin.encode("utf-8")))
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    return threads


class _Kept:
    """What a child prints on one stream.

    One that prints without end is killed before it fills the memory; of a stream that is shown, the end is
    kept.
    """

    def __init__(self, child: subprocess.Popen[bytes], shown: Shown | None = None) -> None:
        self.child, self.shown = child, shown
        self.data = bytearray()
        self.overrun = False

    @property
    def text(self) -> str:
        return bytes(self.data).decode("utf-8", "replace")

    def read(self, source: IO[bytes]) -> None:
        """Take everything until the stream ends."""
        descriptor = source.fileno()
        while chunk := os.read(descriptor, 1 << 16):
            self.data += chunk
            if self.shown is not None:
                self.shown.feed(chunk)
                del self.data[:-KEPT]
            elif len(self.data) > KEPT:
                self.overrun = True
                _kill(self.child)
                break
        if self.shown is not None:
            self.shown.end()
        source.close()


def _feed(target: IO[bytes] | None, data: bytes) -> None:
    """Hand the child its input; one that does not want it has closed the pipe."""
    if target is None:
        return
    with contextlib.suppress(OSError):
        target.write(data)
    with contextlib.suppress(OSError):
        target.close()


def _await_end(child: subprocess.Popen[bytes], readers: Sequence[threading.Thread], deadline: float) -> None:
    """Return when the child has ended. Raises subprocess.TimeoutExpired at the deadline.

    Its pipes close when it ends, which is known at once; `Popen.wait` with a time limit looks only every
    50 ms.
    """
    while child.poll() is None:
        left = deadline - time.monotonic()
        open_ones = [thread for thread in readers if thread.is_alive()]
        if left <= 0 or not open_ones:
            child.wait(max(0, left))
        else:
            open_ones[0].join(min(left, 0.05))


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
