"""What would have to change for a release (tests/data/changes.yaml), and that it would really do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from envfix.matrix import change, rank
from envfix.matrix.steps import World, update_driver
from envfix.model.decision import ChangeKind, Fit, Remedy
from envfix.model.machine import Driver, Gpu, Machine, known
from envfix.model.request import Accelerator, CudaSource, Request, TensorFlowRequest
from envfix.model.target import Distribution
from envfix.model.versions import ComputeCapability, DriverCuda, DriverRelease, GlibcRelease, PythonRelease
from envfix.reading import parse_yaml
from tests.shipped import judged, machine, matrix, request

DATA = Path(__file__).parent / "data"
CASES = parse_yaml((DATA / "changes.yaml").read_text(), "changes.yaml")
REMEDIES = parse_yaml((DATA / "remedies.yaml").read_text(), "remedies.yaml")
MACHINES = parse_yaml((DATA / "verdicts.yaml").read_text(), "verdicts.yaml")["machines"]


def here(name: str = "t4", **also: Any) -> Machine:
    facts = MACHINES["t4"] | MACHINES[name] | also
    return machine({key: value for key, value in facts.items() if value != "unknown"})


def asked(case: dict[str, Any]) -> Request:
    text = case.get("tf", "")
    return Request(
        tf=TensorFlowRequest(specifier=SpecifierSet(text), text=text),
        companions=tuple(map(Requirement, case.get("with", ()))),
        cuda=CudaSource(case.get("cuda", "auto")),
        accelerator=Accelerator(case.get("accelerator", "gpu")),
    )


def name(case: dict[str, Any]) -> str:
    words = (case.get(key) for key in ("machine", "tf", "also", "with", "cuda"))
    return "-".join(str(word) for word in words if word)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_newer_release_would_take_what_its_case_says(case: dict[str, Any]) -> None:
    facts, wish = here(case["machine"], **case.get("also", {})), asked(case)
    decision = rank.decide(matrix(), facts, wish)
    newer = change.for_newer(matrix(), decision, rank.ask(matrix(), facts, wish))
    found = [(str(one.version), [step.kind.value for step in one.changes]) for one in newer.remedies]
    assert found == [(one["version"], one["kinds"]) for one in case["newer"]]
    for remedy, expected in zip(newer.remedies, case["newer"], strict=True):
        assert remedy.fit.value == expected["fit"]
        for step, wanted in zip(remedy.changes, expected["wanted"], strict=True):
            assert wanted in step.wanted
    sentences = case.get("advice", [f"tensorflow {one['version']}" for one in case["newer"]])
    assert len(newer.advice) == len(sentences)
    assert all(part in line for part, line in zip(sentences, newer.advice, strict=True)), newer.advice


def test_every_kind_of_change_is_shown() -> None:
    shown = {kind for case in CASES for one in case["newer"] for kind in one["kinds"]}
    shown |= {kind for case in REMEDIES for kind in case["kinds"]}
    assert shown | {"environment"} == {kind.value for kind in ChangeKind}


def test_a_package_that_no_table_knows_is_left_behind_in_a_new_environment() -> None:
    facts = here(installed={"numpy": "2.0.2", "opencv-python": "4.11.0.86"})
    installed = [
        Distribution(name="numpy", version="2.0.2"),
        Distribution(name="opencv-python", version="4.11.0.86", requires=("numpy>=2",)),
    ]
    wish = request("==2.17.*")
    decision = rank.decide(matrix(), facts, wish, installed)
    assert decision.recommended and decision.recommended.fit is Fit.UNKNOWN
    remedy = change.cheapest_change(matrix(), facts, decision.recommended, wish, installed)
    assert remedy and [step.kind for step in remedy.changes] == [ChangeKind.ENVIRONMENT]
    assert remedy.fit is Fit.YES


def test_a_package_that_needs_other_nvidia_wheels_is_named_as_what_keeps_a_release_away() -> None:
    torch = Distribution(name="torch", version="2.6.0", requires=("nvidia-cudnn-cu12==9.1.0.70",))
    wish = structs.replace(request("==2.20.*"), companions=(Requirement("torch==2.6.0"),))
    decision = rank.decide(matrix(), here(), wish, None, [torch])
    assert decision.recommended is None
    newer = change.for_newer(matrix(), decision, rank.ask(matrix(), here(), wish, None, [torch]))
    assert newer.advice[0] == (
        "tensorflow 2.20.0 would fit with an environment of its own (without `--with torch==2.6.0`)"
    )


def test_no_driver_is_named_that_cannot_be_had_for_the_gpu() -> None:
    row = next(row for row in matrix().releases if str(row.version) == "2.15.1")
    for name, expected in (("k80", None), ("t4-470", "driver >= 525.60.13")):
        world = World(matrix=matrix(), machine=here(name), request=request(), release=row)
        done = update_driver(world)
        assert (done and done[1].wanted) == expected


def test_a_release_that_fits_needs_no_change() -> None:
    assert change.cheapest_change(matrix(), here(), judged(here(), "2.20.0"), request()) is None


def remedies(facts: Machine, wish: Request) -> dict[str, Remedy]:
    told = change.for_each(matrix(), rank.decide(matrix(), facts, wish), rank.ask(matrix(), facts, wish))
    return {str(one.version): one for one in told}


@pytest.mark.parametrize("case", REMEDIES, ids=name)
def test_what_a_release_would_take_is_as_its_case_says(case: dict[str, Any]) -> None:
    remedy = remedies(here(case["machine"], **case.get("also", {})), request())[case["tf"]]
    assert [one.kind.value for one in remedy.changes] == case["kinds"], remedy
    assert remedy.fit.value == case["fit"]
    assert all(part in remedy.text for part in case["text"]), remedy.text
    assert case.get("instead", str(remedy.instead)) == str(remedy.instead)
    assert (remedy.instead is None) == ("as it is" not in remedy.text)


@pytest.mark.parametrize("facts", MACHINES)
@pytest.mark.parametrize("wanted", ["", "tensorflow==2.19.*", "tensorflow-text==2.18.*"])
def test_patch_releases_that_are_alike_are_told_what_each_alone_is_told(facts: str, wanted: str) -> None:
    """Remedies are found once for releases that no rule tells apart; that must change none of them."""
    wish = structs.replace(request(), companions=(Requirement(wanted),) if wanted else ())
    told = remedies(here(facts), wish)
    decision = rank.decide(matrix(), here(facts), wish)
    assert set(told) == {str(one.version) for one in decision.candidates if one.fit is not Fit.YES}
    for candidate in decision.candidates[::3]:
        alone = change.cheapest_change(matrix(), here(facts), candidate, wish)
        if alone is not None:
            same = told[str(candidate.version)]
            assert (same.verdict, same.changes, same.fit) == (alone.verdict, alone.changes, alone.fit)


def test_an_installed_package_that_needs_one_tensorflow_tells_alike_releases_apart() -> None:
    installed = [
        Distribution(name="tensorflow", version="2.8.1"),
        Distribution(name="keeper", version="1.0", requires=("tensorflow==2.8.1",)),
    ]
    facts, wish = here(python="3.9", installed={"tensorflow": "2.8.1", "keeper": "1.0"}), request()
    told = change.for_each(
        matrix(),
        rank.decide(matrix(), facts, wish, installed),
        rank.ask(matrix(), facts, wish, installed),
    )
    kinds = {str(one.version): [step.kind.value for step in one.changes] for one in told}
    assert kinds["2.8.0"] == ["environment"] and "2.8.1" not in kinds


def test_each_release_that_does_not_fit_is_told_what_it_takes() -> None:
    facts, wish = here(), request()
    decision = rank.decide(matrix(), facts, wish)
    told = change.for_each(matrix(), decision, rank.ask(matrix(), facts, wish))
    refused = [one for one in decision.candidates if one.fit is Fit.NO]
    assert refused and [one.version for one in told] == [one.version for one in refused]
    assert all(remedy.verdict in one.verdicts for remedy, one in zip(told, refused, strict=True))
    assert any(kind.kind is ChangeKind.PYTHON for one in told for kind in one.changes)


HOSTS = {
    "capability": st.sampled_from(["3.7", "5.2", "6.0", "7.5", "8.9", "9.0", "12.0"]),
    "driver": st.sampled_from(
        [("450.80.02", "11.0"), ("470.82.01", "11.4"), ("535.104.05", "12.2"), ("580.65.06", "13.0")]
    ),
    "python": st.sampled_from(["3.8", "3.10", "3.12", "3.14"]),
    "glibc": st.sampled_from(["2.12", "2.17", "2.26", "2.35"]),
    "row": st.integers(0, len(matrix().releases) - 1),
}


@settings(max_examples=60, deadline=None)
@given(**HOSTS)
def test_what_is_advised_does_what_is_said_and_nothing_of_it_is_idle(
    capability: str, driver: tuple[str, str], python: str, glibc: str, row: int
) -> None:
    """The changes made by hand, one way: the release comes to what was said, and to less without each."""
    facts = structs.replace(
        here(glibc=glibc, python=python),
        driver=Driver(release=DriverRelease(driver[0]), cuda=DriverCuda(driver[1])),
        gpus=(Gpu(compute_capability=ComputeCapability(capability)),),
    )
    release = matrix().releases[row]
    remedy = change.cheapest_change(matrix(), facts, rank.judge(matrix(), facts, release), request())
    assume(remedy is not None and remedy.changes)
    assert remedy is not None
    kinds = {step.kind: step for step in remedy.changes}
    made = {kind: by_hand(kind, step.wanted, facts) for kind, step in kinds.items()}
    assume(ChangeKind.GPU not in made)
    every: dict[str, Any] = {key: value for facts in made.values() for key, value in facts.items()}
    assert rank.judge(matrix(), structs.replace(facts, **every), release).fit is remedy.fit
    for kind in made:
        left = {key: value for key, value in every.items() if key not in made[kind]}
        without = rank.judge(matrix(), structs.replace(facts, **left), release).fit
        assert without is not remedy.fit and without is not Fit.YES


def by_hand(kind: ChangeKind, wanted: str, facts: Machine) -> dict[str, Any]:
    """The machine's facts after a change, from the words that a reader is given."""
    word = wanted.split()[-1] if kind is not ChangeKind.GLIBC else wanted.split()[2]
    if kind is ChangeKind.DRIVER:
        return {"driver": Driver(release=DriverRelease(word))}
    if kind is ChangeKind.GLIBC:
        return {"glibc": GlibcRelease(word)}
    if kind is ChangeKind.PYTHON:
        oldest = PythonRelease(wanted.split()[1])
        here = known(facts.python, oldest)
        return {"python": oldest if here < oldest else PythonRelease(word)}
    return {"gpus": ()}
