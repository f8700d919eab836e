"""Which of a project's files a target can install, the best first; nothing is run to find out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms

from envfix.model.filenames import wheel_name
from envfix.model.machine import Arch, Os
from envfix.model.plan import LockedFile
from envfix.model.target import Target

# A target does not say which macOS it runs; wheels for later ones than this are not taken.
_MACOS = (14, 0)
_OLD_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def target_tags(target: Target) -> dict[Tag, int]:
    """Every tag the target installs with its rank, 0 the best (packaging.python.org, platform tags)."""
    major, minor = target.python.major, target.python.minor
    platforms = list(_platforms(target))
    tags: list[Tag] = []
    if target.implementation == "cpython":
        # Until 3.7 the ABI of a plain build was named with an `m` (PEP 3149).
        abi = f"cp{major}{minor}" + ("m" if (major, minor) < (3, 8) else "")
        tags += cpython_tags((major, minor), [abi], platforms)
    tags += compatible_tags((major, minor), f"{_short(target)}{major}{minor}", platforms)
    ranks: dict[Tag, int] = {}
    for tag in tags:
        ranks.setdefault(tag, len(ranks))
    return ranks


def installable(files: Iterable[LockedFile], tags: dict[Tag, int]) -> tuple[LockedFile, ...]:
    """The wheels among `files` that carry one of `tags`, the best first."""
    ranked = []
    for file in files:
        named = wheel_name(file.filename)
        ranks = [tags[tag] for tag in named.tags if tag in tags] if named else []
        if named and ranks:
            # Of two builds of the same wheel the later one wins (binary distribution format, build tag).
            ranked.append(((min(ranks), tuple(-part for part in named.build[:1]), file.filename), file))
    return tuple(file for _, file in sorted(ranked, key=lambda pair: pair[0]))


def _short(target: Target) -> str:
    return {"cpython": "cp", "pypy": "pp"}.get(target.implementation, target.implementation)


def _platforms(target: Target) -> Iterator[str]:
    arch = target.arch.value
    if target.os is Os.WINDOWS:
        yield "win_amd64" if target.arch is Arch.X86_64 else "win_arm64"
    elif target.os is Os.MACOS:
        yield from mac_platforms(_MACOS, "arm64" if target.arch is Arch.AARCH64 else "x86_64")
    else:
        if target.glibc is not None:
            # PEP 600; no aarch64 wheel is older than glibc 2.17.
            oldest = 5 if target.arch is Arch.X86_64 else 17
            for minor in range(target.glibc.minor, oldest - 1, -1):
                yield f"manylinux_2_{minor}_{arch}"
                if minor in _OLD_MANYLINUX:
                    yield f"{_OLD_MANYLINUX[minor]}_{arch}"
        yield f"linux_{arch}"
