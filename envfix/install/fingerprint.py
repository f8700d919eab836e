"""What an environment looks like before and after, to say truthfully whether it is as it was."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from envfix import record
from envfix.model.target import Distribution, Target
from envfix.ports import Outside

# Written on any import, so they say nothing about an install.
_IGNORED = frozenset({"__pycache__"})


class Fingerprint(Struct, frozen=True, kw_only=True):
    """Distributions with versions, names in site-packages, and files that a RECORD lists but are gone."""

    distributions: frozenset[tuple[str, str]]
    names: frozenset[str]
    missing: frozenset[str]


def take(outside: Outside, target: Target, affected: Iterable[str]) -> Fingerprint:
    """The fingerprint of `target`; the files of the `affected` (normalised names) are each looked at."""
    wanted = frozenset(affected)
    names: set[str] = set()
    for folder in dict.fromkeys((target.purelib, target.platlib)):
        names.update(f"{folder}/{name}" for name in outside.listdir(folder))
        # The NVIDIA wheels share one namespace folder.
        names.update(f"{folder}/nvidia/{name}" for name in outside.listdir(f"{folder}/nvidia"))
    missing: set[str] = set()
    for dist in target.installed:
        if dist.name in wanted:
            missing.update(_missing(outside, dist, target))
    return Fingerprint(
        distributions=frozenset((dist.name, dist.version) for dist in target.installed),
        names=frozenset(name for name in names if name.rsplit("/", 1)[-1] not in _IGNORED),
        missing=frozenset(missing),
    )


def _missing(outside: Outside, dist: Distribution, target: Target) -> Iterable[str]:
    """Files in the distribution's RECORD that are not there."""
    place = record.place_of(outside, dist, target)
    if place is None:
        return [f"{dist.location or target.purelib}/{dist.name}.dist-info/RECORD"]
    paths = record.recorded(outside, place.info)
    if paths is None:
        return [f"{place.info}/RECORD"]
    return [
        path for path in paths if "__pycache__" not in path and not outside.exists(f"{place.base}/{path}")
    ]
