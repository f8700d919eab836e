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

    An interrupt is handed on once, and the child waited for: it ends when everything is put back.
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
    interrupted = False
    source = child.stderr
    while source is not None:
        try:
            line = source.readline()
            if not line:
                break
            say(line.decode("utf-8", "replace").rstrip("\r\n"))
        except KeyboardInterrupt:
            if not interrupted:
                interrupted = True
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGINT)
    for thread in threads:
        thread.join()
    return Ended(child.wait(), b"".join(out), interrupted)


def _feed(target: IO[bytes] | None, data: bytes) -> None:
    if target is not None:
        with contextlib.suppress(OSError):
            target.write(data)
            target.close()


def _take(source: IO[bytes] | None, out: list[bytes]) -> None:
    if source is not None:
        out.append(source.read())
