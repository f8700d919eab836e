"""The driver, merged from every source that was asked."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from envfix.model.machine import Driver, Evidence, Outcome
from envfix.model.versions import Dotted
from envfix.probe import driver_api
from envfix.probe.evidence import piece
from envfix.probe.nvidia_reading import Reading

COMPARED = "comparison"


def merge_driver(readings: Sequence[Reading]) -> tuple[Driver | UnsetType | None, tuple[Evidence, ...]]:
    """The driver and the evidence of disagreements. `readings` stand in the order of trust.

    None only where every source says that there is none; unknown where none found one and one failed.
    """
    if not any(one.runs for one in readings):
        failed = any(one.has_failed for one in readings)
        return (UNSET if failed else None), ()
    releases = [(one.source, one.release) for one in readings if one.release is not None]
    # libcuda is what TensorFlow asks, so it is believed first, unless cuInit refused: then it may be another
    # release's library (cuda-compat) than the driver that runs.
    by_trust = sorted(readings, key=_trust_in_cuda)
    cudas = [(one.source, one.cuda) for one in by_trust if one.cuda is not None]
    driver = Driver(
        release=releases[0][1] if releases else UNSET,
        cuda=cudas[0][1] if cudas else UNSET,
    )
    return driver, (*_disagreement("driver.release", releases), *_disagreement("driver.cuda", cudas))


def _trust_in_cuda(one: Reading) -> int:
    return 2 if not one.runs else 0 if one.source == driver_api.SOURCE else 1


def _disagreement(fact: str, said: Sequence[tuple[str, Dotted]]) -> tuple[Evidence, ...]:
    """Evidence when the sources do not say the same, naming each."""
    if len({value for _, value in said}) < 2:
        return ()
    words = ", ".join(f"{source} says {value}" for source, value in said)
    return (piece(fact, COMPARED, Outcome.FAILED, f"the sources disagree: {words}"),)
