"""envfix as a child of the Python process that asks for something: a notebook's kernel, or a program."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, NamedTuple


class Ended(NamedTuple):
    """Exit code (negative: the signal) and standard output of a child, and whether it was interrupted."""

    code: int
    out: bytes
    interrupted: bool


def ask(words: list[str], stdin: bytes, say: Callable[[str], None]) -> Ended:
    """Run `python -m envfix --asked` with the words; its standard error goes line by line to `say`.

    An interrupt is handed on once, and the child waited for: it ends when everything is put back. So it is
    where `say` raises, whose exception is raised then.
    """
    # -P (Python 3.11): the folder that the notebook lies in supplies no module named `envfix`.
    argv = [sys.executable, *(["-P"] if sys.version_info >= (3, 11) else []), "-m", "envfix", "--asked"]
    child = subprocess.Popen(
        [*argv, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        # A notebook interrupts the whole group of its kernel; the child is told here, and once.
        start_new_session=True,
    )
    out: list[bytes] = []
    threads = [
        threading.Thread(target=_feed, args=(child.stdin, stdin), daemon=True),
        threading.Thread(target=_take, args=(child.stdout, out), daemon=True),
    ]
    for thread in threads:
        thread.start()
    heard = _hear(child, say)
    for thread in threads:
        thread.join()
    code = child.wait()
    if heard is not None and not isinstance(heard, KeyboardInterrupt):
        raise heard
    return Ended(code, b"".join(out), heard is not None)


def _hear(child: subprocess.Popen[bytes], say: Callable[[str], None]) -> BaseException | None:
    """Every line of standard error until the child closes it; what has interrupted that, if anything."""
    first: BaseException | None = None
    source = child.stderr
    while source is not None:
        try:
            line = source.readline()
            if not line:
                break
            if first is None or isinstance(first, KeyboardInterrupt):
                say(line.decode("utf-8", "replace").rstrip("\r\n"))
        except BaseException as problem:
            if first is None:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGINT)
            if first is None or not isinstance(problem, KeyboardInterrupt):
                first = problem
    return first


def _feed(target: IO[bytes] | None, data: bytes) -> None:
    if target is not None:
        with contextlib.suppress(OSError):
            target.write(data)
            target.close()


def _take(source: IO[bytes] | None, out: list[bytes]) -> None:
    if source is not None:
        out.append(source.read())
