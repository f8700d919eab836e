"""What must hold between the rows of the matrix, beyond each row's own types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from envfix.errors import MatrixError
from envfix.matrix.release_invariants import check_date, check_facts, check_release
from envfix.model.decision import Code
from envfix.model.matrix import Matrix, Release


def check(matrix: Matrix) -> None:
    """Raises MatrixError with file, row and key for the first row that contradicts another or itself."""
    _check_releases(matrix.releases)
    _check_cuda(matrix)
    _check_cudnn(matrix)
    _check_known_bad(matrix)
    _check_companions(matrix)
    check_date(matrix.date, "tensorflow.yaml: date")
    for row, fact in enumerate(matrix.wheels):
        _specifier("wheels.yaml", f"wheels[{row}].tf", fact.tf)
        check_facts(fact, f"wheels.yaml: wheels[{row}]")
    _unique("gpus.yaml", "gpus", "name", [gpu.name for gpu in matrix.gpus.gpus])
    begins = [row.since for row in matrix.gpus.drivers_begin]
    _ascending("gpus.yaml", "drivers_begin", "since", begins)
    _ascending("gpus.yaml", "drivers_end", "up_to", [row.up_to for row in matrix.gpus.drivers_end])
    codes = {code.value for code in Code}
    if set(matrix.gpus.codes) != codes:
        raise MatrixError(f"gpus.yaml: codes: expected {_listed(codes)}, found {_listed(matrix.gpus.codes)}")


def _check_releases(releases: Sequence[Release]) -> None:
    if not releases:
        raise MatrixError("tensorflow.yaml: releases: expected at least one, found none")
    _ascending("tensorflow.yaml", "releases", "version", [(row.package, row.version) for row in releases])
    for number, row in enumerate(releases):
        check_release(row, f"tensorflow.yaml: releases[{number}]")


def _check_cuda(matrix: Matrix) -> None:
    cuda = matrix.cuda
    _ascending("cuda.yaml", "drivers", "major", [row.major for row in cuda.drivers])
    _ascending("cuda.yaml", "ptx", "isa", [row.isa for row in cuda.ptx])
    _ascending("cuda.yaml", "releases", "cuda", [row.cuda for row in cuda.releases])
    _ascending("cuda.yaml", "wheels", "cuda", [row.cuda for row in cuda.wheels])
    for number, row in enumerate(cuda.releases):
        if row.first > row.last:
            raise MatrixError(
                f"cuda.yaml: releases[{number}].last: {row.last} is less than `first` {row.first}"
            )


def _check_cudnn(matrix: Matrix) -> None:
    cudnn = matrix.cudnn
    _ascending("cudnn.yaml", "releases", "first", [row.first for row in cudnn.releases])
    published = {version for row in cudnn.wheels for version in row.versions}
    for number, row in enumerate(cudnn.wheels):
        _ascending("cudnn.yaml", f"wheels[{number}].versions", "", list(row.versions))
    for number, choice in enumerate(cudnn.preferred):
        _specifier("cudnn.yaml", f"preferred[{number}].tf", choice.tf)
        for version in choice.versions:
            if version not in published:
                raise MatrixError(
                    f"cudnn.yaml: preferred[{number}].versions: {version} is not among `wheels`"
                )


def _check_known_bad(matrix: Matrix) -> None:
    _unique("known_bad.yaml", "known_bad", "id", [row.id for row in matrix.known_bad])
    for number, row in enumerate(matrix.known_bad):
        place = f"known_bad[{number}]"
        _specifier("known_bad.yaml", f"{place}.tf", row.tf)
        _specifier("known_bad.yaml", f"{place}.python", row.python)
        for text in row.requirements:
            _requirement(f"known_bad.yaml: {place}.requirements", text)
        if row.code and row.code not in {code.value for code in Code}:
            expected = _listed(code.value for code in Code)
            raise MatrixError(f"known_bad.yaml: {place}.code: expected {expected}, found `{row.code}`")
        if bool(row.works) != (row.code == Code.PARTIAL.value):
            raise MatrixError(
                f"known_bad.yaml: {place}.works: goes with the code `partial`, and with no other"
            )


def _check_companions(matrix: Matrix) -> None:
    for number, row in enumerate(matrix.companions):
        for key in ("version", "tensorflow"):
            _specifier("companions.yaml", f"companions[{number}].{key}", getattr(row, key))
        if row.name != canonicalize_name(row.name):
            raise MatrixError(f"companions.yaml: companions[{number}].name: `{row.name}` is not normalised")


def _ascending(file: str, table: str, key: str, values: Sequence[Any]) -> None:
    for number, (before, after) in enumerate(pairwise(values), start=1):
        if not before < after:
            where = f"{table}[{number}]" + (f".{key}" if key else "")
            shown = [
                " ".join(map(str, value)) if isinstance(value, tuple) else value for value in (after, before)
            ]
            raise MatrixError(f"{file}: {where}: {shown[0]} must come after {shown[1]}, once")


def _unique(file: str, table: str, key: str, values: Sequence[str]) -> None:
    seen: set[str] = set()
    for number, value in enumerate(values):
        if value in seen:
            raise MatrixError(f"{file}: {table}[{number}].{key}: `{value}` stands twice")
        seen.add(value)


def _specifier(file: str, place: str, text: str) -> None:
    _parsed(f"{file}: {place}", text, SpecifierSet, InvalidSpecifier)


def _requirement(place: str, text: str) -> None:
    _parsed(place, text, _requirement_once, InvalidRequirement)


@cache
def _requirement_once(text: str) -> Requirement:
    return Requirement(text)


def _parsed(place: str, text: str, parse: Callable[[str], object], problem: type[Exception]) -> None:
    try:
        parse(text)
    except problem as error:
        raise MatrixError(f"{place}: {str(error).splitlines()[0]}") from None


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))
