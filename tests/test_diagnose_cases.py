"""Real cases: the first finding's family, noise called noise, no install where none helps; and each case
without the signatures that were written from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from envfix.diagnose import catalogue
from envfix.diagnose.document import Document
from envfix.diagnose.explain import explain
from envfix.diagnose.remedy import INSTALL
from envfix.matrix.load import matrix_dir
from envfix.model.diagnosis import Catalogue, Finding, Signature
from envfix.reading import parse_yaml
from envfix.system.outside import RealOutside
from tests import shipped

DATA = Path(__file__).parent / "data" / "failures"
NAMES = ("cases.yaml", "holdout.yaml", *(f"holdout{number}.yaml" for number in range(2, 10)))


@cache
def whole() -> Catalogue:
    return catalogue.load(RealOutside(), matrix_dir())


@cache
def cases(*names: str) -> list[dict[str, Any]]:
    there = [name for name in names if (DATA / name).exists()]
    return [case for name in there for case in parse_yaml((DATA / name).read_text(), name)["cases"]]


def told_right(*names: str) -> list[Any]:
    """The cases, those that are known to be told wrong marked to fail until they are told right."""
    missed = pytest.mark.xfail(strict=True, reason="known to be told wrong")
    return [
        pytest.param(case, id=case["id"], marks=[missed] if case.get("missed") else [])
        for case in cases(*names)
    ]


def found(case: dict[str, Any], known: Catalogue) -> tuple[Finding, ...]:
    facts = case.get("machine")
    machine = None if facts is None else shipped.machine(facts)
    return explain([case["text"].encode()], machine, known)


def right(chosen: Sequence[dict[str, Any]], known: Catalogue) -> list[str]:
    """The cases whose first finding is of the right family."""
    good = []
    for case in chosen:
        findings = found(case, known)
        if findings and findings[0].family.value == case["family"]:
            good.append(case["id"])
    return good


@pytest.mark.parametrize("case", told_right(*NAMES))
def test_the_first_finding_is_of_the_right_family(case: dict[str, Any]) -> None:
    findings = found(case, whole())
    assert findings, "nothing was recognised"
    assert findings[0].family.value == case["family"], [(each.cause, each.confidence) for each in findings]
    assert findings[0].evidence and findings[0].fix and findings[0].sources


@pytest.mark.parametrize("case", cases(*NAMES), ids=lambda case: case["id"])
def test_noise_and_nothing_else_is_called_noise(case: dict[str, Any]) -> None:
    first = found(case, whole())[0]
    assert first.benign == (case["family"] == "noise")


@pytest.mark.parametrize(
    "case", [case for case in cases(*NAMES) if case.get("no_install")], ids=lambda case: case["id"]
)
def test_no_install_is_proposed_where_none_helps(case: dict[str, Any]) -> None:
    assert [step for step in found(case, whole())[0].fix if INSTALL.search(step)] == []


@pytest.mark.parametrize(
    "text",
    parse_yaml((DATA / "unrelated.yaml").read_text(), "unrelated.yaml")["texts"],
    ids=lambda text: text[:30],
)
def test_nothing_is_found_in_what_is_no_failure(text: str) -> None:
    assert explain([text.encode()], None, whole()) == ()


def test_every_case_has_a_source_and_every_family_has_cases() -> None:
    chosen = cases(*NAMES)
    assert all(case["source"].startswith("https://") for case in chosen)
    assert len({case["id"] for case in chosen}) == len(chosen)
    assert {case["family"] for case in chosen} == {cause.family.value for cause in whole().causes}


def without(known: Catalogue, drop: Sequence[Signature]) -> Catalogue:
    gone = {id(signature) for signature in drop}
    return structs.replace(
        known,
        causes=tuple(
            structs.replace(
                cause, signatures=tuple(each for each in cause.signatures if id(each) not in gone)
            )
            for cause in known.causes
        ),
    )


def signatures(known: Catalogue) -> list[Signature]:
    return [signature for cause in known.causes for signature in cause.signatures]


def left_out(by_seen: bool) -> list[str]:
    """The cases that are right without their own signatures.

    Those are the signatures that name only this case in `seen`; strictly, all that match no other case at
    all, also the ones that were written from TensorFlow's source.
    """
    chosen, known = cases("cases.yaml"), whole()
    documents = {case["id"]: Document(case["text"]) for case in cases(*NAMES)}
    matching = {
        id(signature): {name for name, document in documents.items() if document.shows(signature.says)}
        for signature in signatures(known)
    }
    good = []
    for case in chosen:
        own = [
            signature
            for signature in signatures(known)
            if (set(signature.seen) if by_seen else matching[id(signature)]) == {case["id"]}
        ]
        good += right([case], without(known, own))
    return good


@pytest.mark.slow
def test_leaving_out_what_was_written_from_a_case() -> None:
    assert len(left_out(by_seen=True)) >= 62


@pytest.mark.slow
def test_leaving_out_all_that_only_one_case_shows() -> None:
    assert len(left_out(by_seen=False)) >= 62
