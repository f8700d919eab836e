"""The shipped matrix, up to the release that the expectations in tests/data/rules were written for."""

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
from envfix.reading import convert, parse_yaml
from envfix.system.outside import RealOutside

LAST = Version("2.21.0")
RULES = Path(__file__).parent / "data" / "rules"


@cache
def whole() -> Matrix:
    """The shipped matrix as it is, newer releases included."""
    return load.load(RealOutside(), load.matrix_dir())


@cache
def matrix() -> Matrix:
    return structs.replace(whole(), releases=tuple(row for row in whole().releases if row.version <= LAST))


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
