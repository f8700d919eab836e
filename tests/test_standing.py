"""Which TensorFlow stands in an environment, and whether it may stay."""

from __future__ import annotations

import pytest
from msgspec import structs
from packaging.specifiers import SpecifierSet

from envfix.model.request import Request, TensorFlowRequest
from envfix.situation import Situation
from envfix.standing import installed_candidate, unjudged
from tests.shipped import matrix
from tests.values import T4, with_installed

ANY = Request(tf=TensorFlowRequest(specifier=SpecifierSet(), text=""))


def here(version: str) -> Situation:
    return Situation(target=with_installed(tensorflow=version), machine=T4, named=True)


@pytest.mark.parametrize("version", ["2.20.0", "2.20.0+nv25.2"])
def test_a_release_and_a_local_build_of_it_stay(version: str) -> None:
    candidate = installed_candidate(here(version), matrix(), ANY)
    assert candidate is not None and str(candidate.version) == "2.20.0"
    assert installed_candidate(here(version), matrix(), structs.replace(ANY, upgrade=True)) is None


@pytest.mark.parametrize("version", ["2.20.0-custom build", "2.20.99"])
def test_what_the_matrix_cannot_judge_does_not_stay(version: str) -> None:
    assert installed_candidate(here(version), matrix(), ANY) is None
    assert unjudged(here(version), matrix(), ANY) == ""


def test_a_release_newer_than_the_matrix_is_left_alone() -> None:
    assert unjudged(here("99.1+local"), matrix(), ANY) == "99.1+local"
