"""What installs and verifications saw: kept, found again, compared, and never in the way."""

from __future__ import annotations

import argparse
import json as plain_json
import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from envfix import cli, snapshots
from envfix.commands import recording
from envfix.errors import EnvfixError, InputError, InstallFailed, Interrupted, NothingFits
from envfix.facts import LONGEST, digest, facts_of, place
from envfix.model.decision import Decision
from envfix.model.machine import Machine, Platform
from envfix.model.outcome import InstallResult, Proof
from envfix.model.plan import Plan
from envfix.model.results import Installed, Report, Verified
from envfix.model.snapshot import Snapshot
from envfix.ports import Outside
from envfix.probe.image import read_image
from envfix.reading import convert, parse_yaml
from envfix.render import json, markdown, text
from envfix.since import since
from envfix.situation import Parts
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside
from tests.test_render import FAILED, PASSED
from tests.values import T4, changed

DATA = Path(__file__).parent / "data"
STATE = {"ENVFIX_STATE_DIR": "/state"}
DAY = datetime(2026, 11, 20, 12, 0, 0, tzinfo=timezone.utc)


def cases(name: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = parse_yaml((DATA / f"{name}.yaml").read_text(), name)
    return read


def taken(days: float = 0, **values: Any) -> Snapshot:
    """A run that worked on the GPU, so many days after 20 November 2026."""
    moment = snapshots.stamp(DAY + timedelta(days=days))
    made = Snapshot(id="", taken=moment, command="install", envfix="0.1.0", worked=True, proof="gpu")
    return snapshots.named(structs.replace(made, **values))


# -- facts


@pytest.mark.parametrize("case", cases("facts"), ids=lambda case: case["name"])
def test_a_machine_becomes_flat_facts_that_name_nobody(case: dict[str, Any]) -> None:
    outside = FakeOutside(environ=case["environ"])
    machine = convert(case["machine"], Machine, case["name"])
    found = facts_of(machine, read_image(outside), case["changed"], outside)
    del found["envfix"]
    assert found == case["facts"]
    assert list(found) == list(case["facts"]), "in the order in which they matter"


@pytest.mark.parametrize("case", cases("images"), ids=lambda case: case["name"])
def test_an_image_says_which_build_it_is(case: dict[str, Any]) -> None:
    assert read_image(FakeOutside(case["files"], environ=case["environ"])) == case["image"]


@given(st.text(alphabet="abc/:\\.@GPU-0123456789 ", max_size=200), st.sampled_from(["", "/", "/root", "/a"]))
def test_a_value_is_bounded_and_keeps_no_home(value: str, home: str) -> None:
    machine = changed(T4, environment={"LD_LIBRARY_PATH": value * 30, "XLA_FLAGS": f"/home/ann/{value}"})
    found = facts_of(machine, None, {}, FakeOutside(environ={"HOME": home}))
    assert len(found["environment.LD_LIBRARY_PATH"]) <= LONGEST
    assert "/home/ann" not in found["environment.XLA_FLAGS"]


def test_what_matters_most_comes_first() -> None:
    names = ["installed.numpy", "environment.A", "installed.nvidia-x", "python", "driver.release", "odd"]
    assert sorted([*names, "installed.tensorflow", "gpus"], key=place) == [
        "driver.release", "gpus", "python", "installed.tensorflow", "environment.A", "installed.nvidia-x",
        "installed.numpy", "odd",
    ]  # fmt: skip


# -- keeping


def test_a_snapshot_is_kept_privately_and_read_again() -> None:
    outside = FakeOutside(environ=STATE)
    one = taken(facts={"python": "3.12"}, failed=("a",), machine="colab-t4")
    snapshots.keep(outside, one)
    assert list(outside.written) == [f"/state/snapshots/{one.id}.json"]
    assert re.fullmatch(r"20261120-120000-[0-9a-f]{6}", one.id)
    assert snapshots.kept(outside) == (one,)


def test_a_real_snapshot_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVFIX_STATE_DIR", str(tmp_path / "new" / "folder"))
    snapshots.keep(RealOutside(), taken())
    (file,) = (tmp_path / "new" / "folder" / "snapshots").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_number_is_bounded_and_what_worked_stays_longest() -> None:
    outside = FakeOutside(environ=STATE)
    worked = taken(-1, environment="abc")
    snapshots.keep(outside, worked)
    for hour in range(snapshots.MOST + 15):
        snapshots.keep(outside, taken(hour / 24, worked=False, proof=""))
    there = snapshots.kept(outside)
    assert len(there) == snapshots.MOST + 1
    assert there[-1] == worked
    # As many interpreters as one likes do not make it grow without end.
    for number in range(3 * snapshots.MOST):
        snapshots.keep(outside, taken(10 + number / 24, environment=str(number)))
    assert len(snapshots.kept(outside)) == 2 * snapshots.MOST


def test_a_folder_that_cannot_be_written_costs_a_warning() -> None:
    outside = FakeOutside(environ=STATE, read_only=("/state",))
    snapshots.keep(outside, taken())
    assert outside.said == [
        "warning: what this run saw is not recorded for `report --since`: Permission denied"
    ]
    assert snapshots.kept(outside) == ()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(RealOutside):
        said: list[str] = []

        def write_bytes(self, path: str, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
            raise OSError(28, "No space left on device")

        def say(self, text: str) -> None:
            self.said.append(text)

    monkeypatch.setenv("ENVFIX_STATE_DIR", str(tmp_path))
    snapshots.keep(RealOutside(), taken())
    full = Full()
    snapshots.keep(full, taken(1))
    assert len(snapshots.kept(RealOutside())) == 1
    assert "No space left on device" in full.said[0]


def test_what_is_no_snapshot_is_said_and_passed_over() -> None:
    good = taken()
    outside = FakeOutside(environ=STATE)
    snapshots.keep(outside, good)
    for number, content in enumerate(("", "[]", '{"id": 1}', "{", b"\xff\xfe")):
        outside.files[f"/state/snapshots/20261121-00000{number}-abcdef.json"] = content
    outside.files["/state/snapshots/notes.txt"] = "mine"
    assert snapshots.kept(outside) == (good,)
    assert len(outside.said) == 5
    assert all("is no snapshot and passed over" in line for line in outside.said)


def test_a_snapshot_of_a_later_envfix_is_read() -> None:
    outside = FakeOutside(environ=STATE)
    content = '{"id": "x", "taken": "2026-11-20T12:00:00Z", "command": "fly", "envfix": "9.0", "wings": 2}'
    outside.files["/state/snapshots/20261120-120000-abcdef.json"] = content
    (found,) = snapshots.kept(outside)
    assert (found.id, found.command, found.worked) == ("20261120-120000-abcdef", "fly", None)


def test_the_state_folder_is_the_users_or_the_named_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert snapshots.folder(FakeOutside()) == f"{tmp_path}/envfix/snapshots"
    assert snapshots.folder(FakeOutside(environ=STATE)) == "/state/snapshots"
    monkeypatch.chdir(tmp_path)
    there = snapshots.folder(FakeOutside(environ={"ENVFIX_STATE_DIR": "here"}))
    assert there == f"{tmp_path}/here/snapshots"


# -- finding


def find(kept: list[Snapshot], wanted: str, machine: str = "", environment: str = "") -> Snapshot:
    newest_first = sorted(kept, key=lambda one: one.id, reverse=True)
    return snapshots.find(newest_first, wanted, machine, environment, "")


def test_last_is_the_last_that_worked_here() -> None:
    right = taken(2, environment="env")
    others = [
        taken(1, environment="env"),
        taken(3, environment="other"),
        taken(4, environment="env", machine="colab-t4"),
        taken(5, environment="env", worked=False, failed=("device visible",)),
        taken(6, environment="env", worked=None, proof=""),
    ]
    for wanted in ("LAST", "last"):
        assert find([right, *others], wanted, environment="env") == right
    assert find([right, *others], "LAST", "colab-t4", "env") == others[2]
    assert find([right, *others], "LAST") == others[1], "any interpreter where it is not known"


def test_a_proof_on_the_cpu_counts_only_where_there_is_no_other() -> None:
    gpu, cpu = taken(1), taken(2, proof="cpu")
    assert find([gpu, cpu], "LAST") == gpu
    assert find([cpu], "LAST") == cpu


def test_a_date_means_the_last_that_worked_until_its_end() -> None:
    kept = [taken(0), taken(1), taken(1.2), taken(3), taken(2, worked=False)]
    assert find(kept, "2026-11-21") == kept[2]
    assert find(kept, "2026-11-22") == kept[2]
    assert find(kept, "2026-12-31") == kept[3]
    with pytest.raises(InputError, match=r"no install or verification that worked .* up to 2026-11-19"):
        find(kept, "2026-11-19")


def test_an_id_or_its_beginning_means_that_one_whatever_became_of_it() -> None:
    kept = [taken(0, worked=False), taken(1), taken(1.001, machine="x")]
    assert find(kept, kept[0].id) == kept[0]
    assert find(kept, "20261120") == kept[0]
    with pytest.raises(InputError, match="several snapshots have the id `20261121`"):
        find(kept, "20261121")
    for wrong in ("2026", "abc", "yesterday", ""):
        with pytest.raises(InputError, match=f"snapshots? ha(s|ve) the id `{wrong}`") as raised:
            find(kept, wrong)
        assert "LAST" in str(raised.value.hint)


def test_where_nothing_worked_others_are_counted() -> None:
    with pytest.raises(InputError) as raised:
        find([taken(0, machine="colab-t4")], "LAST")
    assert raised.value.message.endswith("for this machine and interpreter (1 of others are)")


def test_on_colab_and_kaggle_it_is_said_that_the_folder_goes() -> None:
    colab = snapshots.losing(FakeOutside(), Platform.COLAB)
    assert "lost with the virtual machine" in colab and "ENVFIX_STATE_DIR=/content/drive/" in colab
    assert "lost with the session" in snapshots.losing(FakeOutside(), Platform.KAGGLE)
    assert snapshots.losing(FakeOutside(environ=STATE), Platform.COLAB) == ""
    assert snapshots.losing(FakeOutside(), Platform.JUPYTER) == ""
    with pytest.raises(InputError) as raised:
        snapshots.find((), "LAST", "", "", colab)
    assert raised.value.hint == colab


# -- comparing

BEFORE = {
    "driver.release": "535.104.05", "image": "a", "python": "3.12", "environment.LD_LIBRARY_PATH": "/x",
    "installed.tensorflow": "2.20.0",
}  # fmt: skip
AFTER = {
    "driver.release": "550.54.15", "python": "3.12", "installed.tensorflow": "2.20.0",
    "installed.torch": "2.6.0", "gpus": "",
}  # fmt: skip


def test_differences_are_told_with_both_sides_and_what_is_the_same() -> None:
    found = since(taken(facts=BEFORE), AFTER)
    assert [(one.fact, one.before, one.after) for one in found.differences] == [
        ("driver.release", "535.104.05", "550.54.15"),
        ("gpus", None, ""),
        ("image", "a", None),
        ("environment.LD_LIBRARY_PATH", "/x", None),
        ("installed.torch", None, "2.6.0"),
    ]
    assert found.unchanged == ("python", "installed.tensorflow")


def test_packages_that_one_side_does_not_know_are_no_differences() -> None:
    bare = {"python": "3.12"}
    assert (
        since(taken(facts=bare), AFTER | bare).differences
        == since(
            taken(facts=bare), {name: value for name, value in AFTER.items() if "installed" not in name}
        ).differences
    )


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_every_fact_is_either_changed_or_not(before: dict[str, str], after: dict[str, str]) -> None:
    found = since(taken(facts=before), after)
    names = [one.fact for one in found.differences] + list(found.unchanged)
    assert len(names) == len(set(names))
    assert set(names) >= {name for name in {*before, *after} if not name.startswith("installed.")}
    assert since(taken(facts=after), after).differences == ()


def report_with(facts: dict[str, str], now: dict[str, str]) -> Report:
    compared = since(taken(facts=facts), now)
    return Report(machine=T4, decision=Decision(candidates=(), recommended=None), plan=None, since=compared)


def test_a_report_says_it_as_text() -> None:
    said = text.result(report_with(BEFORE, AFTER)).splitlines()
    assert said[said.index("best     none: no TensorFlow release fits this machine") + 1 :] == [
        "since    5 of 7 recorded facts have changed "
        "since 2026-11-20 12:00 UTC, when install worked (proof: gpu)",
        "  driver           535.104.05 -> 550.54.15",
        "  GPU              not known -> empty",
        "  image            a -> not known",
        "  LD_LIBRARY_PATH  /x -> not set",
        "  torch            not installed -> 2.6.0",
    ]
    assert "nothing that is recorded has changed since 2026-11-20" in text.result(report_with(AFTER, AFTER))


def test_a_report_says_it_as_json_only_where_it_was_asked() -> None:
    answer = plain_json.loads(json.success("report", report_with(BEFORE, AFTER), 3))["data"]["since"]
    assert answer["changes"][0] == {"fact": "driver.release", "before": "535.104.05", "after": "550.54.15"}
    assert answer["unchanged"] == ["python", "installed.tensorflow"]
    assert (answer["taken"], answer["command"], answer["proof"]) == ("2026-11-20T12:00:00Z", "install", "gpu")
    assert "facts" not in answer
    without = structs.replace(report_with(BEFORE, AFTER), since=None)
    assert "since" not in plain_json.loads(json.success("report", without, 3))["data"]


def test_a_report_says_it_as_markdown() -> None:
    said = markdown.report(report_with({"gpus": "a|b", "python": "3.12"}, {"gpus": "c"}))
    assert "| GPU | a\\|b | c |" in said and "2 of 2 recorded facts" in said
    assert "| what |" not in markdown.report(report_with(AFTER, AFTER))


# -- recording


def options(command: str = "install", **values: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **{"command": command, "machine": None, "format": "text", "since": None} | values
    )


def parts(outside: Outside) -> Parts:
    def nothing(*_: object) -> Any:
        raise AssertionError("nothing is resolved here")

    return Parts(outside=outside, matrix_dir="/matrix", index=nothing, resolver=nothing)


def installed(**values: Any) -> Installed:
    plan = Plan(packages=(), download_bytes=0, installed_bytes=0)
    made = Installed(
        machine=changed(T4, installed={"tensorflow": "2.19.0", "numpy": "2.0.2"}),
        python="/env/bin/python", tensorflow="2.20.0", accelerator="gpu", plan=plan, verification=PASSED,
    )  # fmt: skip
    return structs.replace(made, **values)


def run(outside: Outside, result: object, **values: Any) -> Snapshot | None:
    """What is recorded of a command that came to the result (or raised it)."""

    def command(_: Parts, __: argparse.Namespace) -> tuple[object, int]:
        if isinstance(result, Exception):
            raise result
        return result, 0

    recording.recorded(parts(outside), options(**values), command)
    return next(iter(snapshots.kept(outside)), None)


def test_an_install_that_worked_is_recorded_with_what_it_changed() -> None:
    change = InstallResult(
        python="/env/bin/python", changed=("tensorflow",), before={"tensorflow": "2.19.0"},
        after={"tensorflow": "2.20.0", "nvidia-cudnn-cu12": "9.10.2.21", "numpy": None}, loader="",
    )  # fmt: skip
    found = run(FakeOutside(environ=STATE), installed(result=change))
    assert found is not None
    assert (found.command, found.worked, found.proof, found.failed) == ("install", True, "loader", ())
    assert found.environment == digest("/env/bin/python") and "/env" not in repr(found)
    assert found.facts["installed.tensorflow"] == "2.20.0"
    assert found.facts["installed.nvidia-cudnn-cu12"] == "9.10.2.21"
    assert "installed.numpy" not in found.facts
    assert found.facts["driver.release"] == "550.54.15"


def test_what_failed_or_was_not_verified_is_recorded_as_that() -> None:
    found = run(FakeOutside(environ=STATE), installed(verification=FAILED))
    assert found is not None
    assert (found.worked, found.failed, found.proof) == (False, ("device visible",), "")
    found = run(FakeOutside(environ=STATE), installed(verification=None))
    assert found is not None and found.worked is None


def test_a_verification_is_recorded() -> None:
    proof = structs.replace(PASSED, proof=Proof.GPU)
    found = run(FakeOutside(environ=STATE), Verified(verification=proof, machine=T4), command="verify")
    assert found is not None and (found.command, found.proof) == ("verify", "gpu")


def test_a_dry_run_and_a_report_are_not_recorded() -> None:
    assert run(FakeOutside(environ=STATE), installed(dry_run=True)) is None
    report = Report(machine=T4, decision=Decision(candidates=(), recommended=None), plan=None)
    assert run(FakeOutside(environ=STATE), report, command="report") is None


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (NothingFits("no GPU", data=report_with({}, {})), ("nothing-fits",)),
        (InstallFailed("the network"), ("install-failed",)),
        (InputError("no such file"), None),
        (Interrupted("stopped"), None),
    ],
)
def test_an_error_is_recorded_where_something_was_tried(
    error: EnvfixError, recorded: tuple[str, ...] | None
) -> None:
    outside = FakeOutside(environ=STATE)
    with pytest.raises(type(error)):
        run(outside, error)
    found = next(iter(snapshots.kept(outside)), None)
    assert (found.failed if found else None) == recorded
    if found and error.data:
        assert found.facts["gpus"] == "Tesla T4 (7.5)"
    assert found is None or found.worked is False


def test_a_machine_file_is_recorded_by_a_digest_and_a_name_by_its_name() -> None:
    found = run(FakeOutside(environ=STATE), installed(), machine="/home/alice/box.yaml")
    assert found is not None and re.fullmatch(r"file:[0-9a-f]{12}", found.machine)
    found = run(FakeOutside(environ=STATE), installed(), machine="colab-t4")
    assert found is not None and found.machine == "colab-t4"


def test_on_a_new_colab_machine_it_is_said_once_that_the_record_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    outside = FakeOutside(environ={"COLAB_RELEASE_TAG": "release-colab_1"})
    first = run(outside, installed())
    assert first is not None and first.facts["image"] == "release-colab_1"
    assert len(outside.said) == 1 and "ENVFIX_STATE_DIR=/content/drive" in outside.said[0]
    run(outside, installed())
    assert len(outside.said) == 1


def test_an_install_whose_record_cannot_be_written_still_ends_well() -> None:
    outside = FakeOutside(environ=STATE, read_only=("/",))
    assert run(outside, installed()) is None
    assert "not recorded" in outside.said[-1]


# -- the command


def test_the_command_compares_with_the_last_that_worked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENVFIX_STATE_DIR", str(tmp_path))
    argv = ["report", "--machine", "colab-t4", "--offline"]
    assert cli.main([*argv, "--since", "LAST"]) == 2
    assert "no install or verification that worked is recorded" in capfd.readouterr().err
    facts = {"driver.release": "535.104.05", "python": "3.12"}
    # Where these tests run on the machine's own Python, the report is about this very interpreter.
    environment = digest(sys.executable)
    snapshots.keep(RealOutside(), taken(machine="colab-t4", environment=environment, facts=facts))
    assert cli.main([*argv, "--since", "LAST", "--json"]) == 0
    changes = plain_json.loads(capfd.readouterr().out)["data"]["since"]["changes"]
    assert changes[0] == {"fact": "driver.release", "before": "535.104.05", "after": "550.54.15"}
    for form in ("text", "markdown", "html"):
        assert cli.main([*argv, "--since", "2026-11-20", "--format", form]) == 0
        printed = capfd.readouterr().out
        assert "535.104.05" in printed and "when install worked" in printed


def test_the_command_lists_what_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENVFIX_STATE_DIR", str(tmp_path))
    assert cli.main(["report", "--since", "list"]) == 0
    assert capfd.readouterr().out == f"nothing is recorded in `{tmp_path}/snapshots` so far\n"
    facts = {"driver.release": "550.54.15", "installed.tensorflow": "2.20.0", "gpus": "Tesla T4 (7.5)\n"}
    one, other = taken(0, facts=facts), taken(1, worked=False, failed=("build",), machine="colab-l4")
    for snapshot in (one, other):
        snapshots.keep(RealOutside(), snapshot)
    assert cli.main(["report", "--since", "list"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", other.id, one.id]
    assert re.split(" {2,}", lines[2])[1:] == [
        "2026-11-20 12:00 UTC", "install", "worked (proof: gpu)", "2.20.0", "550.54.15", "Tesla T4 (7.5)",
    ]  # fmt: skip
    assert cli.main(["report", "--since", "list", "--json"]) == 0
    data = plain_json.loads(capfd.readouterr().out)["data"]
    assert data["folder"] == f"{tmp_path}/snapshots"
    assert [item["id"] for item in data["snapshots"]] == [other.id, one.id]
    assert data["snapshots"][1]["facts"] == facts
    assert cli.main(["report", "--since", "list", "--format", "html"]) == 2
