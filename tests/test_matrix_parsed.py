"""The matrix kept parsed: the same values, and never those of other files."""

from __future__ import annotations

from pathlib import Path

import pytest

from envfix.errors import MatrixError
from envfix.matrix import parsed
from envfix.matrix.parsed import plain_tables
from envfix.reading import parse_yaml
from tests.fakes import FakeOutside

TEXTS = {"a.yaml": "rows: [{version: 2.10, wheels: 3, cuda: true}]\n", "b.yaml": "date: '2026-11-22'\n"}
PLAIN = {name: parse_yaml(text, name) for name, text in TEXTS.items()}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def kept(outside: FakeOutside) -> str:
    return next(path for path in outside.files if path.endswith("matrix.json"))


def test_the_second_run_reads_no_yaml_and_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = FakeOutside()
    assert plain_tables(outside, TEXTS, "d1") == PLAIN
    monkeypatch.setattr(parsed, "parse_yaml", None)  # calling it would raise
    assert plain_tables(outside, TEXTS, "d1") == PLAIN


def test_other_files_are_read_anew_and_take_the_place() -> None:
    outside = FakeOutside()
    plain_tables(outside, TEXTS, "d1")
    other = {**TEXTS, "b.yaml": "date: '2026-11-23'\n"}
    assert plain_tables(outside, other, "d2")["b.yaml"] == {"date": "2026-11-23"}
    assert plain_tables(outside, TEXTS, "d1") == PLAIN


@pytest.mark.parametrize("damage", ["", "d1", "d1\n", 'd1\n{"a.yaml": ', "d1\n[]", 'd1\n{"a.yaml": {}}'])
def test_a_cache_that_a_killed_run_left_is_not_believed(damage: str) -> None:
    outside = FakeOutside()
    plain_tables(outside, TEXTS, "d1")
    outside.files[kept(outside)] = damage
    assert plain_tables(outside, TEXTS, "d1") == PLAIN


def test_tables_that_json_would_change_are_not_kept() -> None:
    outside = FakeOutside()
    numbered = {"a.yaml": "12: cuda\n"}
    assert plain_tables(outside, numbered, "d") == {"a.yaml": {12: "cuda"}}
    assert plain_tables(outside, numbered, "d") == {"a.yaml": {12: "cuda"}}


def test_a_malformed_file_is_refused_and_not_kept() -> None:
    outside = FakeOutside()
    with pytest.raises(MatrixError, match=r"a\.yaml:2"):
        plain_tables(outside, {"a.yaml": "rows: [\n"}, "d")
    assert not any(path.endswith("matrix.json") for path in outside.files)
