"""What a child says on standard error, passed on line by line where no terminal draws its progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable

from envfix.model.urls import redact
from envfix.printable import clean
from envfix.system import streams


class Shown:
    """Passes on what `keep` makes of each line; a line for which it returns nothing is left out."""

    def __init__(self, keep: Callable[[str], str] | None) -> None:
        self.keep = keep or (lambda line: line)
        self.rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take what came; the end of it may be the beginning of a line."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self._pass_on(line)

    def end(self) -> None:
        """Take the last line, which nothing ended."""
        if self.rest:
            self._pass_on(self.rest)
        self.rest = b""

    def _pass_on(self, line: bytes) -> None:
        text = self.keep(line.decode("utf-8", "replace").rstrip("\r"))
        if text:
            # Where nobody reads it any more, the child must not block on that.
            streams.write(clean(redact(text)) + "\n", sys.stderr)
