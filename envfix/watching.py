"""`envfix watch`: what the GPUs are doing, look by look, until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

from envfix.deciding import without_gpu
from envfix.errors import NothingFits
from envfix.model.results import Watched
from envfix.model.usage import Sample, Tally
from envfix.probe import no_gpu, usage
from envfix.situation import Parts, Where, situate


class ReaderGone(Exception):
    """Nobody reads any more what is shown (`| head`): the watch is over."""


def watch(
    parts: Parts, interval: float, count: int, show: Callable[[Sample], None], *, keep: bool = False
) -> Watched:
    """Every look is handed to `show`, `interval` seconds apart, `count` of them or (0) until Ctrl-C.

    Stopping a watch is its normal end. With `keep` the looks are in the result too. Raises NothingFits
    where there is no GPU, or none that NVML can be asked about.
    """
    machine = situate(parts, Where()).machine
    if machine.has_no_gpu:
        raise without_gpu(machine, no_gpu.where_one_is(machine))
    tally, kept, last = Tally(), [], 0.0

    def take(sample: Sample) -> None:
        nonlocal last
        last = sample.seconds
        tally.add(sample)
        if keep:
            kept.append(sample)
        show(sample)

    def seen() -> Watched:
        return Watched(seconds=last, gpus=tally.activity(), samples=tuple(kept))

    try:
        usage.follow(parts.outside, interval, count, take)
    except (KeyboardInterrupt, ReaderGone):
        pass
    except NothingFits as problem:
        problem.data = seen()
        raise
    return seen()
