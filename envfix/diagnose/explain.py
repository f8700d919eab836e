"""Text and machine → findings, the primary cause first."""

from __future__ import annotations

import re
from collections.abc import Iterable

from envfix.diagnose import told
from envfix.diagnose.condense import BEGINNING, Wanted, condense
from envfix.diagnose.document import Document
from envfix.diagnose.notebook_file import text_of
from envfix.diagnose.patterns import tokens, words
from envfix.diagnose.remedy import fix
from envfix.diagnose.weighing import Scene, Weighed, weigh
from envfix.model.diagnosis import Catalogue, Cause, Family, Finding
from envfix.model.machine import Machine

MOST_EVIDENCE = 6
USED = ("gpu-registered", "gpu-idles")
# Of what cannot be looked up as a whole word; shorter ones stand in every other line.
_PARTS = re.compile(rf"[a-z0-9]{{{BEGINNING},}}")


def explain(pieces: Iterable[bytes], machine: Machine | None, catalogue: Catalogue) -> tuple[Finding, ...]:
    """What the text and the machine come to; empty where nothing in the catalogue speaks.

    `machine` is None where nothing is known but what the text tells.
    """
    return findings(document_of(pieces, catalogue), machine, catalogue)


def document_of(pieces: Iterable[bytes], catalogue: Catalogue) -> Document:
    """The text worth searching, of a file of any size, in flat memory."""
    notebook, rest = text_of(pieces)
    return Document(condense(rest, lambda: wanted(catalogue)) if notebook is None else notebook)


def findings(document: Document, machine: Machine | None, catalogue: Catalogue) -> tuple[Finding, ...]:
    """The findings for a document that has been read."""
    heard = told.read(document, catalogue)
    given = machine or Machine()
    scene = Scene(
        document=document,
        machine=told.filled(machine, heard.machine),
        told=heard.markers,
        given=given,
    )
    return tuple(_finding(weighed, scene, catalogue) for weighed in weigh(catalogue, scene))


def shows_use(document: Document, catalogue: Catalogue) -> bool:
    """Whether the text shows that TensorFlow has a GPU and uses it."""
    says = [each for marker in catalogue.markers if marker.id in USED for each in marker.says]
    return any(document.shows(each) for each in says)


def wanted(catalogue: Catalogue) -> Wanted:
    """What a line must hold for anything in the catalogue to match it."""
    says = [signature.says for cause in catalogue.causes for signature in cause.signatures]
    says += [each for marker in catalogue.markers for each in marker.says]
    says += [each for reading in catalogue.readings for each in reading.says]
    unsure = {word for each in says if not tokens(each) for word in words(each)}
    parts = {part for word in unsure for part in _PARTS.findall(word)}
    return Wanted(
        tokens=frozenset(token.encode() for each in says for token in tokens(each)),
        parts=tuple(part.encode() for part in sorted(parts)),
    )


def _finding(weighed: Weighed, scene: Scene, catalogue: Catalogue) -> Finding:
    cause = weighed.cause
    lines = [line for sighting in weighed.sightings for line in sighting.lines]
    caught = {
        name: value for sighting in reversed(weighed.sightings) for name, value in sighting.groups.items()
    }
    return Finding(
        cause=cause.id,
        family=cause.family,
        confidence=weighed.confidence,
        benign=cause.benign,
        evidence=tuple(dict.fromkeys([*weighed.because, *_holders(cause, scene), *lines]))[:MOST_EVIDENCE],
        explanation=" ".join([cause.explanation, *_sonames(caught, catalogue)]),
        fix=fix(cause, scene.machine, scene.told),
        follows=weighed.follows,
        sources=cause.sources,
    )


def _holders(cause: Cause, scene: Scene) -> list[str]:
    """Which processes hold the memory, where the text says so and the cause is about it."""
    line = scene.told.get("memory-held-by")
    return [line] if line and cause.family is Family.MEMORY else []


def _sonames(caught: dict[str, str], catalogue: Catalogue) -> list[str]:
    """What the missing library belongs to: its number is no CUDA release."""
    name = caught.get("soname")
    return [f"`{row.name}` belongs to {row.belongs_to}." for row in catalogue.sonames if row.name == name]
