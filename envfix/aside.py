"""Work that is done beside what its maker does meanwhile, such as waiting for a child."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """`work` in a thread of its own, from `start` on. Where nobody wants its result any more, it ends with
    the process, and its child with it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @classmethod
    def begun(cls, work: Callable[[], T]) -> Aside[T]:
        """One that is at work."""
        aside = cls(work)
        aside.start()
        return aside

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def result(self) -> T:
        """What it returned, once it has; raises what it raised."""
        self._thread.join()
        if self._trouble is not None:
            raise self._trouble
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as problem:  # whatever it is, the thread that waits raises it
            self._trouble = problem
