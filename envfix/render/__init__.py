"""Results as text, JSON, Markdown and HTML; nothing here decides or reads anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Rendered(NamedTuple):
    """What goes to standard output, the exit code, and what is done when that is out: it may end envfix, and
    returns why it did not work; `otherwise` is then what is true instead of the text."""

    text: str
    exit_code: int
    last_act: Callable[[], str] | None = None
    otherwise: Callable[[str], str] | None = None
