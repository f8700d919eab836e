"""A line for what takes longer than people wait without one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from envfix.ports import Outside

SECONDS = 2.0


class Patience:
    """Says `text` once when the block takes longer than two seconds."""

    def __init__(self, outside: Outside, text: str) -> None:
        self._timer = threading.Timer(SECONDS, outside.say, (text,))
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
