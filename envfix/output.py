"""What envfix prints in the end: the result on standard output, complaints on standard error."""

from __future__ import annotations

import sys

from envfix.printable import clean
from envfix.system import streams


def deliver(text: str, exit_code: int) -> int:
    """Print to standard output; the exit code, which a result that could not be written turns from 0 to 2."""
    problem = streams.write(text if text.endswith("\n") else text + "\n", sys.stdout) if text else ""
    if not problem:
        return exit_code
    complain(f"error: the result cannot be written to standard output: {problem}")
    return exit_code or 2


def complain(text: str) -> None:
    """Print to standard error. Where that fails nobody is left to tell: the exit code still says it."""
    streams.write(clean(text).rstrip("\n") + "\n", sys.stderr)
