"""`failures.yaml` and `log_facts.yaml` → the catalogue, with file, row and key in every message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from envfix.diagnose.document import Document
from envfix.diagnose.patterns import PatternError, compiled, words
from envfix.diagnose.remedy import INSTALL
from envfix.diagnose.told import COMPARED, FACTS
from envfix.errors import MatrixError
from envfix.model.diagnosis import Catalogue, Cause, Condition, Family, Helps, Reading
from envfix.ports import Outside
from envfix.reading import convert, parse_yaml, shipped_text

CAUSES, FACTS_FILE = "failures.yaml", "log_facts.yaml"


def load(outside: Outside, directory: str) -> Catalogue:
    """The catalogue of a folder. Raises MatrixError for a file that is missing or malformed."""
    tables = {**_table(outside, directory, CAUSES, "causes"), **_table(outside, directory, FACTS_FILE)}
    return checked(convert(tables, Catalogue, f"{CAUSES}, {FACTS_FILE}", MatrixError))


def _table(outside: Outside, directory: str, name: str, *keys: str) -> dict[str, Any]:
    value = parse_yaml(shipped_text(outside, f"{directory}/{name}"), name, MatrixError)
    if not isinstance(value, dict) or (keys and set(value) != set(keys)):
        raise MatrixError(f"{name}: expected a mapping of {', '.join(keys) or 'tables'}")
    return value


def checked(catalogue: Catalogue) -> Catalogue:
    """The catalogue, when its rows go together. Raises MatrixError with the place of one that does not."""
    for place, problem in _problems(catalogue):
        raise MatrixError(f"{place}: {problem}")
    return catalogue


def _problems(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    markers = {marker.id for marker in catalogue.markers} | COMPARED
    names = {cause.id for cause in catalogue.causes} | {family.value for family in Family}
    seen: set[str] = set()
    for at, cause in enumerate(catalogue.causes):
        place = f"{CAUSES}: causes[{at}] ({cause.id})"
        if cause.id in seen:
            yield place, "the id stands twice"
        seen.add(cause.id)
        yield from ((place + where, problem) for where, problem in _of_cause(cause, markers, names))
    for at, reading in enumerate(catalogue.readings):
        if reading.fact not in FACTS:
            yield f"{FACTS_FILE}: readings[{at}]", f"no fact is called `{reading.fact}`"


def _of_cause(cause: Cause, markers: set[str], names: set[str]) -> Iterator[tuple[str, str]]:
    if not cause.signatures and not cause.alone:
        yield "", "needs `signatures` or `alone`"
    if not cause.sources:
        yield ".sources", "needs one source"
    if not any(not fix.where for fix in cause.fix):
        yield ".fix", "needs one without `where`, for everywhere else"
    if cause.benign != (cause.family is Family.NOISE):
        yield ".benign", f"is {str(cause.benign).lower()} in the family `{cause.family.value}`"
    for name in cause.explains:
        if name not in names:
            yield ".explains", f"no cause or family is called `{name}`"
    for condition in _conditions(cause):
        for name in (*condition.told, *condition.untold):
            if name not in markers:
                yield ".told", f"no marker is called `{name}`"
        for pattern in (condition.gpu_named or "", *condition.environment.values()):
            if not _is_pattern(pattern):
                yield "", f"`{pattern}` is no regular expression"
    if cause.installs is Helps.NOBODY:
        for step in (step for fix in cause.fix for step in fix.steps):
            if INSTALL.search(step):
                yield ".fix", f"`installs: nobody`, and yet `{step}`"


def _conditions(cause: Cause) -> Iterator[Condition]:
    yield from (*cause.confirm, *cause.raises, *cause.lower, *cause.exclude)
    yield from (alone.given for alone in cause.alone)
    for signature in cause.signatures:
        yield from (*signature.given, *signature.unless)


def examples(catalogue: Catalogue) -> Iterator[str]:
    """What is wrong with the examples of the patterns; half a second, so for the tests and whoever edits."""
    for cause in catalogue.causes:
        for number, signature in enumerate(cause.signatures):
            place = f"{CAUSES}: {cause.id}.signatures[{number}]"
            for problem in _of_pattern(signature.says, signature.match, signature.miss):
                yield f"{place}: {problem}"
    for marker in catalogue.markers:
        for says in marker.says:
            # Each example belongs to one of the patterns.
            match = tuple(text for text in marker.match if Document(text).shows(says))
            for problem in _of_pattern(says, match, marker.miss):
                yield f"{FACTS_FILE}: markers.{marker.id}: {problem}"
        for text in marker.match:
            if not any(Document(text).shows(says) for says in marker.says):
                yield f"{FACTS_FILE}: markers.{marker.id}: nothing is found in `{text}`"
    for reading in catalogue.readings:
        yield from (f"{FACTS_FILE}: readings.{reading.fact}: {problem}" for problem in _of_reading(reading))


def _of_pattern(says: str, match: tuple[str, ...], miss: tuple[str, ...]) -> Iterator[str]:
    try:
        compiled(says), words(says)
    except PatternError as problem:
        yield str(problem)
        return
    if not match or not miss:
        yield f"`{says}` needs one `match` and one `miss`"
    for text in match:
        if not Document(text).shows(says):
            yield f"`{says}` must be found in `{text}`"
    for text in miss:
        if Document(text).shows(says):
            yield f"`{says}` must not be found in `{text}`"


def _of_reading(reading: Reading) -> Iterator[str]:
    for says in reading.says:
        if "value" not in compiled(says).groupindex:
            yield f"`{says}` needs a group `value`"
    for text, value in reading.match.items():
        document = Document(text)
        caught = [each.groups["value"] for says in reading.says for each in document.sightings(says)]
        if value not in caught:
            yield f"`{text}` must tell `{value}`, found {caught}"


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True
