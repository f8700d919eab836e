"""What is recommended on whole machines (tests/data/rules/machines.yaml), and how a request narrows it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from packaging.version import Version

from envfix.matrix import load, rank
from envfix.model.decision import Code, Fit
from envfix.model.machine import Machine, known
from envfix.model.request import Accelerator, CudaSource
from envfix.probe.machine_file import load_machine
from envfix.resolve.bounds import bounds
from envfix.system.outside import RealOutside
from tests.shipped import cases, decided, judged, machine, matrix, request

HOST: dict[str, Any] = {
    "os": "linux",
    "wsl": False,
    "arch": "x86_64",
    "glibc": "2.35",
    "python": "3.12",
    "cpu_flags": ["avx", "avx2", "fma"],
    "installed": {},
}
T4 = {
    "driver": {"release": "550.54.15", "cuda": "12.4"},
    "gpus": [{"name": "Tesla T4", "compute_capability": "7.5"}],
}


def facts(case: dict[str, Any]) -> Machine:
    given = HOST | case["machine"]
    return machine({key: value for key, value in given.items() if value != "unknown"})


@pytest.mark.parametrize("case", cases("machines"), ids=lambda case: case["name"])
def test_a_machine_gets_what_its_case_says(case: dict[str, Any]) -> None:
    here = facts(case)
    best = decided(here).recommended
    assert (str(best.version) if best else None) == case["recommended"]
    if best:
        assert (best.fit.value, best.code.value) == (case["fit"], case["code"])
        held = bounds(best.release, here, matrix(), known(here.installed, {}))
        assert set(case.get("bounds", ())) <= {bound.requirement for bound in held}
    for version, expected in case.get("releases", {}).items():
        candidate = judged(here, version)
        against = [verdict.rule for verdict in candidate.verdicts if verdict.fit.value == expected["fit"]]
        assert candidate.fit.value == expected["fit"]
        assert expected["fit"] == "yes" or against == expected["rules"]
        assert candidate.code.value == expected.get("code", candidate.code.value)
        assert expected.get("says", "") in " ".join(verdict.found for verdict in candidate.verdicts)


@pytest.mark.parametrize(
    ("name", "recommended"),
    [
        ("colab-t4", "2.21.0"),
        ("colab-l4", "2.21.0"),
        ("colab-a100", "2.21.0"),
        ("kaggle-p100", "2.20.0"),
        ("kaggle-t4x2", "2.21.0"),
        ("h100-535", "2.16.2"),
        ("h100-580", "2.21.0"),
        ("v100-535", "2.20.0"),
        ("k80-470", "2.13.1"),
        ("rtx-5090", "2.21.0"),
        ("wsl2-rtx-4090", "2.21.0"),
        ("gh200", None),
        ("windows-rtx-3060", "2.10.1"),
        ("macos-m2", None),
        ("no-gpu", None),
    ],
)
def test_the_shipped_machines_get_the_release_that_is_right_for_them(
    name: str, recommended: str | None
) -> None:
    best = decided(load_machine(RealOutside(), name, f"{load.matrix_dir()}/machines")).recommended
    assert (str(best.version) if best else None) == recommended


def test_candidates_are_every_release_newest_first_whatever_is_asked_for() -> None:
    candidates = decided(facts({"machine": T4}), "==2.19.*").candidates
    versions = [candidate.version for candidate in candidates]
    assert len(versions) == len(matrix().releases)
    assert versions == sorted(versions, reverse=True)
    assert versions[-1] == Version("2.4.0")


def test_a_request_narrows_what_is_recommended() -> None:
    best = decided(facts({"machine": T4}), ">=2.16,<2.19").recommended
    assert best and str(best.version) == "2.18.1"
    nothing = decided(facts({"machine": T4}), "==2.14.9")
    assert nothing.recommended is None
    assert nothing.advice[-1] == "the nearest are 2.14.0, 2.14.1"


def test_yes_goes_before_a_newer_unknown() -> None:
    decision = decided(facts({"machine": T4 | {"gpus": [{"compute_capability": "6.0"}]}}))
    assert decision.recommended and decision.recommended.fit is Fit.YES
    newer = decision.candidates[0]
    assert newer.fit is Fit.UNKNOWN and newer.version > decision.recommended.version
    assert str(newer.version) in decision.advice[0]


def test_a_loader_defect_is_unknown_until_the_fix_is_proven_and_then_yes() -> None:
    row = next(row for row in matrix().releases if row.version == Version("2.21.0"))
    here = facts({"machine": T4})
    assert rank.judge(matrix(), here, row).fit is Fit.YES
    unproven = rank.judge(matrix(), here, structs.replace(row, proofs=()))
    assert (unproven.fit, unproven.proven) == (Fit.UNKNOWN, False)


def test_a_yanked_release_is_taken_only_when_it_is_named() -> None:
    here = facts({"machine": T4})
    rows = tuple(structs.replace(row, yanked=str(row.version) == "2.21.0") for row in matrix().releases)
    yanked = structs.replace(matrix(), releases=rows)
    for specifier, expected in (("", "2.20.0"), (">=2.20", "2.20.0"), ("==2.21.0", "2.21.0")):
        best = rank.decide(yanked, here, request(specifier)).recommended
        assert best and str(best.version) == expected


def test_a_pre_release_is_taken_only_when_it_is_named() -> None:
    here = facts({"machine": T4})
    newest = structs.replace(matrix().releases[-1], version=Version("2.22.0rc0"))
    more = structs.replace(matrix(), releases=(*matrix().releases, newest))
    for specifier, expected in (("", "2.21.0"), (">=2.20", "2.21.0"), ("==2.22.0rc0", "2.22.0rc0")):
        best = rank.decide(more, here, request(specifier)).recommended
        assert best and str(best.version) == expected


def test_on_the_cpu_only_wheel_python_libc_and_cpu_count() -> None:
    here = machine(HOST | {"driver": None, "gpus": []})
    candidate = judged(here, "2.21.0", Accelerator.CPU)
    assert (candidate.fit, candidate.code) == (Fit.YES, Code.NONE)
    rules = {verdict.rule for verdict in candidate.verdicts}
    assert rules == {"wheel", "known-bad", "cpu", "companions", "installed"}
    mac = machine(HOST | {"os": "macos", "arch": "aarch64", "driver": None, "gpus": []})
    assert judged(mac, "2.21.0", Accelerator.CPU).fit is Fit.YES
    assert judged(machine(HOST | {"python": "3.14"}), "2.21.0", Accelerator.CPU).fit is Fit.NO
    arm = machine(HOST | {"arch": "aarch64", "python": "3.10"})
    assert judged(arm, "2.11.1", Accelerator.CPU).fit is Fit.NO
    assert judged(arm, "2.12.1", Accelerator.CPU).fit is Fit.YES


@pytest.mark.parametrize(
    ("capability", "version", "wsl", "floor"),
    [
        ("7.5", "2.20.0", False, "525.60.13"),
        ("7.5", "2.20.0", True, "528.33"),
        ("9.0", "2.20.0", False, "555.42.02"),
        ("9.0", "2.16.2", False, "525.60.13"),
        ("7.5", "2.14.1", False, "450.80.02"),
    ],
)
def test_the_least_driver_is_that_of_the_cuda_major_or_of_the_ptx(
    capability: str, version: str, wsl: bool, floor: str
) -> None:
    here = facts({"machine": T4 | {"wsl": wsl, "gpus": [{"compute_capability": capability}]}})
    row = next(row for row in matrix().releases if row.version == Version(version))
    assert rank.driver_floor(row, here, matrix()) == floor


def test_advice_says_what_compilation_costs() -> None:
    hopper = T4 | {
        "gpus": [{"compute_capability": "9.0"}],
        "driver": {"release": "580.65.06", "cuda": "13.0"},
    }
    advice = decided(facts({"machine": hopper | {"python": "3.10"}}), "==2.14.1").advice
    assert any("30 minutes" in line for line in advice)
    old = decided(facts({"machine": T4 | {"driver": {"release": "535.104.05", "cuda": "12.2"}}})).advice
    assert any("ptxas of CUDA 12.5" in line for line in old)
    assert not decided(facts({"machine": T4 | {"driver": {"release": "580.65.06", "cuda": "13.0"}}})).advice


@pytest.mark.parametrize(
    ("version", "also", "proven"),
    [
        ("2.21.0", {}, True),
        ("2.17.1", {}, True),
        ("2.17.1", {"python": "3.9"}, False),
        ("2.17.1", {"python": "unknown"}, True),
        # It has no wheel for 3.12: it can only be run on a Python on which it is proven.
        ("2.15.1", {}, True),
        ("2.7.4", {"python": "3.9"}, False),
        # The proof is of the Linux wheel for x86_64, and of the NVIDIA wheels that a T4 gets.
        ("2.21.0", {"os": "macos"}, False),
        ("2.21.0", {"os": "windows"}, False),
        ("2.21.0", {"arch": "aarch64"}, False),
        ("2.21.0", {"gpus": [{"compute_capability": "7.0"}]}, False),
        ("2.20.0", {"gpus": [{"compute_capability": "7.0"}]}, True),
        ("2.20.0", {"gpus": [{"compute_capability": "12.0"}]}, False),
        ("2.20.0", {"installed": {"nvidia-cudnn-cu12": "9.24.0.43"}}, False),
    ],
)
def test_a_proof_is_of_its_python_and_its_nvidia_wheels(
    version: str, also: dict[str, Any], proven: bool
) -> None:
    assert judged(facts({"machine": T4 | also}), version).proven is proven


def test_a_gpu_is_proven_and_not_a_cpu_nor_the_cuda_of_the_machine() -> None:
    here = facts({"machine": T4})
    assert not judged(here, "2.20.0", Accelerator.CPU).proven
    row = next(row for row in matrix().releases if str(row.version) == "2.20.0")
    system = structs.replace(request(), cuda=CudaSource.SYSTEM)
    assert not rank.judge(matrix(), here, row, request=system).proven


def test_what_is_proven_elsewhere_alone_is_said_of_the_recommended_release() -> None:
    advice = decided(facts({"machine": T4 | {"python": "3.9"}}), "==2.17.*").advice
    assert "tensorflow 2.17.1 is proven on Python 3.12, and not yet on 3.9" in advice
    v100 = facts({"machine": T4 | {"gpus": [{"compute_capability": "7.0"}]}})
    assert any("proven with other NVIDIA libraries" in line for line in decided(v100, "==2.21.*").advice)
    assert not any("proven" in line for line in decided(facts({"machine": T4})).advice)


@pytest.mark.parametrize(
    ("capability", "fit", "cudnn"), [("7.0", "unknown", "9.10.2.21"), ("7.5", "yes", "9.24.0.43")]
)
def test_a_later_release_is_no_better_known_than_2_21_with_a_cudnn_that_nobody_tried(
    capability: str, fit: str, cudnn: str
) -> None:
    newest = matrix().releases[-1]
    row = structs.replace(newest, version=Version("2.22.0rc0"), proofs=())
    here = facts({"machine": T4 | {"gpus": [{"compute_capability": capability}]}})
    candidate = rank.judge(matrix(), here, row)
    assert (candidate.fit.value, judged(here, "2.21.0").fit.value) == (fit, fit)
    (bound,) = (one for one in bounds(row, here, matrix(), {}) if "cudnn" in one.requirement)
    assert bound.requirement.endswith(cudnn) and bound.because.startswith("what TensorFlow 2.21 is confirmed")
    own = next(one for one in bounds(newest, here, matrix(), {}) if "cudnn" in one.requirement)
    assert "confirmed with TensorFlow 2.21 (9.5.1 fails" in own.because


@pytest.mark.parametrize(("release", "doubted"), [("470.82.01", False), ("535.104.05", True)])
def test_a_driver_that_is_too_new_for_the_gpu_is_doubted(release: str, doubted: bool) -> None:
    """R470 is the last for Kepler: with a newer one there is no such GPU."""
    k80 = [{"name": "Tesla K80", "compute_capability": "3.7"}]
    here = facts({"machine": {"driver": {"release": release, "cuda": "11.4"}, "gpus": k80, "python": "3.10"}})
    advice = rank.decide(matrix(), here, request()).advice
    assert any("no driver after 470 knows" in line for line in advice) is doubted


def test_a_proof_of_linux_is_said_to_be_one() -> None:
    here = facts({"machine": T4 | {"os": "windows", "glibc": "unknown", "python": "3.10"}})
    advice = rank.decide(matrix(), here, request()).advice
    assert any(line.endswith("is proven on Linux x86_64 alone") for line in advice)
