"""What is said of a release that is not there, and of one that nobody could look for."""

from __future__ import annotations

import pytest
from msgspec import structs
from packaging.version import Version

from envfix.matrix import rank
from envfix.matrix.absent import absent
from envfix.matrix.tf_request import parse_tf
from envfix.model.request import Request
from tests.shipped import matrix
from tests.values import T4

LISTED = tuple(map(Version, ("2.22.0rc0", "2.25.0")))


def said(text: str, listed: tuple[Version, ...] | None, *, offline: bool = False) -> list[str]:
    known = structs.replace(matrix(), listed=listed)
    found = absent(known, Request(tf=parse_tf(text), offline=offline))
    assert [found.message, *found.hints] == list(
        rank.decide(known, T4, Request(tf=parse_tf(text), offline=offline)).advice
    )
    return [found.message, *found.hints]


def test_offline_is_named_as_the_reason_and_nothing_is_claimed_of_the_index() -> None:
    message, out, near = said("2.22.0rc0", None, offline=True)
    assert "the matrix of" in message and "no stable TensorFlow release that `2.22.0rc0` names" in message
    assert message.endswith("with `--offline` the package index is not asked for one")
    assert out.startswith("without `--offline` it is asked") and near == "the nearest are 2.20.0, 2.21.0"


def test_an_index_that_did_not_answer_is_no_index_without_the_release() -> None:
    message, near = said("2.22.0", None)
    assert message.endswith("and the package index could not be asked for one") and "nearest" in near


@pytest.mark.parametrize("text", ["2.22.0", "2.22", ">=2.22", "~=2.22.0", "==2.22.*"])
def test_a_pre_release_of_what_is_asked_for_is_named_with_its_option(text: str) -> None:
    message, *hints, near = said(text, LISTED[:1])
    assert message.startswith("neither the matrix of ")
    assert message.endswith(f"nor the package index has a TensorFlow release that `{text}` names")
    assert near == "the nearest are 2.20.0, 2.21.0" and hints[1:] == []
    assert (
        hints[0]
        == "2.22.0rc0 is on the package index, a pre-release: `envfix report --tf 2.22.0rc0` judges it"
    )


def test_a_yanked_release_is_named_as_one_and_what_is_not_meant_is_only_near() -> None:
    _, yanked, near = said(">=2.25", LISTED)
    assert yanked == "2.25.0 is on the package index, yanked: `envfix report --tf 2.25.0` judges it"
    assert near == "the nearest are 2.21.0, 2.22.0rc0"
    assert said("2.23.0", LISTED[:1])[1:] == ["the nearest are 2.21.0, 2.22.0rc0"]
