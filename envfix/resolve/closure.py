"""What installed distributions need, and what that needs in its turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from packaging.utils import canonicalize_name

from envfix.model.markers import marker_environment
from envfix.model.specifiers import requirement
from envfix.model.target import Distribution, Target


def closure(target: Target, names: Iterable[str]) -> frozenset[str]:
    """Those of the normalised `names` that are installed, with all that they need and is installed."""
    there = {dist.name: dist for dist in target.installed}
    environment = dict(marker_environment(target.os, target.arch, target.python, target.implementation))
    found: set[str] = set()
    waiting = [name for name in names if name in there]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [needed for needed in _needs(there[name], environment) if needed in there]
    return frozenset(found)


def _needs(dist: Distribution, environment: Mapping[str, str]) -> Iterator[str]:
    for line in dist.requires:
        one = requirement(line)
        if one is not None and (one.marker is None or one.marker.evaluate(dict(environment))):
            yield canonicalize_name(one.name)
