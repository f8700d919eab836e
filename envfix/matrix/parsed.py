"""The matrix's files as plain values, kept from run to run: reading YAML is half of what a decision costs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from envfix import cache
from envfix.errors import MatrixError
from envfix.ports import Outside
from envfix.reading import parse_yaml

_FILE = "matrix.json"


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
    head, _, body = (cache.kept(outside, cache.place(outside, _FILE)) or b"").partition(b"\n")
    try:
        tables = msgspec.json.decode(body) if head == digest.encode() else None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return tables if isinstance(tables, dict) else None


def _keep(outside: Outside, digest: str, tables: dict[str, Any]) -> None:
    body = msgspec.json.encode(tables)
    # JSON has text for keys only: a table with others would come back changed.
    if msgspec.json.decode(body) != tables:
        return
    # A cache that cannot be written costs the next run 50 ms, and is no news to anybody.
    with contextlib.suppress(OSError):
        cache.keep(outside, cache.place(outside, _FILE), digest.encode() + b"\n" + body)
