"""Results as text, JSON and Markdown."""

from __future__ import annotations

import json as plain_json

import pytest
from msgspec import structs

from envfix.errors import LockMismatch, NothingFits
from envfix.model import results
from envfix.model.decision import Candidate, Code, Decision, Fit, Verdict
from envfix.model.machine import Machine
from envfix.model.outcome import REPAIR, Check, InstallResult, Proof, RestartAdvice, Status, Verification
from envfix.model.plan import NEEDED, Break, Change, Plan, PlannedPackage
from envfix.model.release import Release
from envfix.model.results import Installed, Report, Verified
from envfix.render import json, markdown, outcome, text
from envfix.render.words import columns, size
from tests.values import RELEASE, T4

VERDICT = Verdict(
    rule="driver", fit=Fit.NO, wanted="driver >= 525.60.13", found="470.82.01", source="https://docs.example/"
)
NO = Candidate(release=RELEASE, fit=Fit.NO, code=Code.NATIVE, proven=True, verdicts=(VERDICT,))
YES = Candidate(release=RELEASE, fit=Fit.YES, code=Code.NATIVE, proven=True, verdicts=())
PLAN = Plan(
    packages=(
        PlannedPackage(
            name="tensorflow",
            version="2.20.0",
            size=620_000_000,
            change=Change.ADD,
            because="see `tensorflow[and-cuda]`",
        ),
        PlannedPackage(
            name="numpy", version="2.1.3", size=0, change=Change.KEEP, because="the others need it"
        ),
    ),
    download_bytes=620_000_000,
    installed_bytes=None,
    breaks=(Break(package="torch 2.6.0", requirement="numpy<2", found="numpy 2.1.3"),),
)
PASSED = Verification(
    checks=(Check(name="device visible", status=Status.PASSED, expected="GPU:0", observed="GPU:0 Tesla T4"),),
    proof=Proof.LOADER,
    python="/env/bin/python",
    tensorflow="2.20.0",
)
FAILED = Verification(
    checks=(
        Check(
            name="device visible", status=Status.FAILED, expected="GPU:0", observed="none",
            cause="libcusolver.so.11 is not found", hint="envfix install",
        ),
    ),
    proof=None,
    python="/env/bin/python",
    ended="exit 0",
)  # fmt: skip


def install_of(verification: Verification | None, result: InstallResult | None) -> Installed:
    return Installed(
        machine=T4, python="/env/bin/python", tensorflow="2.20.0", accelerator="gpu", plan=PLAN,
        result=result, verification=verification,
    )  # fmt: skip


def test_a_report_has_the_contracts_keys() -> None:
    report = Report(machine=T4, decision=Decision(candidates=(YES, NO), recommended=YES), plan=PLAN)
    answer = plain_json.loads(json.success("report", report, report.exit_code))
    assert set(answer["data"]) == {"machine", "recommended", "releases", "plan", "advice", "remedies"}
    assert answer["data"]["recommended"] == "2.20.0"
    assert set(answer["data"]["releases"][0]) == {"version", "fit", "code", "proven", "verdicts"}
    assert set(answer["data"]["releases"][1]["verdicts"][0]) == {"rule", "fit", "wanted", "found", "source"}
    assert set(answer["data"]["plan"]) == {"packages", "download_bytes", "installed_bytes", "breaks"}
    assert set(answer["data"]["plan"]["packages"][0]) == {"name", "version", "size", "change", "because"}
    assert answer["data"]["machine"]["driver"] == {"release": "550.54.15", "cuda": "12.4"}


def test_nothing_recommended_is_exit_3_in_text_and_json_alike() -> None:
    report = Report(machine=T4, decision=Decision(candidates=(NO,), recommended=None), plan=None)
    answer = plain_json.loads(json.success("report", report, report.exit_code))
    assert report.exit_code == answer["exit_code"] == 3
    assert answer["status"] == "failed" and answer["errors"][0]["code"] == "nothing-fits"
    lines = text.report(report).splitlines()
    assert lines[2:4] == [
        "  release  fit      code        proof   why not",
        "  2.20.0   no       native      loader  driver: needs driver >= 525.60.13, found 470.82.01",
    ]
    assert lines[-1] == "best     none: no TensorFlow release fits this machine"
    # Nothing is what was asked for, where something else does fit.
    other = Report(machine=T4, decision=Decision(candidates=(YES, NO), recommended=None), plan=None)
    said = "no TensorFlow release that `--tf` names fits this machine"
    assert text.report(other).splitlines()[-1] == f"best     none: {said}"
    assert plain_json.loads(json.success("report", other, 3))["errors"][0]["message"] == said


def test_of_a_known_defect_the_defect_is_said() -> None:
    defect = structs.replace(VERDICT, rule="known-bad", wanted="no known defect", found="it hangs")
    candidate = structs.replace(NO, verdicts=(defect,))
    report = Report(machine=T4, decision=Decision(candidates=(candidate,), recommended=None), plan=None)
    for shown in (text.report(report), markdown.report(report)):
        assert "known-bad: it hangs" in shown and "no known defect" not in shown


def test_a_failure_carries_what_is_known() -> None:
    report = Report(machine=T4, decision=Decision(candidates=(NO,), recommended=None), plan=None)
    answer = plain_json.loads(json.failure("install", NothingFits("nothing", "a hint", data=report)))
    assert answer["data"]["releases"][0]["version"] == "2.20.0"
    assert answer["errors"] == [{"code": "nothing-fits", "message": "nothing", "hint": "a hint"}]
    assert plain_json.loads(json.failure("lock", LockMismatch("no")))["exit_code"] == 7


def test_the_proof_claims_no_more_than_was_proven() -> None:
    shown = text.result(Verified(verification=PASSED))
    assert "proof    loader:" in shown and "no kernel ran" in shown
    failed = text.result(Verified(verification=FAILED))
    assert "proof    none" in failed and "libcusolver.so.11" in failed and "envfix install" in failed
    assert Verified(verification=FAILED).exit_code == 6
    nothing = structs.replace(PASSED, proof=None)
    assert Verified(verification=nothing).exit_code == 6
    assert plain_json.loads(json.success("verify", Verified(verification=nothing), 6))["errors"]


def test_an_untouched_environment_says_keep_and_no_restart() -> None:
    shown = text.result(install_of(PASSED, None)).splitlines()
    assert shown[0].startswith("verify   tensorflow 2.20.0")
    assert shown[-1] == "keep     tensorflow 2.20.0 in /env/bin/python: it fits, nothing was changed"
    answer = plain_json.loads(json.success("install", install_of(PASSED, None), 0))
    assert answer["data"]["restart"]["needed"] is False and answer["data"]["changed"] == []


CHANGED = InstallResult(
    python="/env/bin/python",
    changed=("keras", "numpy"),
    before={},
    after={},
    loader="envfix-loader 1.0 installed",
)


def last_lines(verification: Verification, advice: RestartAdvice) -> list[str]:
    lines = text.result(structs.replace(install_of(verification, CHANGED), restart=advice)).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("proof"))
    return lines[at + 1 :]


def test_the_outcome_and_the_restart_are_said_last() -> None:
    needed = RestartAdvice(needed=True, reason="numpy is loaded", how="Runtime → Restart session")
    assert last_lines(PASSED, needed) == [
        "done     tensorflow 2.20.0 in /env/bin/python: 2 packages changed",
        "restart  needed: numpy is loaded",
        "         Runtime → Restart session",
    ]
    assert install_of(PASSED, CHANGED).exit_code == 0
    none = RestartAdvice(needed=False, reason="the environment is new")
    assert last_lines(FAILED, none) == [
        "failed   tensorflow 2.20.0 in /env/bin/python: verification failed, 2 packages changed",
        "restart  not needed: the environment is new",
    ]


def test_a_restart_that_cannot_be_judged_names_what_it_hangs_on() -> None:
    names = tuple("abcdefgh")
    unseen = RestartAdvice(needed=None, reason="they changed", how="Kernel → Restart", if_imported=names)
    assert last_lines(PASSED, unseen)[1:] == [
        "restart  only if the notebook has already imported a, b, c, d, e, f or 2 more: they changed",
        "         Kernel → Restart",
    ]
    answer = plain_json.loads(
        json.success("install", structs.replace(install_of(PASSED, CHANGED), restart=unseen), 0)
    )
    assert answer["data"]["restart"]["needed"] is None
    assert answer["data"]["restart"]["if_imported"] == list(names)


def test_checks_that_were_not_run_share_a_line_and_libraries_are_counted_by_place() -> None:
    site = "/env/lib/python3.12/site-packages/nvidia"
    libraries = (
        f"libcublas.so.12 ({site}/cublas/lib/libcublas.so.12), "
        f"libcuda.so.1 (/usr/lib64-nvidia/libcuda.so.1), libcudnn.so.9 ({site}/cudnn/lib/libcudnn.so.9), "
        "libnvidia-ml.so.1 (/home/you/.cache/envfix/stub-2b82a6f6/libnvidia-ml.so.1)"
    )
    checks = (
        Check(name="libraries", status=Status.PASSED, expected="", observed=libraries),
        Check(name="matmul", status=Status.SKIPPED, expected="", observed="not run", cause="no GPU here"),
        Check(name="jit", status=Status.SKIPPED, expected="", observed="not run", cause="no GPU here"),
        Check(name="end", status=Status.SKIPPED, expected="", observed="not reached"),
    )
    shown = text.result(Verified(verification=structs.replace(PASSED, checks=checks))).splitlines()
    assert shown[1:4] == [
        "  ok     libraries: 4 opened: 2 from the NVIDIA wheels, 1 from /usr/lib64-nvidia, "
        "1 from the driver stub",
        "  -      not run: matmul, jit (no GPU here)",
        "  -      not reached: end",
    ]
    answer = json.data(Verified(verification=structs.replace(PASSED, checks=checks)))
    assert answer["checks"][0]["observed"] == libraries


def test_install_does_not_advise_to_install() -> None:
    failed = structs.replace(FAILED, checks=(structs.replace(FAILED.checks[0], hint=REPAIR),))
    assert REPAIR in text.result(Verified(verification=failed))
    assert REPAIR not in text.result(install_of(failed, CHANGED))


def test_a_cause_that_two_checks_share_is_said_once() -> None:
    failed = FAILED.checks[0]
    twice = structs.replace(FAILED, checks=(failed, structs.replace(failed, name="libraries")))
    shown = text.result(Verified(verification=twice))
    assert shown.count("libcusolver.so.11 is not found") == shown.count("envfix install") == 1
    assert shown.count("FAILED") == 2


def added(name: str, size: int | None, because: str) -> PlannedPackage:
    return PlannedPackage(name=name, version="1.0", size=size, change=Change.ADD, because=because)


def test_a_plan_groups_what_has_the_same_reason_and_names_what_is_replaced() -> None:
    built = "what it was built with"
    packages = (
        *(added(f"nvidia-{name}-cu12", 100_000_000, built) for name in ("cublas", "cufft", "nccl")),
        added("tensorflow", 600_000_000, "the newest"),
        *(added(name, 1_000, NEEDED) for name in ("absl-py", "six")),
        structs.replace(added("numpy", 20_000_000, NEEDED), change=Change.DOWNGRADE),
        structs.replace(added("keras", 0, NEEDED), change=Change.KEEP),
    )
    plan = Plan(packages=packages, download_bytes=920_002_000, installed_bytes=2_000_000_000)
    assert text.plan(plan) == [
        "plan     920 MB to download, 2.0 GB on disk; 1 package stays as it is",
        "  + tensorflow 1.0       600 MB  the newest",
        "  + 3 nvidia-* packages  300 MB  what it was built with",
        "  v numpy 1.0            20 MB   the others need it",
        "  + 2 that these need    2 kB",
    ]
    answer = json.data(structs.replace(install_of(None, None), plan=plan))
    assert len(answer["plan"]["packages"]) == len(packages)


def test_two_of_a_kind_keep_their_lines_and_an_unknown_size_is_said() -> None:
    packages = (added("a", None, "one reason"), added("b", 2_000_000, "one reason"))
    plan = Plan(packages=packages, download_bytes=None, installed_bytes=None)
    assert text.plan(plan) == [
        "plan     ? to download, ? on disk",
        "  + b 1.0  2 MB  one reason",
        "  + a 1.0  ?     one reason",
    ]


def test_what_is_not_known_of_a_machine_is_neither_there_nor_absent() -> None:
    shown = text.result(Machine(name="bare\nerror: spoofed"))
    assert "summary    GPU not known, driver not known" in shown
    assert "toolkit    not known" in shown and "none" not in shown
    assert "installed  not known" in shown and "\nerror: spoofed" not in shown
    assert "toolkit    none" in text.result(Machine(toolkit=None))


def test_square_brackets_and_breaks_survive() -> None:
    lines = "\n".join(text.plan(PLAN))
    assert "`tensorflow[and-cuda]`" in lines
    assert "breaks torch 2.6.0: needs numpy<2, would find numpy 2.1.3" in lines
    assert "620 MB to download, ? on disk" in lines


def test_markdown_cells_cannot_break_the_table() -> None:
    odd = structs.replace(VERDICT, found="a | b\nc\x1b[31m")
    report = Report(
        machine=T4,
        decision=Decision(candidates=(structs.replace(NO, verdicts=(odd,)),), recommended=None),
        plan=None,
    )
    row = next(line for line in markdown.report(report).splitlines() if line.startswith("| 2.20.0"))
    assert "a \\| b c" in row and "\x1b" not in row


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1500, "2 kB"),
        (620_425_510, "620 MB"),
        (2_400_000_000, "2.4 GB"),
    ],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert size(count) == shown


def test_columns_align() -> None:
    assert columns([("a", "bb", "c"), ("aaa", "b", "c")]) == ["a    bb  c", "aaa  b   c"]
    assert columns([]) == []


def test_an_install_says_how_to_undo_it_before_the_outcome() -> None:
    result = InstallResult(
        python="/env/bin/python", changed=("numpy",), before={"numpy": "1"}, after={"numpy": "2"}, loader=""
    )
    value = structs.replace(install_of(None, result), transaction="3")
    lines = outcome.installed(value)
    assert lines[-2:] == [
        "undo     envfix rollback 3 --python /env/bin/python",
        "done     tensorflow 2.20.0 in /env/bin/python: 1 package changed",
    ]
    assert not any(line.startswith("undo") for line in outcome.installed(install_of(None, result)))


def test_every_result_has_its_text_and_its_json() -> None:
    """But for a row of the matrix, which is YAML where it is text."""
    assert set(text.TEXT) == set(json.DATA) - {Release}
    kinds = {kind for kind in vars(results).values() if isinstance(kind, type)}
    own = {kind for kind in kinds if kind.__module__ == results.__name__}
    assert own - {results.IssueFacts} <= set(json.DATA), "a result that nothing renders"
