"""Reading what uv has unpacked, and bringing it to the disk, while it still fetches the rest.

An install is checked by its files. uv links them from its cache, where a wheel lies complete
long before the last one is there: what was read there is known when its links are checked (`seals`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING

from envfix.aside import Aside
from envfix.install.transaction import contents

if TYPE_CHECKING:
    from types import TracebackType

    from envfix.ports import Outside

SECONDS = 0.25  # between two looks at the cache


class Ahead:
    """While the block runs, compares each wheel of the packages `names` that appears in uv's cache `cache`
    with its RECORD, and brings it to the disk where `settles`. `seals` are then those of what was right.
    Raises at its end what went wrong meanwhile, such as the OSError of a disk that did not take what was
    written.

    Wheels are known by uv's folder `archive-v0` (uv 0.13.9), into which it moves each when it is complete.
    With another layout, or files that are copied and not linked, the check after the install reads them.
    """

    def __init__(self, outside: Outside, cache: str, names: Collection[str], *, settles: bool) -> None:
        self.seals: list[str] = []
        self._outside = outside
        self._cache = cache
        self._names = frozenset(names)
        self._settles = settles
        self._over = threading.Event()
        self._failed = False
        self._before = self._wheels()
        self._reading = Aside(self._read)

    def __enter__(self) -> Ahead:
        try:
            self._reading.start()
        except BaseException:  # interrupted, it may run already
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._leave()
            return
        self._over.set()
        try:
            self._reading.result()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        self._failed = True
        self._over.set()

    def _read(self) -> None:
        done, over = self._before, False
        while not over:
            over = self._over.wait(SECONDS)  # what came last is read all the same
            there = self._wheels()
            for folder in sorted(there - done):
                # One that cannot be read has no seals: the check reads it, and says so.
                with contextlib.suppress(OSError, ValueError):
                    found = contents.seals_of_unpacked(self._outside, folder, self._names, self._goes_on)
                    self.seals += found
            if self._settles and there != done and not over:
                # What is on the disk already need not be waited for at the end, when all must be there.
                self._outside.settle_all(self._cache)
            done = there

    def _goes_on(self) -> bool:
        return not self._failed

    def _wheels(self) -> set[str]:
        return set(self._outside.glob(self._cache, "archive-v*/*"))
