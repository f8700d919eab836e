"""What the index page alone says of the releases of a package: names, sizes and digests of the wheels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from envfix.errors import InputError
from envfix.matrix.nearest import nearest
from envfix.matrix.wheel_tags import Platform, TaggedWheel, by_platform
from envfix.model.machine import Arch, Os
from envfix.model.matrix import Release, WheelSet
from envfix.ports import IndexFile

LINUX = Platform(Os.LINUX, Arch.X86_64)


class Page(NamedTuple):
    """What the page says of one release: `release` has no requirements and no CUDA builds yet."""

    release: Release
    platforms: dict[Platform, tuple[TaggedWheel, ...]]

    @property
    def sample(self) -> tuple[TaggedWheel, ...]:
        """The wheels whose requirements count: one for each Python, of Linux x86_64 where there are some."""
        return self.platforms[LINUX if LINUX in self.platforms else min(self.platforms)]


def read_page(package: str, wanted: Version, files: Sequence[IndexFile]) -> Page:
    """The release as the index page has it.

    Raises InputError where there is none (naming the nearest) or no wheel for a platform that envfix knows.
    """
    found = _files_of(package, wanted, files)
    platforms = by_platform(found)
    if not platforms:
        sizes = ", ".join(f"{file.filename} of {file.size or 0} bytes" for file in found[:3])
        raise InputError(f"`{package}` {wanted} holds no TensorFlow: no wheel for any platform, only {sizes}")
    dates = sorted(file.upload_time for file in found if file.upload_time)
    release = Release(
        version=wanted,
        package=package,
        uploaded=dates[0][:10] if dates else "",
        yanked=all(file.yanked for file in found),
        files=_digest(found),
        wheels=tuple(_wheel_set(platform, platforms[platform]) for platform in sorted(platforms)),
    )
    return Page(release, platforms)


def releases_on(files: Iterable[IndexFile]) -> tuple[Version, ...]:
    """Every release that has a wheel, pre-releases included, ascending."""
    versions = {version for file in files if (version := _wheel_version(file)) is not None}
    return tuple(sorted(versions))


def _files_of(package: str, wanted: Version, listed: Sequence[IndexFile]) -> tuple[IndexFile, ...]:
    pairs = [(_wheel_version(file), file) for file in listed]
    # Several indexes may have the same wheel; the first counts, as for an installer.
    files = {file.filename: file for version, file in reversed(pairs) if version == wanted}
    if files:
        return tuple(file for _, file in pairs if files.get(file.filename) is file)
    available = [version for version, _ in pairs if version is not None]
    if not available:
        raise InputError(f"`{package}` has no wheels on the package index")
    named = ", ".join(str(version) for version in nearest(str(wanted), available))
    raise InputError(f"{package} {wanted} does not exist on the package index", f"the nearest: {named}")


def _wheel_version(file: IndexFile) -> Version | None:
    try:
        return parse_wheel_filename(file.filename)[1]
    except InvalidWheelFilename:
        return None  # a source archive, or a name from before wheels were standardised


def _wheel_set(platform: Platform, wheels: tuple[TaggedWheel, ...]) -> WheelSet:
    floors = [wheel.glibc for wheel in wheels if wheel.glibc is not None]
    return WheelSet(
        os=platform.os,
        arch=platform.arch,
        python=tuple(sorted({wheel.python for wheel in wheels})),
        cuda=False,
        size=max(wheel.file.size or 0 for wheel in wheels),
        glibc=max(floors) if floors else None,
    )


def _digest(files: Sequence[IndexFile]) -> str:
    """SHA-256 over the lines `name digest` of the wheels; empty where the page lacks a digest."""
    lines = [f"{file.filename} {file.sha256}\n" for file in files if file.sha256]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() if len(lines) == len(files) else ""
