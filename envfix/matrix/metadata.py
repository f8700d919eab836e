"""What the core metadata of a release's wheels requires, joined into one list.

Up to 2.21.0 every Python's wheel says the same (all read on 2026-11-23); from 2.22.0rc0 on they differ. What
only some Pythons' wheels require gets a marker, so that one list holds for all of them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from envfix.model.versions import PythonRelease

# The extra that brings NVIDIA's wheels, the first that is there: `cuda` and `cuda12` stand beside `and-cuda`
# in the nightlies of 2.23 (METADATA of tf-nightly 2.23.0.dev20261026).
EXTRAS = ("and-cuda", "cuda", "cuda12", "cuda13")


class Requirements(NamedTuple):
    """The plain requirements, and those of the extra for NVIDIA's wheels without their `extra` marker."""

    plain: tuple[str, ...]
    cuda: tuple[str, ...]


def read_requirements(texts: Mapping[PythonRelease, str]) -> Requirements:
    """From the METADATA of one platform's wheels by Python. Lines that are no requirement are left out."""
    read = {python: _read(text) for python, text in texts.items()}
    return Requirements(
        plain=_joined({python: one.plain for python, one in read.items()}),
        cuda=_joined({python: one.cuda for python, one in read.items()}),
    )


def declared(text: str, name: str) -> str:
    """The specifier on the package with the normalised name outside extras, empty where there is none.

    A marker that only leaves a platform out is passed over.
    """
    for requirement in _requirements(text):
        if canonicalize_name(requirement.name) == name and "extra ==" not in str(requirement.marker or ""):
            return str(requirement.specifier)
    return ""


def extras_with(text: str, name: str) -> tuple[str, ...]:
    """The extras that bring the package with the normalised name."""
    markers = [str(one.marker) for one in _requirements(text) if canonicalize_name(one.name) == name]
    return tuple(found for marker in markers for found in re.findall(r'extra == "([^"]+)"', marker))


def _requirements(text: str) -> Iterator[Requirement]:
    for line in text.replace("\r\n", "\n").partition("\n\n")[0].splitlines():
        if line.startswith("Requires-Dist:"):
            # METADATA of old wheels may hold what no installer reads either.
            with contextlib.suppress(InvalidRequirement):
                yield Requirement(line.partition(":")[2].strip())


def _read(text: str) -> Requirements:
    plain: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in _requirements(text):
        marker = str(requirement.marker or "")
        if "extra ==" not in marker:
            plain.append(str(requirement))
            continue
        for extra in EXTRAS:
            if f'extra == "{extra}"' in marker:
                extras.setdefault(extra, []).append(
                    f"{canonicalize_name(requirement.name)}{requirement.specifier}"
                )
    cuda: list[str] = next((extras[extra] for extra in EXTRAS if extra in extras), [])
    return Requirements(tuple(plain), tuple(cuda))


def _joined(lists: Mapping[PythonRelease, Sequence[str]]) -> tuple[str, ...]:
    """Every requirement once, in the order of the newest Python's list and beside others of its name."""
    pythons = sorted(lists)
    holders: dict[str, list[PythonRelease]] = {}
    names: dict[str, int] = {}
    for python in reversed(pythons):
        for text in dict.fromkeys(lists[python]):
            holders.setdefault(text, []).append(python)
            names.setdefault(_name(text), len(names))
    texts = sorted(holders, key=lambda text: (names[_name(text)], min(holders[text])))
    if all(len(found) == len(pythons) for found in holders.values()):
        texts = list(holders)
    return tuple(_marked(text, tuple(sorted(holders[text])), tuple(pythons)) for text in texts)


def _name(text: str) -> str:
    return canonicalize_name(Requirement(text).name)


def _marked(text: str, holding: tuple[PythonRelease, ...], pythons: tuple[PythonRelease, ...]) -> str:
    if holding == pythons:
        return text
    requirement = Requirement(text)
    own = _python_marker(holding, pythons)
    before = f"({requirement.marker}) and " if requirement.marker else ""
    requirement.marker = Marker(f"{before}({own})")
    return str(requirement)


def _python_marker(holding: tuple[PythonRelease, ...], pythons: tuple[PythonRelease, ...]) -> str:
    """A marker that is true for `holding` and for no other of `pythons`; both ascending."""
    first, last = pythons.index(holding[0]), pythons.index(holding[-1])
    if pythons[first : last + 1] != holding:
        return " or ".join(f'python_version == "{python}"' for python in holding)
    parts = [f'python_version >= "{holding[0]}"'] if first else []
    parts += [f'python_version < "{pythons[last + 1]}"'] if last + 1 < len(pythons) else []
    return " and ".join(parts)
