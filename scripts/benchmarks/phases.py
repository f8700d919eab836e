"""envfix in this process with its phases timed: `python phases.py ANSWER envfix's words...`."""

from __future__ import annotations

import contextlib
import functools
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FETCH, KEEP, INSTALL, CHECK, COMMIT, SPACE = "fetch", "keep", "install", "content check", "commit", "space"
REST = "start, deciding, planning"


class Phases:
    """Wall and processor seconds of each phase, less those of the phases inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._inner = [[0.0, 0.0]]

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = _clocks()
        self._inner.append([0.0, 0.0])
        try:
            yield
        finally:
            took = [now - then for now, then in zip(_clocks(), start, strict=True)]
            within = self._inner.pop()
            for which in (0, 1):
                self.spent[name][which] += took[which] - within[which]
                self._inner[-1][which] += took[which]

    def wrap(self, owner: Any, method: str, name: str) -> None:
        work = getattr(owner, method)

        @functools.wraps(work)
        def timed(*args: Any, **more: Any) -> Any:
            with self.phase(name):
                return work(*args, **more)

        setattr(owner, method, timed)


def _clocks() -> tuple[float, float]:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


def timed_phases() -> Phases:
    from envfix.install.commands import UvInstaller
    from envfix.install.transaction.undoable import Transaction

    phases = Phases()
    phases.wrap(UvInstaller, "fetch", FETCH)
    phases.wrap(UvInstaller, "install", INSTALL)
    phases.wrap(UvInstaller, "uninstall", INSTALL)
    phases.wrap(Transaction, "copied_bytes", SPACE)
    phases.wrap(Transaction, "begin", KEEP)
    phases.wrap(Transaction, "_check", CHECK)
    phases.wrap(Transaction, "finish", COMMIT)
    return phases


def main(answer: str, argv: list[str]) -> int:
    phases = Phases()
    with phases.phase(REST):
        from envfix.cli import main as envfix

        inside = timed_phases()
        code = envfix(argv)
    whole = dict(inside.spent)
    rest = phases.spent[REST]
    for wall, cpu in inside.spent.values():
        rest = [rest[0] - wall, rest[1] - cpu]
    Path(answer).write_text(json.dumps({**whole, REST: rest}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
