"""What an installed distribution brings: shared objects, which a process is seen to hold, and modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from envfix.ports import Outside


class Contents(NamedTuple):
    """`libraries` are paths below the folder that holds the distribution, `imports` dotted names."""

    libraries: frozenset[str]
    imports: tuple[str, ...]


def contents_of(outside: Outside, names: Iterable[str], folders: Sequence[str]) -> Mapping[str, Contents]:
    """The contents of the named distributions that are there, by the names as given.

    Read from their RECORD (packaging.python.org, "Recording installed projects"); one without it, as some
    installers leave it, is taken to bring a module of its own name.
    """
    wanted = {_normalised(name): name for name in names}
    found: dict[str, Contents] = {}
    for folder in folders:
        for entry in outside.listdir(folder):
            name = wanted.get(_normalised(entry.split("-")[0]))
            if name is None or name in found or not entry.endswith(".dist-info"):
                continue
            try:
                record = outside.read_text(f"{folder}/{entry}/RECORD", 64 << 20)
            except OSError:
                found[name] = Contents(frozenset(), (_normalised(name).replace("-", "_"),))
            else:
                found[name] = parse_record(record)
    return found


def parse_record(text: str) -> Contents:
    """The shared objects of a RECORD, and its topmost packages and modules: `google.protobuf`, `six`."""
    # Three fields; a path that holds a comma is in quotation marks.
    paths = [line.rsplit(",", 2)[0].strip('"') for line in text.splitlines()]
    paths = [path for path in paths if not path.startswith(("../", "/"))]
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


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
