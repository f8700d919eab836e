"""What the GPUs are doing, look by look, as NVML tells it through nvidia-ml-py in a child process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envfix.errors import NothingFits
from envfix.model.usage import GpuUsage, Sample
from envfix.ports import Outside
from envfix.probe.evidence import how_it_ended
from envfix.probe.nvml import bindings
from envfix.reading import convert

CHILD = str(Path(__file__).with_name("children") / "usage.py")
MARK = "envfix-usage:"
PATIENCE = 10.0  # seconds beyond the interval in which a look must come


def sampler(interval: float, count: int = 0) -> tuple[str, ...]:
    """The command that prints a marked JSON line for each look, `interval` seconds apart; 0: without end."""
    return (sys.executable, "-I", "-S", "-B", CHILD, bindings(), f"{interval:g}", str(count))


def follow(outside: Outside, interval: float, count: int, take: Callable[[Sample], None]) -> None:
    """Hand each look to `take` as it comes, until there are `count` (0: until it is interrupted).

    Raises NothingFits where NVML cannot be asked, stops answering, or is not there.
    """
    refused: list[str] = []

    def hear(line: str) -> None:
        if not line.startswith(MARK):
            return
        try:
            answer: dict[str, Any] = json.loads(line[len(MARK) :])
        except ValueError:
            return  # cut short: how it ended is said below
        if answer.get("status") == "ok":
            take(convert(answer, Sample, "NVML's answer"))
        else:
            refused.append(str(answer.get("text", "")))

    ran = outside.follow(sampler(interval, count), patience=interval + PATIENCE, each=hear)
    if refused:
        raise NothingFits(f"NVML cannot tell what the GPUs do: {refused[0]}", HINT)
    if not ran.ok:
        raise NothingFits(f"NVML cannot tell what the GPUs do: {how_it_ended(ran)}", HINT)


def once(outside: Outside) -> tuple[GpuUsage, ...]:
    """What the GPUs do now; empty where NVML does not tell."""
    looks: list[Sample] = []
    try:
        follow(outside, 0.0, 1, looks.append)
    except NothingFits:
        return ()
    return looks[0].gpus if looks else ()


HINT = "`nvidia-smi` must work here first; `envfix probe` says what was found of the driver"
