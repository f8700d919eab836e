"""Whether two requirements can meet, without asking which versions exist."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix.model.specifiers import allows, contradict, name_in, requirement


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (">=2", "<2.0.0,>=1.26.0", True),
        (">=2", ">=1.26.0", False),
        ("", "<2", False),
        ("", "", False),
        ("==2.18.*", ">=2.20.0,<2.21", True),
        ("==2.20.*", ">=2.20.0,<2.21", False),
        ("~=1.19.2", ">=1.20", True),
        ("~=1.19.2", "<1.20,>1.19.2", False),
        ("!=2.0", "==2.0", True),
        ("!=2.0.*", ">=2.0", False),
        ("!=2.0.*", ">=2.0,<2.1", True),
        ("<3", ">=3.0.0", True),
        ("<=3", ">=3.0.0", False),
        (">2", "<2.0.1", False),
        (">2", "<=2", True),
        ("==2.22.0rc0", ">=2.20", False),
        ("==9.10.2.21", "==9.10.2.21", False),
        ("===a", "<1", False),
    ],
)
def test_two_specifiers_contradict_where_no_version_can_be_both(one: str, two: str, expected: bool) -> None:
    assert contradict(one, two) is expected
    assert contradict(two, one) is expected


NUMBERS = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
PARTS = st.one_of(
    st.tuples(st.sampled_from([">=", "<=", "<", ">", "==", "!="]), NUMBERS).map("".join),
    st.tuples(st.sampled_from(["==", "!="]), NUMBERS).map(lambda pair: f"{pair[0]}{pair[1]}.*"),
)
SPECIFIERS = st.lists(PARTS, max_size=3).map(",".join)
VERSIONS = [f"{a}.{b}.{c}" for a in range(5) for b in range(5) for c in (0, 1, 2, 3, 4, 99)]


@settings(max_examples=400, deadline=None)
@given(one=SPECIFIERS, two=SPECIFIERS)
def test_it_agrees_with_trying_versions(one: str, two: str) -> None:
    both = SpecifierSet(f"{one},{two}".strip(","))
    if any(both.contains(version) for version in VERSIONS):
        assert not contradict(one, two)


@settings(max_examples=400, deadline=None)
@given(one=SPECIFIERS, two=SPECIFIERS)
def test_what_does_not_contradict_has_a_witness(one: str, two: str) -> None:
    """The same question asked of a grid that is finer than any bound above."""
    both = SpecifierSet(f"{one},{two}".strip(","))
    grid = [Version(f"{a}.{b}.{c}.{d}") for a in range(5) for b in (*range(5), 999_999)
            for c in (*range(5), 999_999) for d in (0, 1)]  # fmt: skip
    if not any(both.contains(version) for version in grid):
        assert contradict(one, two)


def test_what_is_no_version_is_not_allowed() -> None:
    assert allows(">=2", "2.0rc1") is False and allows(">=2.0rc0", "2.0rc1") is True
    assert allows(">=1", "not-a-version") is False


def test_a_line_from_before_pep_508_binds_nobody() -> None:
    assert requirement("foo (>1.0") is None
    assert name_in("ml_dtypes (>=0.5)") == "ml-dtypes" and name_in("???") == ""
