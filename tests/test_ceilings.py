"""What the driver, the GPUs and the release allow of CUDA and cuDNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envfix.matrix.ceilings import ceilings
from envfix.model.ceilings import Lane, Span
from envfix.model.decision import Bound
from envfix.model.machine import Driver, Gpu
from envfix.model.matrix import Release
from envfix.model.versions import ComputeCapability, DriverRelease
from envfix.reading import parse_yaml
from tests import shipped
from tests.pages import machines, named
from tests.values import T4, changed

CHANGED = "a row of compat_matrix/ that changes what is expected here: update tests/data/ceilings.yaml"
CASES = parse_yaml((Path(__file__).parent / "data" / "ceilings.yaml").read_text(), "ceilings.yaml")


def newest() -> Release:
    return max(shipped.matrix().releases, key=lambda release: release.version)


def spans(found: tuple[Span, ...] | None) -> str | None:
    if found is None:
        return None
    return ", ".join(one.first if one.first == one.last else f"{one.first} - {one.last}" for one in found)


def seen(lane: Lane) -> list[str | None]:
    return [spans(lane.allowed), spans(lane.limited), lane.at]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["machine"])
def test_lanes_of_a_shipped_machine(case: dict[str, Any]) -> None:
    report = named(case["machine"])
    assert report.decision.recommended is not None
    assert str(report.decision.recommended.version) == case["release"], CHANGED
    for drawn in report.ceilings:
        lanes = {lane.name: seen(lane) for lane in drawn.lanes}
        assert {name: lanes.get(name) for name in case[drawn.library]} == case[drawn.library], CHANGED


@pytest.mark.parametrize("machine", sorted(machines()))
def test_what_is_taken_is_allowed_by_the_gpu_and_the_driver(machine: str) -> None:
    for drawn in named(machine).ceilings:
        places = {release: at for at, release in enumerate(drawn.axis)}
        assert drawn.taken is not None
        for lane in drawn.lanes:
            if lane.subject.value == "wheel" or lane.allowed is None:
                continue
            inside = [
                places[span.first] <= places[drawn.taken] <= places[span.last]
                for span in (*lane.allowed, *lane.limited)
            ]
            assert any(inside), f"{drawn.library} {drawn.taken} is outside of {lane.name}"


def test_without_nvidia_wheels_there_is_nothing_to_draw() -> None:
    release = newest()
    assert ceilings(release, T4, shipped.matrix(), ()) == ()
    caps = (Bound(requirement="numpy<2", because="x"),)
    assert ceilings(release, T4, shipped.matrix(), caps) == ()


def test_a_pin_of_no_cuda_release_that_is_known_has_no_place() -> None:
    release = newest()
    taken = (
        Bound(requirement="nvidia-cufft-cu12==11.2.0.44", because="torch 2.5.1 pins it"),
        Bound(requirement="nvidia-cuda-runtime-cu12==12.4.127", because="torch 2.5.1 pins it"),
        Bound(requirement="nvidia-nccl-cu12==2.21.5", because="torch 2.5.1 pins it"),
    )
    (drawn,) = ceilings(release, T4, shipped.matrix(), taken)
    lanes = {lane.name: lane for lane in drawn.lanes}
    assert seen(lanes["nvidia-cufft-cu12 11.2.0.44"]) == ["12.5 - 12.9", "", None]
    assert "does not say of which CUDA" in lanes["nvidia-cufft-cu12 11.2.0.44"].note
    # The pin lies below what TensorFlow asks for, and is drawn where it is.
    assert seen(lanes["nvidia-cuda-runtime-cu12 12.4.127"]) == ["12.5 - 12.9", "", "12.4"]
    assert drawn.taken == "12.4"
    assert not [name for name in lanes if "nccl" in name]


def test_two_kinds_of_gpu_have_a_lane_each_and_two_of_a_kind_one() -> None:
    release = newest()
    t4, k80 = (
        Gpu(name=name, compute_capability=ComputeCapability(capability))
        for name, capability in (("Tesla T4", "7.5"), ("Tesla K80", "3.7"))
    )
    machine = changed(T4, gpus=(t4, t4, k80, Gpu(name="Odd")))
    taken = (Bound(requirement="nvidia-cuda-runtime-cu12==12.5.82", because="x"),)
    (drawn,) = ceilings(release, machine, shipped.matrix(), taken)
    lanes = {lane.name: spans(lane.allowed) for lane in drawn.lanes if lane.subject.value == "gpu"}
    assert lanes == {"Tesla T4": "11.0 - 13.3", "Tesla K80": "11.0 - 11.8", "Odd": None}


def test_a_driver_whose_cuda_is_not_known_is_limited_to_what_its_release_reaches() -> None:
    release = newest()
    machine = changed(T4, driver=Driver(release=DriverRelease("525.85.12")))
    taken = (Bound(requirement="nvidia-cuda-runtime-cu12==12.5.82", because="x"),)
    (drawn,) = ceilings(release, machine, shipped.matrix(), taken)
    assert seen(drawn.lanes[0]) == ["", "11.0 - 12.9", None]
    assert "not known" in drawn.lanes[0].note
    without = changed(T4, driver=None, gpus=())
    (drawn,) = ceilings(release, without, shipped.matrix(), taken)
    assert [spans(lane.allowed) for lane in drawn.lanes[:2]] == ["", ""]
