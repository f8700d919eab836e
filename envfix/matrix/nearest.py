"""Which releases to name when the one that was asked for does not exist."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.version import Version


def nearest(wanted: str, available: Iterable[Version], count: int = 3) -> tuple[Version, ...]:
    """At most `count` of the available releases, ascending: those of the same minor, else its neighbours.

    `wanted` is any text with a release number in it; without one the newest releases are named.
    """
    ordered = sorted(set(available))
    number = _number(wanted)
    if number is None:
        return tuple(ordered[-count:])
    same = [version for version in ordered if version.release[:2] == number.release[:2]]
    if same:
        return tuple(same[-count:])
    below = [version for version in ordered if version < number]
    above = [version for version in ordered if version > number]
    picked = (below[-((count + 1) // 2) :] + above[: count // 2]) or ordered
    return tuple(picked)


def _number(text: str) -> Version | None:
    for word in text.replace(",", " ").split():
        try:
            return Version(word.lstrip("=<>!~").removesuffix(".*"))
        except ValueError:
            continue
    return None
