"""The shipped matrix, up to the rows that the expectations in tests/data were written for.

A right row that is added to `compat_matrix/` changes no expectation: what is newer than these is left out.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from msgspec import structs
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix.matrix import load, rank
from envfix.model.decision import Candidate, Decision
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix
from envfix.model.request import Accelerator, Request, TensorFlowRequest
from envfix.model.versions import CudaRelease, CudnnRelease
from envfix.reading import convert, parse_yaml
from envfix.system.outside import RealOutside

LAST = Version("2.21.0")
LAST_CUDA = CudaRelease("13.3")
LAST_CUDNN = CudnnRelease("9.28.0.42")
LAST_BAD = "and-cuda-ranges"  # rows are added at the end
RULES = Path(__file__).parent / "data" / "rules"


@cache
def whole() -> Matrix:
    """The shipped matrix as it is, newer releases included."""
    return load.load(RealOutside(), load.matrix_dir())


@cache
def matrix() -> Matrix:
    return until(whole())


def until(newer: Matrix) -> Matrix:
    """The matrix without what is newer than the expectations."""
    cuda, cudnn = newer.cuda, newer.cudnn
    bad = [row.id for row in newer.known_bad].index(LAST_BAD)
    return structs.replace(
        newer,
        releases=tuple(row for row in newer.releases if row.version <= LAST),
        known_bad=newer.known_bad[: bad + 1],
        cuda=structs.replace(
            cuda,
            drivers=tuple(row for row in cuda.drivers if row.major <= LAST_CUDA.major),
            ptx=tuple(row for row in cuda.ptx if row.cuda <= LAST_CUDA),
            releases=tuple(row for row in cuda.releases if row.cuda <= LAST_CUDA),
        ),
        cudnn=structs.replace(
            cudnn,
            releases=tuple(row for row in cudnn.releases if row.first <= LAST_CUDNN),
            wheels=tuple(
                structs.replace(row, versions=old)
                for row in cudnn.wheels
                if (old := tuple(version for version in row.versions if version <= LAST_CUDNN))
            ),
        ),
    )


def cases(name: str) -> list[dict[str, Any]]:
    """The list in tests/data/rules/NAME.yaml."""
    read: list[dict[str, Any]] = parse_yaml((RULES / f"{name}.yaml").read_text(), name)
    return read


def machine(facts: dict[str, Any]) -> Machine:
    return convert(facts, Machine, "machine")


def request(specifier: str = "", accelerator: Accelerator = Accelerator.GPU) -> Request:
    tf = TensorFlowRequest(specifier=SpecifierSet(specifier), text=specifier)
    return Request(tf=tf, accelerator=accelerator)


def judged(facts: Machine, version: str, accelerator: Accelerator = Accelerator.GPU) -> Candidate:
    row = next(row for row in matrix().releases if row.version == Version(version))
    return rank.judge(matrix(), facts, row, accelerator)


def decided(facts: Machine, specifier: str = "") -> Decision:
    return rank.decide(matrix(), facts, request(specifier))
