"""What an environment looks like before and after, to say truthfully whether it is as it was."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

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
    info, base = _info_folder(outside, dist, target)
    try:
        record = outside.read_text(f"{info}/RECORD")
    except OSError:
        return [f"{info}/RECORD"]
    paths = [_first_column(line) for line in record.splitlines() if line.strip()]
    return [path for path in paths if "__pycache__" not in path and not outside.exists(f"{base}/{path}")]


def _info_folder(outside: Outside, dist: Distribution, target: Target) -> tuple[str, str]:
    base = dist.location or target.purelib
    if base.endswith((".dist-info", ".egg-info")):
        return base, base.rsplit("/", 1)[0]
    for name in outside.listdir(base):
        stem, _, version = name.removesuffix(".dist-info").partition("-")
        same = (re.sub(r"[-_.]+", "-", stem).lower(), version) == (dist.name, dist.version)
        if same and name.endswith(".dist-info"):
            return f"{base}/{name}", base
    return f"{base}/{dist.name}.dist-info", base


def _first_column(line: str) -> str:
    """The path of a RECORD line; quoted where it holds a comma (PEP 376: a CSV file)."""
    if line.startswith('"'):
        return line[1:].split('",', 1)[0].replace('""', '"')
    return line.split(",", 1)[0]
