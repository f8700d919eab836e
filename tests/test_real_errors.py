"""What real wheels print (tests/data/failures/real), diagnosed: the first cause, and what is noise."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from envfix.diagnose import catalogue, explain
from envfix.matrix import load
from envfix.model.diagnosis import Catalogue, Finding
from envfix.model.machine import Machine
from envfix.system.outside import RealOutside
from tests.recordings import DATA, recorder
from tests.values import T4, changed

RECORDINGS = recorder.read(DATA / recorder.CASES)
PRINTED = [
    (generation, case, program)
    for generation in RECORDINGS.generations
    for case, program in recorder.pairs(RECORDINGS, generation)
]


@cache
def known() -> Catalogue:
    return catalogue.load(RealOutside(quiet=True), load.matrix_dir())


def diagnosed(file: str, machine: Machine | None = None) -> tuple[Finding, ...]:
    return explain.explain([(DATA / file).read_bytes()], machine, known())


def first(findings: tuple[Finding, ...]) -> str:
    return next((finding.cause for finding in findings if not finding.benign), "")


@pytest.mark.parametrize(
    ("generation", "case", "program"), PRINTED, ids=lambda value: getattr(value, "name", value)
)
def test_each_recording_is_diagnosed(generation: str, case: Any, program: str) -> None:
    findings = diagnosed(recorder.file_name(generation, case, program))
    keys = (f"{generation}-{program}", generation, program, "all")
    wanted = next(case.expect[key] for key in keys if key in case.expect)
    assert first(findings) in wanted.split("|"), [finding.cause for finding in findings]
    assert (DATA / recorder.file_name(generation, case, program)).read_text().strip()
    if program != "import":
        benign = {finding.cause for finding in findings if finding.benign}
        assert set(RECORDINGS.generations[generation].noise) <= benign


@pytest.mark.parametrize("refusal", RECORDINGS.installs, ids=lambda refusal: refusal.name)
def test_what_an_installer_refuses_is_diagnosed(refusal: Any) -> None:
    assert first(diagnosed(f"{refusal.name}.log")) == refusal.expect["all"]


def test_the_folder_holds_what_is_described_and_nothing_else() -> None:
    named = {recorder.file_name(generation, case, program) for generation, case, program in PRINTED}
    named |= {f"{refusal.name}.log" for refusal in RECORDINGS.installs}
    assert {path.name for path in DATA.glob("*.log")} == named


def test_nothing_of_the_machine_that_recorded_is_kept() -> None:
    for path in DATA.glob("*.log"):
        text = path.read_text()
        for word in ("/root/", "/tmp/failures-", "pyenv", "envfix-tf", "pypi", "hosted.org"):
            assert word not in text, f"{path.name}: {word}"


def with_wheels(tensorflow: str) -> Machine:
    return changed(T4, installed={"tensorflow": tensorflow, "nvidia-cudnn-cu12": "9.3.0.75"})


@pytest.mark.parametrize(
    ("file", "machine", "cause"),
    [
        ("tf-2.18-hidden.log", Machine(environment={"CUDA_VISIBLE_DEVICES": "-1"}), "hidden-device"),
        ("tf-2.10-hidden-by-empty.log", Machine(environment={"CUDA_VISIBLE_DEVICES": ""}), "hidden-device"),
        (
            "tf-cpu-cpu-build-strict.log",
            Machine(installed={"tensorflow-cpu": "2.18.1"}),
            "cpu-build-installed",
        ),
        ("tf-2.21-as-published.log", with_wheels("2.21.0"), "loader-of-this-release"),
        ("tf-2.16-as-published.log", with_wheels("2.16.1"), "loader-of-this-release"),
    ],
)
def test_facts_of_the_machine_decide_where_the_text_does_not(file: str, machine: Machine, cause: str) -> None:
    assert first(diagnosed(file, machine)) == cause
