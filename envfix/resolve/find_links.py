"""Wheels in the local folders that `find-links` names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import quote, unquote, urlsplit

from envfix.model.filenames import wheel_name
from envfix.model.plan import LockedFile
from envfix.ports import Outside

_LIMIT = 8 << 30


def find_links_files(
    outside: Outside, find_links: Sequence[str], names: frozenset[str]
) -> dict[str, tuple[LockedFile, ...]]:
    """Normalised name to the wheels of the local folders, hashed; only of the `names`.

    Pages on the network are left to the resolver.
    """
    found: dict[str, tuple[LockedFile, ...]] = {}
    for link in find_links:
        parts = urlsplit(link)
        if parts.scheme not in ("", "file"):
            continue
        folder = unquote(parts.path).rstrip("/")
        for filename in outside.listdir(folder):
            named = wheel_name(filename)
            if named and named.name in names:
                data = outside.read_bytes(f"{folder}/{filename}", _LIMIT)
                file = LockedFile(
                    filename=filename,
                    url=f"file://{quote(f'{folder}/{filename}')}",
                    sha256=hashlib.sha256(data).hexdigest(),
                    size=len(data),
                )
                found[named.name] = (*found.get(named.name, ()), file)
    return found
