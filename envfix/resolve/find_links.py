"""Wheels in the local folders that `find-links` names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote, urlsplit

from msgspec import structs

from envfix.model.filenames import wheel_name
from envfix.model.plan import LockedFile, LockedPackage
from envfix.ports import Outside

_LIMIT = 8 << 30


def find_links_files(
    outside: Outside, find_links: Sequence[str], names: frozenset[str]
) -> dict[str, tuple[LockedFile, ...]]:
    """Normalised name to the wheels of the local folders, hashed; only of the `names`."""
    found: dict[str, tuple[LockedFile, ...]] = {}
    for folder in _folders(find_links):
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


def at_hand(
    outside: Outside, find_links: Sequence[str], packages: Sequence[LockedPackage]
) -> tuple[LockedPackage, ...]:
    """The packages with the files that the local folders of `find-links` hold taken from there.

    A file is known by its name; whether it is the one that the lock means, its hash tells the installer.
    """
    held: dict[str, str] = {}
    for folder in _folders(find_links):
        for filename in outside.listdir(folder):
            held.setdefault(filename, f"file://{quote(f'{folder}/{filename}')}")

    def near(file: LockedFile) -> LockedFile:
        return structs.replace(file, url=held.get(file.filename, file.url))

    return tuple(
        structs.replace(
            package,
            # An installer takes the first that fits: one that is here before a better one that is not.
            wheels=tuple(sorted(map(near, package.wheels), key=lambda file: file.filename not in held)),
            sdist=near(package.sdist) if package.sdist else None,
        )
        for package in packages
    )


def _folders(find_links: Sequence[str]) -> Iterator[str]:
    for link in find_links:
        parts = urlsplit(link)
        # Pages on the network are left to the resolver.
        if parts.scheme in ("", "file"):
            yield unquote(parts.path).rstrip("/")
