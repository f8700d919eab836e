"""`compat_matrix/*.yaml` → the matrix, with file, row and key in every message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from envfix.errors import MatrixError
from envfix.matrix import invariants
from envfix.matrix.parsed import plain_tables
from envfix.model.companions import CompanionTable
from envfix.model.matrix import (
    CudaTable,
    CudnnTable,
    GpuTable,
    KnownBad,
    Matrix,
    Release,
    Row,
    WheelTable,
)
from envfix.ports import Outside
from envfix.reading import convert, shipped_text

T = TypeVar("T")
FILES = (
    "tensorflow.yaml",
    "wheels.yaml",
    "cuda.yaml",
    "cudnn.yaml",
    "gpus.yaml",
    "known_bad.yaml",
    "companions.yaml",
)


class ReleaseTable(Row, frozen=True):
    """`tensorflow.yaml`; `date` is the day it was read from the index."""

    date: str
    releases: tuple[Release, ...]


class KnownBadTable(Row, frozen=True):
    """`known_bad.yaml`."""

    known_bad: tuple[KnownBad, ...]


def matrix_dir() -> str:
    """The folder of the shipped matrix: package data, or the top of an editable checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "compat_matrix", package.parent / "compat_matrix"):
        if folder.is_dir():
            return str(folder)
    raise MatrixError(
        f"the compatibility matrix is not in `{package}`", "install envfix again: its data is missing"
    )


def load(outside: Outside, directory: str) -> Matrix:
    """The whole matrix of a folder. Raises MatrixError for a file that is missing or malformed."""
    texts = {name: shipped_text(outside, f"{directory}/{name}") for name in FILES}
    digest = _digest(texts.values())
    tables = plain_tables(outside, texts, digest)
    releases = _table(tables, "tensorflow.yaml", ReleaseTable)
    matrix = Matrix(
        releases=releases.releases,
        wheels=_table(tables, "wheels.yaml", WheelTable).wheels,
        cuda=_table(tables, "cuda.yaml", CudaTable),
        cudnn=_table(tables, "cudnn.yaml", CudnnTable),
        gpus=_table(tables, "gpus.yaml", GpuTable),
        known_bad=_table(tables, "known_bad.yaml", KnownBadTable).known_bad,
        companions=_table(tables, "companions.yaml", CompanionTable).companions,
        digest=digest,
        date=releases.date,
    )
    invariants.check(matrix)
    return matrix


def _table(tables: Mapping[str, Any], name: str, kind: type[T]) -> T:
    return convert(tables[name], kind, name, MatrixError)


def _digest(texts: Iterable[str]) -> str:
    """SHA-256 over the files in the order of FILES, each closed by a zero byte."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8") + b"\0")
    return digest.hexdigest()
