"""What the bench was asked for."""

from __future__ import annotations

from typing import NamedTuple


class Options(NamedTuple):
    """`rounds` of what takes less than some seconds, `installs` of what downloads gigabytes; `patience` is
    the time limit in seconds of a resolver that downloads whole wheels."""

    rounds: int = 9
    installs: int = 1
    patience: float = 600.0
