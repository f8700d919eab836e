"""`envfix watch`: drawn in place on a terminal, a line for each look elsewhere."""

from __future__ import annotations

import argparse
import os
import sys

from envfix.commands.asking import in_cell
from envfix.errors import InputError, UsageError
from envfix.model.usage import Sample
from envfix.printable import clean
from envfix.render.usage import gpu_lines, one_look
from envfix.situation import Parts
from envfix.system import streams
from envfix.watching import ReaderGone
from envfix.watching import watch as look

SHORTEST, LONGEST = 0.1, 3600.0
# ECMA-48: cursor up, erase the line.
UP, ERASE = "\x1b[{}A", "\x1b[2K"


def watch(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """The looks at the GPUs, when they have ended. Raises UsageError, InputError."""
    if not SHORTEST <= options.interval <= LONGEST:
        raise UsageError(
            f"`--interval` needs seconds from {SHORTEST:g} to {LONGEST:g}, found `{options.interval:g}`"
        )
    if options.count is not None and options.count < 1:
        raise UsageError(f"`--count` needs a number above 0, found `{options.count}`")
    draws = sys.stdout.isatty() and not in_cell(parts.outside)
    show = _nothing if options.json else Drawn().show if draws else _line
    return look(parts, options.interval, options.count or 0, show, keep=options.json), 0


def _nothing(sample: Sample) -> None:
    """With `--json` all looks are in the one object at the end."""


def _line(sample: Sample) -> None:
    _write(clean(one_look(sample)) + "\n")


class Drawn:
    """A line for each GPU, always the same lines of the terminal."""

    def __init__(self) -> None:
        self.height = 0

    def show(self, sample: Sample) -> None:
        """Draw one look over the one before."""
        # A line that wraps would be two, and the next look would be drawn below the first.
        width = (os.get_terminal_size(sys.stdout.fileno()).columns or 80) - 1
        lines = [clean(line)[:width] for line in gpu_lines(sample)]
        back = UP.format(self.height) if self.height else ""
        _write(back + "".join(f"\r{ERASE}{line}\n" for line in lines))
        self.height = len(lines)


def _write(text: str) -> None:
    try:
        if not streams.is_read(text, sys.stdout):
            raise ReaderGone
    except OSError as problem:
        raise InputError(
            f"the looks cannot be written to standard output: {problem.strerror or problem}"
        ) from None
