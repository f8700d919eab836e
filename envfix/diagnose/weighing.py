"""From what was seen to how sure each cause is, and which comes first.

Sightings of different signatures add up as independent hints do: two that are right half the time leave a
quarter. A confidence is an order of belief, not a measured frequency.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from envfix.diagnose.conditions import any_holds, holds
from envfix.diagnose.document import Document, Sighting
from envfix.model.diagnosis import Catalogue, Cause, Weight
from envfix.model.machine import Machine

WEIGHTS = {Weight.SURE: 0.9, Weight.LIKELY: 0.7, Weight.PLAUSIBLE: 0.5, Weight.HINT: 0.3}
CONFIRMED, RAISED, LOWERED = 0.75, 0.4, 0.5
# Facts that a text tells are second hand: a post may quote another machine's.
SECOND_HAND = 0.8
LEAST, MOST = 0.15, 0.99
SETTLED, BESIDE = 0.85, 0.3
EXPLAINS_FROM = 0.45
# A cause that is believed much less than what it would explain does not explain it.
NEARLY = 0.75


class Weighed(Struct):
    """A cause with its confidence, its evidence and the name of the finding it follows from."""

    cause: Cause
    confidence: float
    sightings: tuple[Sighting, ...]
    because: tuple[str, ...] = ()
    follows: str | None = None

    @property
    def start(self) -> int:
        """Where its first sighting begins, in characters of the text; -1 where nothing was sighted."""
        return min((sighting.start for sighting in self.sightings), default=-1)


class Scene(Struct, frozen=True):
    """All that is known: the text, what it shows, the machine; `given` is the machine without the text."""

    document: Document
    machine: Machine
    told: dict[str, str]
    given: Machine


def weigh(catalogue: Catalogue, scene: Scene) -> list[Weighed]:
    """Every cause that something speaks for, the primary one first and what can be ignored last."""
    found = [weighed for cause in catalogue.causes if (weighed := _weigh(cause, scene)) is not None]
    found.sort(key=lambda each: (-each.confidence, each.start))
    _connect(found)
    found.sort(key=lambda each: (each.cause.benign, each.follows is not None))
    first = found[0] if found else None
    settled = first is not None and not first.cause.benign and first.confidence >= SETTLED
    return [
        each
        for each in found
        if each.cause.benign or not settled or each.confidence >= BESIDE or each is first
    ]


def _weigh(cause: Cause, scene: Scene) -> Weighed | None:
    if any_holds(cause.exclude, scene.machine, scene.told):
        return None
    against, sightings = 1.0, []
    for signature in cause.signatures:
        conditions = signature.given
        if conditions and not any_holds(conditions, scene.machine, scene.told):
            continue
        if any_holds(signature.unless, scene.machine, scene.told):
            continue
        seen = list(scene.document.sightings(signature.says))
        if seen:
            against *= 1 - WEIGHTS[signature.weight]
            sightings += seen
    own, because = _alone(cause, scene)
    against *= 1 - own
    if against == 1.0:
        return None
    confidence = _adjusted(cause, scene, 1 - against)
    if confidence < LEAST:
        return None
    return Weighed(cause, confidence, tuple(sorted(sightings, key=lambda each: each.start)), because)


def _alone(cause: Cause, scene: Scene) -> tuple[float, tuple[str, ...]]:
    """What the machine's facts say without a message, and why."""
    best = 0.0
    because: tuple[str, ...] = ()
    for alone in cause.alone:
        first_hand = holds(alone.given, scene.given, scene.told)
        if not first_hand and not holds(alone.given, scene.machine, scene.told):
            continue
        weight = WEIGHTS[alone.weight] * (1 if first_hand else SECOND_HAND)
        if weight > best:
            best, because = weight, (alone.because,)
    return best, because


def _adjusted(cause: Cause, scene: Scene, confidence: float) -> float:
    if any_holds(cause.confirm, scene.machine, scene.told):
        confidence += (1 - confidence) * CONFIRMED
    elif any_holds(cause.raises, scene.machine, scene.told):
        confidence += (1 - confidence) * RAISED
    if any_holds(cause.lower, scene.machine, scene.told):
        confidence *= LOWERED
    return round(min(confidence, MOST), 2)


def _connect(found: Sequence[Weighed]) -> None:
    """Mark what follows from a cause that is believed: its messages are no causes of their own."""
    for earlier in found:
        if earlier.follows is not None or earlier.cause.benign or earlier.confidence < EXPLAINS_FROM:
            continue
        for later in found:
            if later is not earlier and later.follows is None and _explains(earlier, later):
                later.follows = earlier.cause.id


def _explains(earlier: Weighed, later: Weighed) -> bool:
    if later.cause.symptom and not later.cause.benign and not earlier.cause.symptom:
        return True
    names = {later.cause.id, later.cause.family.value}
    if not names.intersection(earlier.cause.explains):
        return False
    return earlier.confidence >= later.confidence * NEARLY
