"""Locked packages as a PEP 751 lock file: the one that is kept, and the one that is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from envfix.model.plan import LockedFile, LockedPackage
from envfix.model.urls import without_credentials


def lock_text(packages: Iterable[LockedPackage], extra: Mapping[str, Any] | None = None) -> str:
    """The TOML of a lock of `packages`, sorted by name, with the further keys of `extra`.

    Raises ValueError (a bug in envfix) if it would not be a valid PEP 751 lock.
    """
    import tomli_w
    from packaging.pylock import Pylock, PylockValidationError

    rows = [_package(package) for package in sorted(packages, key=lambda package: package.name)]
    rest = dict(extra or {})
    tool = rest.pop("tool", None)
    data: dict[str, Any] = {"lock-version": "1.0", "created-by": "envfix", **rest, "packages": rows}
    if tool is not None:
        data["tool"] = tool
    try:
        Pylock.from_dict(data)
    except PylockValidationError as problem:
        raise ValueError(f"the lock would not be valid: {problem}") from problem
    return tomli_w.dumps(data)


def basename(url: str) -> str:
    """The file name at the end of a URL."""
    return unquote(urlsplit(url).path).rsplit("/", 1)[-1]


def is_fetchable(url: str, *, disk: bool = True) -> bool:
    """Whether it is a URL of http or https with a host, or (`disk`) of a file."""
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        network = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return network or (disk and parts.scheme == "file" and bool(parts.path))


def _package(package: LockedPackage) -> dict[str, Any]:
    row: dict[str, Any] = {"name": package.name, "version": package.version}
    if package.requires_python:
        row["requires-python"] = package.requires_python
    if package.sdist:
        row["sdist"] = _file(package.sdist)
    if package.wheels:
        row["wheels"] = [_file(wheel) for wheel in package.wheels]
    return row


def _file(file: LockedFile) -> dict[str, Any]:
    url = without_credentials(file.url)
    row: dict[str, Any] = {} if basename(url) == file.filename else {"name": file.filename}
    row["url"] = url
    if file.size is not None:
        row["size"] = file.size
    row["hashes"] = {"sha256": file.sha256}
    return row
