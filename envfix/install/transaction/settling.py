"""Writing everything to the disk while something else is done."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from envfix.ports import Outside


class Settling:
    """When the block is left without an exception, all that was written on the filesystem of `folder` before
    is on the disk. Raises what `settle_all` raised."""

    def __init__(self, outside: Outside, folder: str) -> None:
        self._outside = outside
        self._folder = folder
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._settle, daemon=True)

    def _settle(self) -> None:
        try:
            self._outside.settle_all(self._folder)
        except BaseException as problem:  # whatever it is, the thread that waits raises it
            self._trouble = problem

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        self._thread.join()
        if self._trouble is not None:
            raise self._trouble
