"""The matrix's files as plain values, kept from run to run: reading YAML is half of what a decision costs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from envfix.errors import MatrixError
from envfix.ports import Outside
from envfix.reading import parse_yaml

_MOST = 64 << 20


def plain_tables(outside: Outside, texts: Mapping[str, str], digest: str) -> dict[str, Any]:
    """The plain value of each file by its name; `digest` is of all their texts.

    The user's cache answers where it holds exactly these files, and is written where it does not. Values
    are plain and become typed, with every check, in either case. Raises MatrixError.
    """
    kept = _kept(outside, digest)
    if kept is not None and kept.keys() == texts.keys():
        return kept
    tables = {name: parse_yaml(text, name, MatrixError) for name, text in texts.items()}
    _keep(outside, digest, tables)
    return tables


def _kept(outside: Outside, digest: str) -> dict[str, Any] | None:
    """None where nothing is kept, something else is, or a killed run has left half of it."""
    try:
        head, _, body = outside.read_bytes(_file(), _MOST).partition(b"\n")
        tables = msgspec.json.decode(body) if head == digest.encode() else None
    except (OSError, msgspec.DecodeError):
        return None
    return tables if isinstance(tables, dict) else None


def _keep(outside: Outside, digest: str, tables: dict[str, Any]) -> None:
    body = msgspec.json.encode(tables)
    # JSON has text for keys only: a table with others would come back changed.
    if msgspec.json.decode(body) != tables:
        return
    # A cache that cannot be written costs the next run 50 ms, and is no news to anybody.
    with contextlib.suppress(OSError):
        outside.make_dirs(_file().rpartition("/")[0])
        outside.write_bytes(_file(), digest.encode() + b"\n" + body)


def _file() -> str:
    import platformdirs

    return platformdirs.user_cache_path("envfix", appauthor=False).joinpath("matrix.json").as_posix()
