"""No text can make a terminal do or show something else."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envfix.printable import clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\x1b]0;title\x07b", "a\ufffd]0;title\ufffdb"),
        ("\r\x7f\x9b31m", "\ufffd\ufffd\ufffd31m"),
        ("safe\u202eexe.gpj\u202c", "safe\ufffdexe.gpj\ufffd"),
        ("\u2066x\u2069\u200b\ufeff\u00ad\U000e0041", "\ufffdx\ufffd\ufffd\ufffd\ufffd\ufffd"),
        ("\udcff\ud800", "\ufffd\ufffd"),
        ("\u2028\u2029", "\ufffd\ufffd"),
        (
            "Runtime → Change, größer ≥ 8, 日本語 \U0001f600",
            "Runtime → Change, größer ≥ 8, 日本語 \U0001f600",
        ),
    ],
)
def test_control_and_format_characters_are_shown_as_one_sign(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(st.characters()))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert not {unicodedata.category(char) for char in cleaned if char not in "\t\n"} & {"Cc", "Cf", "Cs"}
