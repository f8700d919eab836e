"""Results as text, JSON, Markdown and HTML; nothing here decides or reads anything."""

from __future__ import annotations

from typing import NamedTuple


class Rendered(NamedTuple):
    """What goes to standard output, and the exit code."""

    text: str
    exit_code: int
