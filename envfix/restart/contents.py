"""What an installed distribution brings: shared objects, which a process is seen to hold, and modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from envfix.ports import Outside
from envfix.record import normalised, recorded


class Contents(NamedTuple):
    """`libraries` are paths below the folder that holds the distribution, `imports` dotted names."""

    libraries: frozenset[str]
    imports: tuple[str, ...]


def contents_of(outside: Outside, names: Iterable[str], folders: Sequence[str]) -> Mapping[str, Contents]:
    """The contents of the named distributions that are there, by the names as given.

    Read from their RECORD (packaging.python.org, "Recording installed projects"); one without it, as some
    installers leave it, is taken to bring a module of its own name.
    """
    wanted = {normalised(name): name for name in names}
    found: dict[str, Contents] = {}
    for folder in folders:
        for entry in outside.listdir(folder):
            name = wanted.get(normalised(entry.split("-")[0]))
            if name is None or name in found or not entry.endswith(".dist-info"):
                continue
            paths = recorded(outside, f"{folder}/{entry}")
            if paths is None:
                found[name] = Contents(frozenset(), (normalised(name).replace("-", "_"),))
            else:
                found[name] = contents_among(paths)
    return found


def contents_among(recorded_paths: Iterable[str]) -> Contents:
    """The shared objects of a RECORD, and its topmost packages and modules: `google.protobuf`, `six`."""
    paths = [path for path in recorded_paths if not path.startswith(("../", "/"))]
    packages = {path.removesuffix("/__init__.py") for path in paths if path.endswith("/__init__.py")}
    topmost = {path for path in packages if not any(parent in packages for parent in _parents(path))}
    modules = {path.removesuffix(".py") for path in paths if path.endswith(".py") and "/" not in path}
    # A leading underscore is nothing that a notebook imports by name.
    names = sorted(name.replace("/", ".") for name in topmost | modules if not name.startswith("_"))
    return Contents(frozenset(path for path in paths if _LIBRARY.search(path)), tuple(names))


_LIBRARY = re.compile(r"\.so(\.|$)")


def _parents(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
