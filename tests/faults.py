"""An envfix that is killed at its N-th change of the world, in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from tests.rooms import Observed

# Everything of the outside that leaves something behind, or lets a child do so.
CHANGES = (
    "claim_dir", "copy", "create", "dress", "hold", "link", "make_dir", "make_dirs", "remove",
    "remove_dir", "remove_tree", "rename", "run", "settle", "settle_all", "symlink", "write_bytes",
)  # fmt: skip


class Struck(Observed):
    """Calls `blow` with the number of each change right before it. `done` names them."""

    def __init__(self, like: Observed, blow: Callable[[int], object]) -> None:
        super().__init__(like.cache)
        self._own = like._own
        self.blow = blow
        self.done: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in CHANGES:
            return found

        def counted(*arguments: Any, **options: Any) -> Any:
            self.done.append(name)
            self.blow(len(self.done))
            return found(*arguments, **options)

        return counted


class Dying(Struck):
    """Kills its own process (SIGKILL) right before the `last`-th change; 0 means never."""

    def __init__(self, like: Observed, last: int = 0) -> None:
        super().__init__(like, lambda at: os.kill(os.getpid(), signal.SIGKILL) if at == last else None)


# Runs the envfix that is named behind it, and strikes its process before its N-th change of the world.
_STRIKER = f"""
import os, sys
from envfix.system.outside import RealOutside
number, last, done = int(sys.argv[1]), int(sys.argv[2]), 0
def counted(method):
    def change(self, *arguments, **options):
        global done
        done += 1
        if done == last:
            os.kill(os.getpid(), number)
        return method(self, *arguments, **options)
    return change
for name in {CHANGES!r}:
    setattr(RealOutside, name, counted(getattr(RealOutside, name)))
from envfix.cli import main
sys.exit(main(sys.argv[6:]))
"""


def striking(number: int, last: int) -> list[str]:
    """What to run an envfix under, so that the signal `number` comes right before its `last`-th change."""
    return [sys.executable, "-c", _STRIKER, str(number), str(last)]


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its exit status, negative for the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def deaths(
    like: Observed, work: Callable[[Dying], object], *, step: int = 1, most: int = 400
) -> Iterator[int]:
    """Run `work` again and again, killed before its first change, its second ... until it comes to its end.

    With a `step` only every so many-th: each costs what an install costs.

    The block of the loop looks at what is left, and makes it what it was, each time.
    """
    for last in range(1, most, step):
        code = in_child(lambda last=last: work(Dying(like, last)))  # type: ignore[misc]
        if code == 0:
            return
        assert code == -signal.SIGKILL, f"ended with {code} at its change number {last}"
        yield last
    raise AssertionError(f"more than {most} changes")
