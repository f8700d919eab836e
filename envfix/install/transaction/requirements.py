"""Whether the requirements of everything that is installed hold, as `pip check` means it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from packaging.utils import canonicalize_name

from envfix.model import specifiers
from envfix.model.markers import marker_environment
from envfix.model.plan import Break
from envfix.model.target import Target


class Unmet(NamedTuple):
    """A requirement of an installed distribution that does not hold; `found` is the version that is there."""

    package: str
    requirement: str
    found: str | None

    def __str__(self) -> str:
        return f"{self.package} needs {self.requirement}, found {self.found or 'none'}"


def newly_unmet(before: Target, now: Target, accepted: Collection[Break]) -> tuple[Unmet, ...]:
    """What the change has broken, less what the user has accepted and what was broken before."""
    known = {(one.package.partition(" ")[0], one.requirement) for one in unmet(before)}
    known |= {(one.package.partition(" ")[0], one.requirement) for one in accepted}
    return tuple(one for one in unmet(now) if (one.package.partition(" ")[0], one.requirement) not in known)


def unmet(target: Target) -> tuple[Unmet, ...]:
    """Every requirement that does not hold, in the order of the distributions."""
    versions = {dist.name: dist.version for dist in target.installed}
    environment = marker_environment(target.os, target.arch, target.python, target.implementation)
    found = []
    for dist in target.installed:
        for line in dist.requires:
            wanted = specifiers.requirement(line)
            if wanted is None or (wanted.marker and not wanted.marker.evaluate(dict(environment))):
                continue
            there = versions.get(canonicalize_name(wanted.name))
            if there is None or not specifiers.allows(str(wanted.specifier), there):
                found.append(Unmet(f"{dist.name} {dist.version}", line, there))
    return tuple(found)
