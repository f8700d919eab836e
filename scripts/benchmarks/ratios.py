"""What repeated runs say: medians with their spread, and ratios of runs that stood side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Spread(NamedTuple):
    """The median of `runs` values, and between which two their middle half lies."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError for no values."""
        if not values:
            raise ValueError("no values were measured")
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def text(self, unit: str = "", digits: int = 2) -> str:
        """Such as `1.94 (1.90 to 2.01)`; a single value has no brackets."""
        shown = f"{self.median:.{digits}f}"
        if self.runs > 1:
            shown += f" ({self.low:.{digits}f} to {self.high:.{digits}f})"
        return f"{shown} {unit}".strip()


def alternately(works: Sequence[Callable[[], T]], rounds: int) -> list[list[T]]:
    """Each work's results, round by round: side by side, in the other order in every other round."""
    done: list[list[T]] = [[] for _ in works]
    for number in range(rounds):
        order = range(len(works)) if number % 2 else reversed(range(len(works)))
        for which in order:
            done[which].append(works[which]())
    return done


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratios of the runs of the same round. Raises ValueError where there is not one each."""
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def beyond(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """By how much ours is more than theirs, round by round, in their unit."""
    return Spread.of([mine - other for mine, other in zip(ours, theirs, strict=True)])


def growth(sizes: Sequence[float], took: Sequence[float]) -> float | None:
    """What one more costs at the end, in terms of one more at the start: 1 is linear. None where the start is
    too short to be measured. `took` are the times of three or more ascending `sizes`.
    """
    steps = [
        (later - sooner) / (more - less)
        for less, more, sooner, later in zip(sizes, sizes[1:], took, took[1:], strict=False)
    ]
    return steps[-1] / steps[0] if steps[0] > 0 else None
