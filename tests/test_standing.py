"""Which TensorFlow stands in an environment, and whether it may stay."""

from __future__ import annotations

import pytest
from msgspec import UNSET, structs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from envfix.choosing import choose
from envfix.deciding import decide, doubts
from envfix.errors import NothingFits
from envfix.model.request import Request, TensorFlowRequest
from envfix.situation import Parts, Situation
from envfix.standing import overwritten, standing_release, unjudged
from tests.fakes import FakeOutside
from tests.shipped import matrix
from tests.values import T4, with_installed

PARTS = Parts(outside=FakeOutside(), matrix_dir="", index=None, resolver=None)  # type: ignore[arg-type]
ANY = Request(tf=TensorFlowRequest(specifier=SpecifierSet(), text=""))


def here(version: str) -> Situation:
    return Situation(target=with_installed(tensorflow=version), machine=T4, named=True)


@pytest.mark.parametrize("version", ["2.20.0", "2.20.0+nv25.2"])
def test_a_release_and_a_local_build_of_it_stay(version: str) -> None:
    stands = standing_release(here(version), matrix(), ANY)
    assert stands is not None and str(stands[0].version) == "2.20.0"
    assert stands[1] == "installed, and it fits"
    assert standing_release(here(version), matrix(), structs.replace(ANY, upgrade=True)) is None


@pytest.mark.parametrize("version", ["2.20.0-custom build", "2.20.99"])
def test_what_the_matrix_cannot_judge_does_not_stay(version: str) -> None:
    assert standing_release(here(version), matrix(), ANY) is None
    assert unjudged(here(version), matrix(), ANY) == ""


def test_what_is_only_not_forbidden_stays_and_is_not_said_to_fit() -> None:
    """Without a driver release nobody knows whether it reaches the floor."""
    place = structs.replace(here("2.20.0"), machine=structs.replace(T4, driver=UNSET))
    stands = standing_release(place, matrix(), ANY)
    assert stands is not None and stands[1] == "installed, and nothing is known against it"
    (line,) = doubts(stands[0])
    assert line.startswith("not known of tensorflow 2.20.0: ") and "driver" in line


def test_a_cpu_build_gives_way_to_the_same_release_for_the_gpu() -> None:
    place = structs.replace(here("2.19.1"), target=with_installed(tensorflow_cpu="2.19.1"))
    stands = standing_release(place, matrix(), ANY)
    assert stands is not None and str(stands[0].version) == "2.19.1"
    assert stands[1] == "the release of the tensorflow-cpu that is installed, for the GPU"


def test_a_cpu_build_of_a_release_that_may_not_fit_the_gpu_stays_out_of_the_choice() -> None:
    place = structs.replace(
        here("2.19.1"),
        target=with_installed(tensorflow_cpu="2.19.1"),
        machine=structs.replace(T4, driver=UNSET),
    )
    assert standing_release(place, matrix(), ANY) is None


def test_a_release_newer_than_the_matrix_is_left_alone() -> None:
    assert unjudged(here("99.1+local"), matrix(), ANY) == "99.1+local"


def test_beside_a_release_newer_than_the_matrix_nothing_is_added() -> None:
    held = structs.replace(here("99.1"), target=with_installed(tensorflow="99.1", keras="3.1"))
    for companion, fits in (("keras>=3", True), ("keras>=4", False), ("torch", False)):
        request = structs.replace(ANY, companions=(Requirement(companion),))
        if fits:
            assert unjudged(held, matrix(), request) == "99.1"
        else:
            with pytest.raises(NothingFits, match=f"99.1 is newer than this matrix .*{companion}"):
                unjudged(held, matrix(), request)


def test_a_second_tensorflow_over_the_first_is_not_right() -> None:
    target = with_installed(tensorflow="2.20.0", tensorflow_cpu="2.20.0")
    place = structs.replace(here("2.20.0"), target=target)
    choice = choose(PARTS, place, matrix(), ANY, decide(place, matrix(), ANY))
    assert overwritten(place, choice) == ("tensorflow",)
    alone = structs.replace(place, target=with_installed(tensorflow="2.20.0"))
    assert overwritten(alone, choice) == ()
