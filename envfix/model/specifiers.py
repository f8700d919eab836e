"""Version specifiers and requirements as text, each parsed once: the same ones are asked of every release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from packaging.requirements import Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

_LONGEST = 4096  # characters; a thousand brackets nest deeper than the parser follows
# What packaging's parsers raise: its own errors, Python's for a number of thousands of digits, and the depth.
NOT_VALID = (ValueError, RecursionError)
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@cache
def specifier(text: str) -> SpecifierSet:
    """Raises InvalidSpecifier."""
    return SpecifierSet(text)


@cache
def allows(text: str, version: str) -> bool:
    """Whether the specifier allows the version, pre-releases included; what is no version it does not."""
    try:
        return specifier(text).contains(Version(version), prereleases=True)
    except ValueError:  # InvalidVersion, or Python's own for thousands of digits
        return False


@cache
def contradict(one: str, two: str) -> bool:
    """Whether no version satisfies both specifiers. What cannot be compared contradicts nothing.

    Where some version does, one does that stands at a bound of either, just above or just below it.
    """
    try:
        parts = list(SpecifierSet(f"{one},{two}".strip(",")))
    except ValueError:
        return False
    if not parts or any(part.operator == "===" for part in parts):
        return False
    both = SpecifierSet(",".join(map(str, parts)))
    return not any(both.contains(probe, prereleases=True) for part in parts for probe in _around(part))


def _around(part: Specifier) -> Iterator[Version]:
    bound = Version(part.version.removesuffix(".*"))
    yield bound
    yield _numbered((*bound.release, *(0,) * 4, 1))
    if part.version.endswith(".*"):
        yield _numbered((*bound.release[:-1], bound.release[-1] + 1))
    last = max((place for place, number in enumerate(bound.release) if number), default=None)
    if last is not None:
        yield _numbered((*bound.release[:last], bound.release[last] - 1, 999_999))


def _numbered(release: Iterable[int]) -> Version:
    return Version(".".join(map(str, release)))


@cache
def requirement(line: str) -> Requirement | None:
    """A Requires-Dist line; None for one from before PEP 508, which binds nobody."""
    try:
        return Requirement(line) if len(line) <= _LONGEST else None
    except NOT_VALID:
        return None


@cache
def name_in(line: str) -> str:
    """The normalised name that a Requires-Dist line begins with, without parsing the rest; may be empty."""
    named = _NAME.match(line)
    return canonicalize_name(named[1]) if named else ""
