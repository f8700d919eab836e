"""Each rule both ways, from tests/data/verdicts.yaml, and what must hold of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs
from packaging.requirements import Requirement

from envfix.matrix import rank
from envfix.matrix.rules.case import case_of
from envfix.matrix.rules.gpu import code_of
from envfix.matrix.rules.libraries import judge_cudnn
from envfix.model.decision import Candidate, Code, Fit, Verdict
from envfix.model.machine import Cudnn, Driver, Gpu, Machine, Toolkit, known
from envfix.model.request import CudaSource
from envfix.model.target import Distribution
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    DriverCuda,
    DriverRelease,
    PythonRelease,
)
from envfix.reading import parse_yaml
from tests.shipped import machine, matrix, request

TABLE = parse_yaml((Path(__file__).parent / "data" / "verdicts.yaml").read_text(), "verdicts.yaml")
ORDER = {Fit.NO: 0, Fit.UNKNOWN: 1, Fit.YES: 2}
# Releases of the driver for Linux and for Windows (WSL has the latter), with the CUDA that each reports,
# ascending. Linux' numbers on Windows are a machine that cannot be: release and CUDA would contradict.
DRIVERS = (
    ("440.33.01", "441.22", "10.2"),
    ("450.51.05", "451.48", "11.0"),
    ("450.80.02", "452.39", "11.0"),
    ("460.27.03", "460.82", "11.2"),
    ("470.82.01", "472.39", "11.4"),
    ("520.61.05", "520.06", "11.8"),
    ("525.60.13", "527.41", "12.0"),
    ("528.33", "528.33", "12.0"),
    ("535.54.03", "536.25", "12.2"),
    ("535.104.05", "537.13", "12.2"),
    ("545.23.06", "545.84", "12.3"),
    ("550.54.15", "551.78", "12.4"),
    ("555.42.02", "555.85", "12.5"),
    ("570.26", "570.65", "12.8"),
    ("580.65.06", "581.80", "13.0"),
)
CAPABILITIES = (
    "3.5",
    "3.7",
    "5.2",
    "6.0",
    "7.0",
    "7.5",
    "8.0",
    "8.6",
    "8.9",
    "9.0",
    "10.0",
    "10.3",
    "12.0",
    "12.1",
)


MACHINES: dict[str, dict[str, Any]] = TABLE["machines"]
T4 = MACHINES["t4"]


def changed(change: dict[str, Any]) -> Machine:
    """The T4 machine with facts changed; `unknown` takes a fact away."""
    return machine({key: value for key, value in (T4 | change).items() if value != "unknown"})


def answer(case: dict[str, Any]) -> Verdict:
    """What the case's rule says on the case's machine."""
    here = changed(MACHINES[case["machine"]] | case.get("also", {}))
    requires = case.get("requires")
    installed = requires and [
        Distribution(name=name, version=version, requires=tuple(requires.get(name, ())))
        for name, version in known(here.installed, {}).items()
    ]
    asked = structs.replace(
        request(),
        companions=tuple(map(Requirement, case.get("with", ()))),
        cuda=CudaSource(case.get("cuda", "auto")),
    )
    row = next(row for row in matrix().releases if str(row.version) == case["tf"])
    beside = [
        Distribution(name=name, version=version, requires=tuple(lines))
        for name, (version, *lines) in case.get("beside", {}).items()
    ]
    candidate = rank.judge(matrix(), here, row, request=asked, installed=installed, beside=beside)
    return next(one for one in candidate.verdicts if one.rule == case["rule"])


def name(case: dict[str, Any]) -> str:
    words = (case["rule"], case["fit"], case["machine"], case["tf"])
    return "-".join(
        [*words, str({key: case[key] for key in ("also", "with", "beside", "cuda") if key in case})]
    )


@pytest.mark.parametrize("case", TABLE["verdicts"], ids=name)
def test_a_rule_answers_as_its_case_says(case: dict[str, Any]) -> None:
    verdict = answer(case)
    assert verdict.fit.value == case["fit"], verdict
    assert case.get("says", "") in verdict.found
    assert case.get("wants", "") in verdict.wanted
    assert case.get("from", "") in verdict.source
    assert case["source"] and verdict.wanted and verdict.found and verdict.source


def test_every_rule_is_shown_both_ways() -> None:
    answers = {(case["rule"], case["fit"]) for case in TABLE["verdicts"]}
    everything = structs.replace(request(), cuda=CudaSource.SYSTEM)
    row = matrix().releases[-1]
    rules = {verdict.rule for verdict in rank.judge(matrix(), changed({}), row, request=everything).verdicts}
    assert {rule for rule, _ in answers} == rules
    assert {rule for rule in rules if (rule, "no") not in answers} == set()
    assert {rule for rule in rules if (rule, "yes") not in answers} == set()
    assert {rule for rule in rules if (rule, "unknown") not in answers} == set()


@pytest.mark.parametrize(
    ("version", "capability", "code"),
    [
        ("2.20.0", "12.0", Code.BROKEN),
        ("2.20.0", "9.0", Code.NATIVE_JIT),
        ("2.21.0", "12.0", Code.JIT),
        ("2.15.1", "12.0", Code.JIT),
        ("2.15.1", "9.0", Code.JIT),
        ("2.20.0", "5.2", Code.NONE),
        ("2.20.0", "7.5", Code.NATIVE),
    ],
)
def test_the_bytes_alone_tell_how_kernels_run(version: str, capability: str, code: Code) -> None:
    """PTX for sm_90a runs on 9.0 alone, that for sm_90 on what is later too; no known defect is asked."""
    row = next(row for row in matrix().releases if str(row.version) == version)
    here = changed({"gpus": [{"compute_capability": capability}]})
    assert code_of(row, here, structs.replace(matrix(), known_bad=())) is code


@pytest.mark.parametrize(
    ("built", "fit"), [("9.3.0.75", "yes"), ("9.3.0.76", "no"), ("10.0", "no"), ("8.9", "no")]
)
def test_cudnn_is_of_the_same_major_and_not_older_than_the_one_compiled_against(built: str, fit: str) -> None:
    row = next(row for row in matrix().releases if str(row.version) == "2.19.1")
    other = structs.replace(row, built_with_cudnn=CudnnRelease(built))
    verdict = judge_cudnn(case_of(other, changed({}), matrix()))
    assert (verdict.fit.value, verdict.found) == (fit, "cuDNN 9.3.0.75")


@pytest.mark.parametrize(("driver", "fit"), [("550.54.15", "unknown"), ("555.42.02", "yes")])
def test_ptx_that_nobody_read_is_that_of_the_toolkit_at_most(driver: str, fit: str) -> None:
    row = next(row for row in matrix().releases if str(row.version) == "2.20.0")
    assert row.kernel_gen is not None
    unread = structs.replace(row, kernel_gen=structs.replace(row.kernel_gen, ptx_isa=None))
    h100 = changed({"gpus": [{"compute_capability": "9.0"}], "driver": {"release": driver}})
    (verdict,) = (one for one in rank.judge(matrix(), h100, unread).verdicts if one.rule == "gpu-code")
    assert (verdict.fit.value, verdict.wanted) == (fit, "driver >= 555.42.02 (PTX of CUDA 12.5 at most)")


@pytest.mark.parametrize("facts", MACHINES.values(), ids=list(MACHINES))
def test_a_verdict_names_what_was_wanted_and_found_and_a_source_for_every_release(
    facts: dict[str, Any],
) -> None:
    for candidate in rank.decide(matrix(), changed(facts), request()).candidates:
        for verdict in candidate.verdicts:
            assert verdict.wanted and verdict.found and verdict.source, verdict


def host(driver: int, capability: str, python: str, wsl: bool, glibc: str, system: str = "linux") -> Machine:
    linux, windows, cuda = DRIVERS[driver]
    release = windows if wsl or system == "windows" else linux
    return structs.replace(
        changed({"wsl": wsl, "glibc": glibc, "os": system}),
        driver=Driver(release=DriverRelease(release), cuda=DriverCuda(cuda)),
        gpus=(Gpu(compute_capability=ComputeCapability(capability)),),
        python=PythonRelease(python),
    )


HOSTS = {
    "capability": st.sampled_from(CAPABILITIES),
    "python": st.sampled_from(["3.8", "3.10", "3.11", "3.12", "3.14"]),
    "wsl": st.booleans(),
    "glibc": st.sampled_from(["2.12", "2.17", "2.26", "2.31", "2.35"]),
}
COMPANIONS = ("", "numpy>=2", "tensorflow-text", "tensorflow-probability", "tf-keras==2.19.*", "keras<3")
ROWS = st.integers(0, len(matrix().releases) - 1)


@settings(max_examples=150, deadline=None)
@given(driver=st.integers(0, len(DRIVERS) - 2), row=ROWS, **HOSTS)
def test_a_newer_driver_never_makes_a_release_fit_worse(driver: int, row: int, **facts: Any) -> None:
    release = matrix().releases[row]
    """No rule's answer either: over all of them, a Python without a wheel would hide most of it."""
    older = rank.judge(matrix(), host(driver, **facts), release)
    newer = rank.judge(matrix(), host(driver + 1, **facts), release)
    assert ORDER[newer.fit] >= ORDER[older.fit]
    for before, after in zip(older.verdicts, newer.verdicts, strict=True):
        assert ORDER[after.fit] >= ORDER[before.fit], (before, after)


@settings(max_examples=300, deadline=None)
@given(
    driver=st.integers(0, len(DRIVERS) - 1),
    row=ROWS,
    lost=st.sets(
        st.sampled_from(
            ["os", "wsl", "arch", "glibc", "python", "driver", "gpus", "cpu_flags", "installed",
             "toolkit", "cudnn", "driver.release", "driver.cuda", "gpus.capability"]
        ),
        min_size=1,
    ),
    avx=st.booleans(),
    system=st.sampled_from(["linux", "windows"]),
    cuda=st.sampled_from([CudaSource.AUTO, CudaSource.SYSTEM]),
    companion=st.sampled_from(COMPANIONS),
    own=st.sampled_from([("11.2", "8.1.1"), ("12.2", "8.9.7"), ("12.8", "9.5.1.17"), ("12.8", "9.24.0.43")]),
    **HOSTS,
)  # fmt: skip
def test_a_fact_that_is_not_known_never_turns_a_no_into_a_yes(
    driver: int,
    row: int,
    lost: set[str],
    avx: bool,
    system: str,
    cuda: CudaSource,
    companion: str,
    own: tuple[str, str],
    **facts: Any,
) -> None:
    release = matrix().releases[row]
    here = structs.replace(
        host(driver, **facts, system=system),
        cpu_flags=("avx",) if avx else (),
        toolkit=Toolkit(version=CudaRelease(own[0])),
        cudnn=Cudnn(version=CudnnRelease(own[1])),
    )
    wish = structs.replace(request(), cuda=cuda, companions=(Requirement(companion),) if companion else ())
    before = rank.judge(matrix(), here, release, request=wish)
    after = rank.judge(matrix(), without(here, lost), release, request=wish)
    if before.fit is Fit.NO:
        assert after.fit is not Fit.YES
    now = {verdict.rule: verdict for verdict in after.verdicts}
    for verdict in before.verdicts:
        if verdict.fit is Fit.NO and verdict.rule in now and now[verdict.rule].fit is Fit.YES:
            # On an unknown platform markers bind nobody and CUDA is that of Linux: its wheel is unknown too.
            assert now["wheel"].fit is not Fit.YES, verdict


def without(facts: Machine, lost: set[str]) -> Machine:
    assert isinstance(facts.driver, Driver)
    driver, gpus = facts.driver, facts.gpus
    if "driver.release" in lost:
        driver = structs.replace(driver, release=UNSET)
    if "driver.cuda" in lost:
        driver = structs.replace(driver, cuda=UNSET)
    if "gpus.capability" in lost:
        gpus = (Gpu(),)
    left = structs.replace(facts, driver=driver, gpus=gpus)
    return structs.replace(left, **{fact: UNSET for fact in lost if "." not in fact})


@settings(max_examples=30, deadline=None)
@given(order=st.randoms(use_true_random=False), driver=st.integers(0, len(DRIVERS) - 1), **HOSTS)
def test_the_order_of_rows_decides_nothing(order: Any, driver: int, **facts: Any) -> None:
    def shuffled(rows: Any) -> Any:
        mixed = list(rows)
        order.shuffle(mixed)
        return tuple(mixed)

    other = structs.replace(
        matrix(), releases=shuffled(matrix().releases), known_bad=shuffled(matrix().known_bad)
    )
    one, two = (rank.decide(each, host(driver, **facts), request()) for each in (matrix(), other))
    assert list(map(answers, one.candidates)) == list(map(answers, two.candidates))


def answers(candidate: Candidate) -> tuple[object, ...]:
    rules = tuple((verdict.rule, verdict.fit) for verdict in candidate.verdicts)
    return candidate.version, candidate.fit, candidate.code, rules


@pytest.mark.parametrize(
    ("facts", "rule", "fit"),
    [
        ({"driver": {"release": "580.65.06"}}, "driver", "yes"),
        ({"driver": {"release": "575.51.03"}}, "driver", "no"),
        ({"driver": {"cuda": "13.0"}}, "driver", "yes"),
        # NVIDIA names no Windows driver for CUDA 13: its CUDA tells.
        ({"wsl": True, "driver": {"release": "581.80", "cuda": "13.0"}}, "driver", "yes"),
        ({"wsl": True, "driver": {"release": "581.80"}}, "driver", "unknown"),
        ({"wsl": True, "driver": {"release": "576.02", "cuda": "12.9"}}, "driver", "no"),
        ({"gpus": [{"compute_capability": "7.0"}]}, "libraries", "no"),
        ({"gpus": [{"compute_capability": "7.5"}]}, "libraries", "yes"),
    ],
)
def test_a_release_for_cuda_13_is_judged_by_the_same_tables(
    facts: dict[str, Any], rule: str, fit: str
) -> None:
    newest = matrix().releases[-1]
    row = structs.replace(
        newest, built_with_cuda=CudaRelease("13.0"), built_with_cudnn=CudnnRelease("9.19"), and_cuda=()
    )
    verdicts = rank.judge(matrix(), changed(facts), row).verdicts
    assert {verdict.rule: verdict.fit.value for verdict in verdicts}[rule] == fit
