"""Results as text, JSON and Markdown."""

from __future__ import annotations

import json as plain_json

import pytest
from msgspec import structs

from envfix.errors import LockMismatch, NothingFits
from envfix.model.decision import Candidate, Code, Decision, Fit, Verdict
from envfix.model.outcome import Check, InstallResult, Proof, RestartAdvice, Status, Verification
from envfix.model.plan import Break, Change, Plan, PlannedPackage
from envfix.model.results import Installed, Report, Verified
from envfix.render import json, markdown, text
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
    assert set(answer["data"]) == {"machine", "recommended", "releases", "plan", "advice"}
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
    assert "needs driver >= 525.60.13, found 470.82.01" in text.report(report)


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
    shown = text.installed(install_of(PASSED, None))
    assert shown.startswith("keep     tensorflow 2.20.0")
    answer = plain_json.loads(json.success("install", install_of(PASSED, None), 0))
    assert answer["data"]["restart"]["needed"] is False and answer["data"]["changed"] == []


def test_a_needed_restart_is_said_last_but_for_the_proof() -> None:
    result = InstallResult(python="/env/bin/python", changed=("numpy",), before={}, after={}, loader="")
    advice = RestartAdvice(needed=True, reason="numpy is loaded", how="Runtime → Restart session")
    shown = text.installed(structs.replace(install_of(None, result), restart=advice))
    assert "restart  needed: numpy is loaded. Runtime → Restart session" in shown
    assert install_of(None, result).exit_code == 0


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
