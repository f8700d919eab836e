"""Twice as much to look at is twice the work, counted in steps and so the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from msgspec import structs
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix.matrix import change, load, rank
from envfix.model.matrix import Matrix
from envfix.model.plan import LockedFile, LockedPackage, Resolution
from envfix.model.request import Accelerator, Request, TensorFlowRequest
from envfix.model.target import Distribution, Target
from envfix.resolve.planning import make_plan
from envfix.resolve.wanted import gpu_wanted, unmet
from envfix.system.outside import RealOutside
from tests.values import RELEASE, TARGET

TraceFunction = Callable[[FrameType, str, Any], Any]
LINEAR = 2.3  # twice as much may cost this often as much; four times is quadratic


def steps(work: Callable[[], object]) -> int:
    """How many of the interpreter's instructions `work` takes, after a first run that fills the caches."""
    work()
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> TraceFunction:
        nonlocal count
        count += event == "opcode"
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return counted

    before = sys.gettrace()
    sys.settrace(counted)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def crowded(packages: int) -> Target:
    """An environment in which each package needs three others."""
    installed = [
        Distribution(name=f"p{at}", version="1.0", requires=tuple(f"p{at // by}>=1" for by in (2, 3, 5)))
        for at in range(packages)
    ]
    return structs.replace(TARGET, installed=tuple(installed))


def upgrade(packages: int) -> Resolution:
    """Every tenth package in a newer release."""
    pins = []
    for at in range(0, packages, 10):
        name = f"p{at}-2.0-py3-none-any.whl"
        file = LockedFile(filename=name, url=f"https://f.example/{name}", sha256="0", size=1)
        pins.append(LockedPackage(name=f"p{at}", version="2.0", wheels=(file,)))
    return Resolution(packages=tuple(pins), resolver="uv")


def test_a_plan_grows_with_what_is_installed_no_faster() -> None:
    def planned(packages: int) -> int:
        target, resolution = crowded(packages), upgrade(packages)
        return steps(lambda: make_plan(resolution, target, {}, {}))

    assert planned(800) / planned(400) < LINEAR


def test_what_is_installed_is_not_parsed_to_choose_the_release() -> None:
    def chosen(packages: int) -> int:
        target = crowded(packages)
        return steps(lambda: unmet(gpu_wanted(RELEASE, target, [], [], "newest"), target))

    per_package = (chosen(1050) - chosen(50)) / 1000
    assert per_package < 50, "one that is parsed takes thousands"


def longer(matrix: Matrix, times: int) -> Matrix:
    """The matrix with each of its newest releases `times` times, under numbers that nobody has published."""
    releases = [
        structs.replace(row, version=Version(f"{row.version}.{at}") if at else row.version)
        for row in matrix.releases[-15:]
        if not row.version.is_postrelease
        for at in range(times)
    ]
    return structs.replace(matrix, releases=tuple(releases))


def test_a_decision_grows_with_the_releases_no_faster() -> None:
    from envfix.probe.machine_file import load_machine

    outside, folder = RealOutside(), load.matrix_dir()
    matrix = load.load(outside, folder)
    machine = load_machine(outside, "k80-470", f"{folder}/machines")
    request = Request(tf=TensorFlowRequest(specifier=SpecifierSet(), text=""), accelerator=Accelerator.GPU)

    def decided(times: int) -> int:
        known = longer(matrix, times)

        def work() -> None:
            decision = rank.decide(known, machine, request)
            change.for_newer(known, decision, rank.ask(known, machine, request))

        return steps(work)

    assert decided(2) / decided(1) < LINEAR
