"""A child process whose lines are wanted as they come."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO

from envfix.ports import Ran

KEPT = 1 << 16  # bytes of the end of standard error that are kept
ENDING = 5.0  # seconds that a child has to end after it has closed its output


def follow(argv: Sequence[str], patience: float, each: Callable[[str], None]) -> Ran:
    """How the child ended (`ports.Outside.follow`); it never outlives this call."""
    with tempfile.TemporaryFile() as complaints:
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                # Ctrl-C is for envfix, which ends the child itself.
                start_new_session=True,
            )
        except OSError as problem:
            return Ran(tuple(argv), None, "", "", error=f"could not be started: {problem.strerror}")
        try:
            silent = _hand_over(child, patience, each)
        finally:
            child.kill()  # one that has ended and been waited for is left alone
            child.wait()
        complaints.seek(max(0, complaints.seek(0, 2) - KEPT))
        err = complaints.read().decode("utf-8", "replace")
    if silent:
        return Ran(tuple(argv), None, "", err, timed_out=True, error=f"said nothing for {patience:g} s")
    return Ran(tuple(argv), child.returncode, "", err)


def _hand_over(child: subprocess.Popen[bytes], patience: float, each: Callable[[str], None]) -> bool:
    """Every line until the child closes its output; whether it fell silent before that."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    if child.stdout is None:
        raise ValueError("the child's standard output is not a pipe")
    threading.Thread(target=_read, args=(child.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=patience)
        except queue.Empty:
            return True
        if line is None:
            break
        each(line.decode("utf-8", "replace").rstrip("\r\n"))
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(ENDING)
    return False


def _read(source: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    for line in source:
        lines.put(line)
    lines.put(None)
