"""`failures.yaml` and `log_facts.yaml`: every pattern holds its examples, every row its promises."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from envfix.diagnose import catalogue
from envfix.diagnose.conditions import CHECKS
from envfix.diagnose.patterns import compiled, words
from envfix.diagnose.remedy import INSTALL
from envfix.errors import MatrixError
from envfix.matrix.load import matrix_dir
from envfix.model.diagnosis import Catalogue, Condition, Family, Helps
from envfix.reading import parse_yaml
from envfix.system.outside import RealOutside
from tests.test_diagnose_cases import cases, whole

if sys.version_info >= (3, 11):
    from re import _parser as regex_parser
else:
    import sre_parse as regex_parser


def test_every_pattern_is_found_in_its_examples_and_not_in_the_others() -> None:
    assert list(catalogue.examples(whole())) == []


def test_the_examples_are_really_tried() -> None:
    cause = next(each for each in whole().causes if each.signatures)
    wrong = structs.replace(cause.signatures[0], match=("nothing of it",), miss=cause.signatures[0].match)
    broken = structs.replace(whole(), causes=(structs.replace(cause, signatures=(wrong,)),))
    problems = list(catalogue.examples(broken))
    assert [("must be found" in each, "must not be found" in each) for each in problems] == [
        (True, False),
        *[(False, True)] * len(cause.signatures[0].match),
    ]


def test_every_family_has_causes_and_noise_alone_is_harmless() -> None:
    assert {cause.family for cause in whole().causes} == set(Family)
    assert all(cause.benign == (cause.family is Family.NOISE) for cause in whole().causes)


def test_where_no_install_helps_no_fix_names_one() -> None:
    steps = [
        (cause.id, step)
        for cause in whole().causes
        if cause.installs is Helps.NOBODY
        for fix in cause.fix
        for step in fix.steps
        if INSTALL.search(step)
    ]
    assert steps == []


@pytest.mark.parametrize(
    "family", ["no-gpu-assigned", "memory", "visibility", "driver-state", "forward-compat", "noise"]
)
def test_families_in_which_nobody_is_helped_by_an_install(family: str) -> None:
    assert {cause.installs for cause in whole().causes if cause.family.value == family} == {Helps.NOBODY}


def test_sources_are_addresses_and_the_cases_that_signatures_name_exist() -> None:
    names = {case["id"] for case in cases("cases.yaml")}
    for cause in whole().causes:
        assert all(source.startswith("https://") for source in cause.sources), cause.id
        for signature in cause.signatures:
            assert names.issuperset(signature.seen), (cause.id, signature.seen)


def test_no_pattern_can_run_away() -> None:
    """No unbounded repetition of anything but one kind of character: no text makes a search explode."""
    patterns = [each.says for cause in whole().causes for each in cause.signatures]
    patterns += [says for marker in whole().markers for says in marker.says]
    patterns += [says for reading in whole().readings for says in reading.says]
    for says in patterns:
        assert words(says)
        pattern = compiled(says)
        assert pattern.flags & re.IGNORECASE
        assert list(runaways(regex_parser.parse(pattern.pattern))) == [], says


def runaways(tree: Any, endless: bool = False) -> Iterator[str]:
    """Endless repetitions of more than one kind of character, of any character, or within another."""
    for kind, value in tree:
        name = str(kind)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            _, most, body = value
            without_end = most == regex_parser.MAXREPEAT
            if without_end and (endless or len(body) != 1 or str(body[0][0]) not in ("IN", "LITERAL")):
                yield f"{name} {body}"
            yield from runaways(body, endless or without_end)
        elif name == "SUBPATTERN":
            yield from runaways(value[-1], endless)
        elif name == "BRANCH":
            for each in value[1]:
                yield from runaways(each, endless)


@pytest.mark.parametrize("says", ["(ab)+", "a.*b", "(?:a+)*", "(?:a|b+)+"])
def test_a_pattern_that_could_run_away_is_seen(says: str) -> None:
    assert list(runaways(regex_parser.parse(says)))


def test_every_fact_of_a_condition_is_asked() -> None:
    assert set(CHECKS) | {"told", "untold"} == set(Condition.__struct_fields__)


ROW: dict[str, Any] = {
    "id": "x",
    "family": "memory",
    "explanation": "e",
    "fix": [{"steps": ["s"]}],
    "sources": ["https://example.org"],
    "installs": "nobody",
    "signatures": [{"says": "out of memory", "weight": "sure", "match": ["m"], "miss": ["n"]}],
}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"family": "gremlins"}, "causes[0].family"),
        ({"weight": "sure"}, "causes[0]"),
        ({"sources": []}, "failures.yaml: causes[0] (x).sources"),
        ({"explains": ["nobody"]}, "failures.yaml: causes[0] (x).explains"),
        ({"benign": True}, "failures.yaml: causes[0] (x).benign"),
        ({"signatures": []}, "failures.yaml: causes[0] (x)"),
        ({"raises": [{"told": ["no-such-marker"]}]}, "failures.yaml: causes[0] (x).told"),
        ({"raises": [{"installed": {"tensorflow": ">>2"}}]}, "causes[0].raises[0].installed"),
        (
            {"raises": [{"driver_below": "new"}]},
            "causes[0].raises[0].driver_below",
        ),
        ({"fix": [{"steps": ["s"], "where": ["wsl"]}]}, "failures.yaml: causes[0] (x).fix"),
        ({"fix": [{"steps": ["$ pip install x"]}]}, "failures.yaml: causes[0] (x).fix"),
        ({"raises": [{"environment": {"A": "("}}]}, "failures.yaml: causes[0] (x)"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(change: dict[str, Any], place: str, tmp_path: Path) -> None:
    facts = parse_yaml((Path(matrix_dir()) / catalogue.FACTS_FILE).read_text(), "facts")
    (tmp_path / catalogue.FACTS_FILE).write_text(json.dumps(facts))
    (tmp_path / catalogue.CAUSES).write_text(json.dumps({"causes": [{**ROW, **change}]}))
    with pytest.raises(MatrixError) as refused:
        catalogue.load(RealOutside(), str(tmp_path))
    assert place in refused.value.message


def test_a_right_row_is_taken(tmp_path: Path) -> None:
    facts = parse_yaml((Path(matrix_dir()) / catalogue.FACTS_FILE).read_text(), "facts")
    (tmp_path / catalogue.FACTS_FILE).write_text(json.dumps(facts))
    (tmp_path / catalogue.CAUSES).write_text(json.dumps({"causes": [ROW]}))
    assert isinstance(catalogue.load(RealOutside(), str(tmp_path)), Catalogue)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match=r"failures\.yaml"):
        catalogue.load(RealOutside(), str(tmp_path))
