"""What the names of wheels say: platform, Python and the floor of the C library."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from envfix.model.filenames import wheel_name
from envfix.model.machine import Arch, Os
from envfix.model.versions import GlibcRelease, PythonRelease
from envfix.ports import IndexFile

# PEP 513, 571 and 599: the names from before PEP 600, which writes the C library's version into the tag.
_LEGACY = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
_ARCH = {"x86_64": Arch.X86_64, "amd64": Arch.X86_64, "aarch64": Arch.AARCH64, "arm64": Arch.AARCH64}


class Platform(NamedTuple):
    """What a wheel's platform tag names."""

    os: Os
    arch: Arch


class TaggedWheel(NamedTuple):
    """A wheel with what its tags say; `glibc` is None outside Linux."""

    file: IndexFile
    platform: Platform
    python: PythonRelease
    glibc: GlibcRelease | None


def by_platform(files: Iterable[IndexFile]) -> dict[Platform, tuple[TaggedWheel, ...]]:
    """The wheels of each platform, the newest Python first. Those for other interpreters are left out."""
    found: dict[Platform, list[TaggedWheel]] = {}
    for file in files:
        wheel = read_tags(file)
        if wheel is not None:
            found.setdefault(wheel.platform, []).append(wheel)
    return {
        platform: tuple(sorted(wheels, key=lambda wheel: wheel.python, reverse=True))
        for platform, wheels in found.items()
    }


def read_tags(file: IndexFile) -> TaggedWheel | None:
    """None for a wheel that is for another interpreter or platform than those envfix knows of."""
    named = wheel_name(file.filename)
    tags = named.tags if named else ()
    floors: list[GlibcRelease] = []
    place: Platform | None = None
    python: PythonRelease | None = None
    for tag in tags:
        version = re.fullmatch(r"cp(\d)(\d+)", tag.interpreter)
        platform = _platform(tag.platform)
        if version is None or platform is None or tag.abi.endswith("t"):
            continue  # not CPython, or a free-threaded build, which is another ABI
        place, python = platform, PythonRelease(f"{version[1]}.{version[2]}")
        floor = _glibc(tag.platform)
        floors += [floor] if floor else []
    if place is None or python is None:
        return None
    # Several tags on one wheel are names for the same floor, or alternatives: the lowest holds.
    return TaggedWheel(file, place, python, min(floors) if floors else None)


def _platform(tag: str) -> Platform | None:
    for prefix, system in (("manylinux", Os.LINUX), ("win", Os.WINDOWS), ("macosx", Os.MACOS)):
        if tag.startswith(prefix):
            arch = next((arch for name, arch in _ARCH.items() if tag.endswith(f"_{name}")), None)
            return Platform(system, arch) if arch else None
    return None


def _glibc(tag: str) -> GlibcRelease | None:
    found = re.match(r"manylinux_(\d+)_(\d+)_", tag)
    if found:
        return GlibcRelease(f"{found[1]}.{found[2]}")
    name = tag.partition("_")[0]
    return GlibcRelease(_LEGACY[name]) if name in _LEGACY else None
