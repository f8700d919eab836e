"""A child whose lines are wanted as they come."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from envfix.system.outside import RealOutside


def child(code: str) -> list[str]:
    return [sys.executable, "-c", f"import sys, time\n{code}"]


def test_lines_come_while_the_child_still_runs() -> None:
    came: list[tuple[str, float]] = []
    begun = time.monotonic()
    code = "for n in range(3):\n  print(n, flush=True)\n  time.sleep(0.4)"
    ran = RealOutside().follow(
        child(code), patience=10, each=lambda line: came.append((line, time.monotonic() - begun))
    )
    assert [line for line, _ in came] == ["0", "1", "2"] and ran.ok and ran.out == ""
    assert came[2][1] - came[0][1] > 0.5


def test_a_child_that_falls_silent_is_killed() -> None:
    began = time.monotonic()
    ran = RealOutside().follow(
        child("print('here', flush=True); time.sleep(60)"), patience=0.5, each=lambda line: None
    )
    assert ran.timed_out and ran.error == "said nothing for 0.5 s" and not ran.ok
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, ValueError])
def test_the_child_does_not_outlive_what_stops_it(trouble: type[BaseException], tmp_path: Path) -> None:
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise trouble

    with pytest.raises(trouble):
        RealOutside().follow(
            child("import os; print(os.getpid(), flush=True); time.sleep(60)"), patience=10, each=stop
        )
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_how_it_ended_and_what_it_complained_of_are_kept() -> None:
    ran = RealOutside().follow(
        child("print('one'); sys.exit('no NVML here')"), patience=10, each=lambda line: None
    )
    assert (ran.code, ran.err) == (1, "no NVML here\n")
    gone = RealOutside().follow(["/nowhere/python"], patience=1, each=lambda line: None)
    assert gone.code is None and "could not be started: No such file" in gone.error
