"""Writing everything to the disk while something else is done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from envfix.aside import Aside

if TYPE_CHECKING:
    from types import TracebackType

    from envfix.ports import Outside


class Settling:
    """When the block is left without an exception, all that was written on the filesystem of `folder` before
    is on the disk. Raises what `settle_all` raised."""

    def __init__(self, outside: Outside, folder: str) -> None:
        self._settled = Aside(partial(outside.settle_all, folder))

    def __enter__(self) -> None:
        self._settled.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._settled.result()
