"""A pin, and what makes one: requirements of the `and-cuda` extra and what is installed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from msgspec import Struct
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envfix.model.matrix import Release
from envfix.model.specifiers import allows

# Installed packages that pin NVIDIA wheels themselves, so that changing those breaks them.
HOLDERS = frozenset({"torch", "jax-cuda12-plugin", "jax-cuda12-pjrt"})
# jax's plugins for other CUDA majors: what they ask for overwrites what TensorFlow needs.
OF_OTHER_MAJORS = frozenset({"jax-cuda13-plugin", "jax-cuda13-pjrt"})


class Pin(Struct, frozen=True, kw_only=True):
    """One wheel, `name` normalised, and why this version of it."""

    name: str
    version: str
    because: str


def exact(requirement: Requirement, release: Release) -> Pin | None:
    """The pin that the release itself makes; None where it leaves a range."""
    parts = list(requirement.specifier)
    if len(parts) != 1 or parts[0].operator != "==":
        return None
    name = canonicalize_name(requirement.name)
    return Pin(name=name, version=parts[0].version, because=f"{release.package} {release.version} pins it")


def kept(name: str, allowed: SpecifierSet, installed: Mapping[str, str]) -> Pin | None:
    """What is installed, where it is allowed."""
    version = installed.get(name)
    try:
        fits = version is not None and allowed.contains(Version(version))
    except InvalidVersion:
        return None
    return Pin(name=name, version=version, because="installed, and it fits") if version and fits else None


def are_held(installed: Mapping[str, str]) -> bool:
    """Whether another package that is installed pins the NVIDIA wheels."""
    return not HOLDERS.isdisjoint(installed)


def floor(requirement: Requirement) -> str:
    """The least version of a range, `0` where there is none."""
    floors = [part.version for part in requirement.specifier if part.operator in (">=", "==", "~=")]
    return floors[0] if floors else "0"


def is_for(specifier: str, release: Release) -> bool:
    """Whether a row of the matrix with this `tf` is about the release."""
    return allows(specifier, release.number)


@cache
def requirement(text: str) -> Requirement:
    """Parsed once: the same texts are asked for with every release."""
    return Requirement(text)
