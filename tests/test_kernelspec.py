"""`install --kernel`: an environment and a kernelspec beside the notebook's own, or neither."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from packaging.requirements import Requirement

from envfix import aftercare, cli, isolating, undoing
from envfix.choosing import choose
from envfix.deciding import ranked
from envfix.errors import EnvironmentChanged, InputError
from envfix.install import kernelspec
from envfix.model.machine import Machine
from envfix.model.outcome import Check, PackageMove, Status, Transaction, Verification
from envfix.model.plan import Plan
from envfix.model.request import ANY, InstallOptions, Request
from envfix.model.results import Installed, RolledBack
from envfix.render import text
from envfix.situation import Situation, Where
from tests.environments import TF, UNAIDED, contents
from tests.fakes import FakeOutside
from tests.index_server import IndexServer, build_wheel
from tests.pythons import python_of
from tests.shipped import matrix
from tests.test_circumstances import parts_of
from tests.values import T4, TARGET

LAUNCHER = {"ipykernel/__init__.py": "", "ipykernel_launcher.py": "print('launched')\n"}
PYTHON = "/env/bin/python"
SPEC = "/j/kernels/old-tf/kernel.json"
DONE = Installed(
    machine=Machine(),
    python=PYTHON,
    tensorflow="2.20.0",
    accelerator="gpu",
    plan=Plan(packages=(), download_bytes=0, installed_bytes=0),
)
FAILED = Verification(
    checks=(Check(name="build", status=Status.FAILED, expected="a GPU build", observed="a CPU build"),),
    proof=None,
    python=PYTHON,
)


def place(**more: Any) -> FakeOutside:
    return FakeOutside(environ={"JUPYTER_DATA_DIR": "/j"}, **more)


# -- names and places


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "-x", "a b", "tf.", "Python3", "é", "a" * 65, "a\nb", "a\n"]
)
def test_a_name_that_is_none_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match="kernel") as raised:
        kernelspec.checked_name(name)
    assert "\n" not in raised.value.message and len(raised.value.message) < 150
    assert raised.value.hint


def test_a_name_that_is_too_long_is_told_how_long_it_may_be() -> None:
    with pytest.raises(InputError, match="has 5000 characters, and a kernel's name 64 at most"):
        kernelspec.checked_name("a" * 5000)
    assert kernelspec.checked_name("A" * 64) == "a" * 64


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("my old", "my-old"),
        ("TF 2.16.", "tf-2.16"),
        ("a" * 65, "a" * 64),
        ("é", "tf-2.16"),
        ("python ", "tf-2.16"),
    ],
)
def test_the_hint_is_the_name_made_valid(name: str, near: str) -> None:
    with pytest.raises(InputError) as raised:
        kernelspec.checked_name(name)
    assert raised.value.hint == f"--kernel {near}" and kernelspec.checked_name(near) == near


def test_the_plan_says_what_a_kernel_needs_and_nobody_asked_for() -> None:
    here = Situation(target=structs.replace(TARGET, installed=()), machine=T4, named=True)
    asked = Request(tf=ANY, companions=(Requirement("torch"),))
    request = isolating._with_kernel(asked)
    decision = ranked(here, matrix(), request)
    because = choose(parts_of(place()), here, matrix(), request, decision).wanted.because
    assert (
        because["ipykernel"] == "the Jupyter kernel needs it" and because["torch"] == "asked for with --with"
    )
    named = structs.replace(asked, companions=(Requirement("ipykernel"),))
    assert isolating._with_kernel(named) is named


def test_a_kernel_of_others_is_not_replaced() -> None:
    environ = {"JUPYTER_DATA_DIR": "/j", "JUPYTER_PATH": "/shared"}
    theirs = FakeOutside(files={"/shared/kernels/TF/kernel.json": "{}"}, environ=environ)
    with pytest.raises(InputError, match="`TF` is there already, and not envfix's"):
        kernelspec.refuse_others(theirs, "tf")
    ours = FakeOutside(files={"/j/kernels/tf/kernel.json": '{"metadata": {"envfix": {}}}'}, environ=environ)
    kernelspec.refuse_others(ours, "tf")


@pytest.mark.parametrize("content", ["", '{"argv": [', "[]", b"\xff\xfe"])
def test_a_broken_kernelspec_is_called_broken_and_can_be_removed(content: str | bytes) -> None:
    with pytest.raises(InputError, match="the Jupyter kernel `old-tf` is broken") as raised:
        kernelspec.refuse_others(place(files={SPEC: content}), "old-tf")
    assert raised.value.hint == "remove it: rm -r /j/kernels/old-tf"


@pytest.mark.parametrize(
    ("outside", "words"),
    [
        (place(files={"/j": "a file"}), "`/j` is a file"),
        (place(files={"/j/kernels/old-tf": "a file"}), "`/j/kernels/old-tf` is a file"),
        (place(files={"/j/x": ""}, read_only=("/j",)), "no permission to write in `/j`"),
    ],
)
def test_what_cannot_be_registered_is_refused_before_anything_is_installed(
    outside: FakeOutside, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=words) as raised:
        kernel(outside, monkeypatch)
    assert "JUPYTER_DATA_DIR" in (raised.value.hint or "") and outside.written == {}


def test_a_lock_has_no_kernel_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["install", "--kernel", "old-tf", "--lock", "pylock.envfix.toml"]) == 2
    assert "`--lock` does not go with it" in capfd.readouterr().err


# -- what is registered


def kernel(
    outside: FakeOutside,
    monkeypatch: pytest.MonkeyPatch,
    done: Installed | None = None,
    dry_run: bool = False,
) -> Installed:
    """`install --kernel Old-TF`, whose install ends as `done`; without one, none must begin."""

    def install(parts: Any, request: Request, where: Where, options: InstallOptions) -> Installed:
        assert done is not None, "nothing was to be installed"
        assert [str(one) for one in request.companions] == ["ipykernel>=6"] and where.venv == "/env"
        return done

    monkeypatch.setattr(isolating, "install", install)
    how = InstallOptions(approve=lambda installed: None, dry_run=dry_run)
    where = Where(venv="/env", python="/usr/bin/python3")
    return isolating.install_kernel(parts_of(outside), Request(tf=ANY), where, how, "Old-TF")


def shown(outside: FakeOutside) -> str:
    return str(json.loads(outside.read_text(SPEC))["display_name"])


def test_an_install_that_ended_well_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = place()
    done = kernel(outside, monkeypatch, DONE)
    assert done.kernelspec is not None and done.kernelspec.path == "/j/kernels/old-tf"
    spec = json.loads(outside.written.pop(SPEC))
    assert spec["argv"] == [PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert spec["display_name"] == "TensorFlow 2.20.0 (old-tf)" and spec["env"] == {"PYTHONPATH": ""}
    kernel(outside, monkeypatch, DONE)
    assert outside.written == {}, "the same is not written again"


def test_a_dry_run_registers_nothing_and_says_what_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = place()
    done = kernel(outside, monkeypatch, structs.replace(DONE, dry_run=True), dry_run=True)
    assert outside.written == {} and "would be registered in /j/kernels/old-tf" in text.result(done)


def test_a_verification_that_failed_registers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = place()
    done = kernel(outside, monkeypatch, structs.replace(DONE, verification=FAILED))
    assert done.exit_code == 6 and done.kernelspec is None and outside.written == {}
    said = text.result(done)
    assert "the kernel `old-tf` was not registered" in said and "is registered in" not in said


def test_a_kernel_from_before_whose_new_release_fails_names_that_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outside = place()
    kernel(outside, monkeypatch, DONE)
    moved = structs.replace(DONE, tensorflow="2.21.0", verification=FAILED)
    done = kernel(outside, monkeypatch, moved)
    assert done.exit_code == 6 and shown(outside) == "TensorFlow 2.21.0 (old-tf)"
    assert (
        "the kernel `old-tf` stays registered from before, and its environment is not proven"
        in text.result(done)
    )


def test_a_kernelspec_that_cannot_be_written_after_all_leaves_the_environment_and_says_what_to_run() -> None:
    outside = place(read_only=("/j",))
    with pytest.raises(EnvironmentChanged, match=r"its environment is there: `/env/bin/python`") as raised:
        kernelspec.register(outside, "old-tf", PYTHON, "2.20.0")
    assert raised.value.exit_code == 5 and "envfix install --kernel old-tf" in (raised.value.hint or "")


# -- what a rollback makes of it


def move(name: str, before: str | None, after: str | None) -> PackageMove:
    return PackageMove(name=name, before=before, after=after)


def with_kernel(**specs: Mapping[str, Any]) -> FakeOutside:
    """The kernel `old-tf` for PYTHON with TensorFlow 2.21.0, and others."""
    outside = place()
    kernelspec.register(outside, "old-tf", PYTHON, "2.21.0")
    for name, spec in specs.items():
        outside.files[f"/j/kernels/{name}/kernel.json"] = json.dumps(spec)
    return outside


@pytest.mark.parametrize(
    ("undone", "there"),
    [
        ([move("tensorflow", "2.20.0", "2.21.0")], "TensorFlow 2.20.0 (old-tf)"),
        ([move("numpy", "2.0", "2.1")], "TensorFlow 2.21.0 (old-tf)"),
        ([move("tensorflow", None, "2.21.0"), move("ipykernel", None, "7.0")], None),
        ([move("tensorflow", "2.20.0", "2.21.0"), move("ipykernel", None, "7.0")], None),
        ([move("tensorflow-cpu", None, "2.21.0")], None),
        ([move("ipykernel", "6.0", "7.0")], "TensorFlow 2.21.0 (old-tf)"),
    ],
)
def test_a_kernel_follows_what_was_taken_back(undone: list[PackageMove], there: str | None) -> None:
    other = {"display_name": "x", "metadata": {"envfix": {"python": "/other/bin/python"}}}
    outside = with_kernel(other=other, theirs={"argv": [PYTHON]})
    before = {name: text for name, text in outside.files.items() if "old-tf" not in name}
    changes = kernelspec.follow(outside, PYTHON, undone)
    assert outside.exists(SPEC) is (there is not None)
    if there is not None:
        assert shown(outside) == there
    assert [one.display_name for one in changes] == ([] if there == "TensorFlow 2.21.0 (old-tf)" else [there])
    assert {name: text for name, text in outside.files.items() if "old-tf" not in name} == before


def test_a_name_that_the_user_has_given_and_files_of_others_stay() -> None:
    outside = with_kernel()
    spec = json.loads(outside.read_text(SPEC)) | {"display_name": "mine"}
    outside.files |= {SPEC: json.dumps(spec), "/j/kernels/old-tf/logo.svg": ""}
    assert kernelspec.follow(outside, PYTHON, [move("tensorflow", "2.20.0", "2.21.0")]) == ()
    assert shown(outside) == "mine"
    kernelspec.follow(outside, PYTHON, [move("tensorflow", None, "2.21.0")])
    assert not outside.exists(SPEC) and outside.exists("/j/kernels/old-tf/logo.svg")


def test_a_kernel_follows_an_install_into_its_environment() -> None:
    outside = with_kernel()
    parts, mine = (
        parts_of(outside),
        json.dumps(json.loads(outside.read_text(SPEC)) | {"display_name": "mine"}),
    )
    outside.files["/j/kernels/mine/kernel.json"] = mine
    (change,) = aftercare.renamed_kernels(parts, PYTHON, "2.17.1")
    assert shown(outside) == change.display_name == "TensorFlow 2.17.1 (old-tf)"
    assert outside.files["/j/kernels/mine/kernel.json"] == mine, "a name that the user has given stays"
    assert aftercare.renamed_kernels(parts, PYTHON, "2.17.1") == ()
    done = structs.replace(DONE, kernelspecs=(change,))
    assert "kernel   `old-tf` is called `TensorFlow 2.17.1 (old-tf)` now" in text.result(done)
    outside.read_only = ("/j",)
    assert aftercare.renamed_kernels(parts, PYTHON, "2.18.0") == ()
    assert outside.said[-1].startswith("warning: a Jupyter kernel still names what is gone: ")


def test_a_rollback_says_what_became_of_the_kernel() -> None:
    removed, renamed = (
        text.result(
            RolledBack(
                python=PYTHON,
                transaction=Transaction(id="1", date="2026-11-23", packages=(), kept_bytes=0),
                kernelspecs=kernelspec.follow(with_kernel(), PYTHON, [move("tensorflow", before, "2.21.0")]),
            )
        )
        for before in (None, "2.20.0")
    )
    assert "kernel   `old-tf` is no kernel any more: its environment has lost what it needs" in removed
    assert "kernel   `old-tf` is called `TensorFlow 2.20.0 (old-tf)` again" in renamed


def test_a_kernelspec_that_cannot_follow_costs_a_warning_and_not_the_rollback() -> None:
    outside = with_kernel()
    outside.read_only = ("/j",)
    gone = Transaction(id="1", date="x", packages=(move("tensorflow", "2.20.0", "2.21.0"),), kept_bytes=0)
    assert undoing._followed(parts_of(outside), RolledBack(python=PYTHON, transaction=gone)) == ()
    assert outside.said == [
        f"warning: a Jupyter kernel still names what is gone: `{SPEC[:-12]}`: Permission denied"
    ]


@pytest.mark.parametrize("prefix", ["/data/envfix/kernels/old-tf", "/home/u/mine"])
def test_only_an_environment_that_envfix_has_placed_is_told_to_be_removed(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    target = structs.replace(TARGET, executable=PYTHON, prefix=prefix)
    with pytest.raises(InputError, match="envfix has changed nothing") as refused:
        undoing._undoable(parts_of(with_kernel()), target, None)
    assert ("rm -r" in (refused.value.hint or "")) is (prefix != "/home/u/mine")


# -- the command line, with environments that are really made


@pytest.fixture
def command(envfix: Any, index: IndexServer, tmp_path: Path) -> Any:
    index.add(build_wheel("ipykernel", "6.29.5", modules=LAUNCHER))
    places = {"XDG_DATA_HOME": str(tmp_path / "data"), "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
    return lambda *argv, **extra: envfix(*argv, **{**places, **extra})


INSTALL = ("install", "--machine", "colab-t4", "--kernel", "Old-TF", "--yes", "--json")


@pytest.mark.live
def test_a_kernel_is_made_once_follows_a_rollback_and_goes_as_one(command: Any, tmp_path: Path) -> None:
    place, venv = tmp_path / "jupyter/kernels/old-tf", tmp_path / "data/envfix/kernels/old-tf"
    dry = command(*INSTALL, "--tf", TF, "--dry-run")
    spec = {"name": "old-tf", "path": str(place)}
    assert json.loads(dry.stdout)["data"]["kernelspec"] == spec
    assert not place.exists() and not venv.exists()

    done = command(*INSTALL, "--no-verify", "--tf", TF)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["kernelspec"] == spec and data["python"] == str(venv / "bin/python")
    assert {one["name"] for one in data["plan"]["packages"]} >= {"ipykernel", "tensorflow"}
    argv = json.loads((place / "kernel.json").read_text())["argv"]
    assert subprocess.run(argv, capture_output=True, text=True).stdout == "launched\n"

    before = contents(place), contents(venv)
    again = command(*INSTALL, "--no-verify")
    assert json.loads(again.stdout)["data"]["changed"] == []
    assert (contents(place), contents(venv)) == before

    whole = command("rollback", "--venv", str(venv), "--yes")
    assert whole.returncode == 2 and "jupyter kernelspec remove old-tf && rm -r" in whole.stderr
    assert command(*INSTALL, "--no-verify", "--tf", UNAIDED).returncode == 0
    assert UNAIDED in (place / "kernel.json").read_text()
    back = command("rollback", "1", "--venv", str(venv), "--yes", "--json")
    renamed = spec | {"display_name": f"TensorFlow {TF} (old-tf)"}
    assert json.loads(back.stdout)["data"]["kernelspecs"] == [renamed]
    assert json.loads((place / "kernel.json").read_text())["display_name"] == renamed["display_name"]

    into = ("install", *INSTALL[1:3], "--python", str(venv / "bin/python"), "--no-verify", *INSTALL[5:])
    there = command(*into, "--tf", UNAIDED)
    renamed["display_name"] = f"TensorFlow {UNAIDED} (old-tf)"
    assert json.loads(there.stdout)["data"]["kernelspecs"] == [renamed]
    assert json.loads((place / "kernel.json").read_text())["display_name"] == renamed["display_name"]


@pytest.mark.live
def test_a_kernel_in_an_environment_that_was_there_is_removed_by_the_rollback(
    command: Any, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "mine"], check=True)
    argv = (*INSTALL, "--no-verify", "--tf", TF, "--venv", "mine")
    assert command(*argv).returncode == 0 and (tmp_path / "jupyter/kernels/old-tf").is_dir()
    back = command("rollback", "--venv", "mine", "--yes")
    assert back.returncode == 0 and "`old-tf` is no kernel any more" in back.stdout
    assert not (tmp_path / "jupyter/kernels/old-tf").exists()


@pytest.mark.live
def test_a_failed_install_or_verification_registers_nothing(
    command: Any, index: IndexServer, tmp_path: Path
) -> None:
    """TensorFlow of these tests is empty, and so proves nothing."""
    failed = command(*INSTALL, "--tf", TF)
    assert failed.returncode == 6, failed.stderr
    data = json.loads(failed.stdout)["data"]
    assert "kernelspec" not in data and "the kernel `old-tf` was not registered" in data["notes"]
    assert not (tmp_path / "jupyter").exists()
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "uv-cache")

    wheel = next(name for name in index.wheels if name.startswith("ipykernel"))
    index.lies[wheel] = "0" * 64
    done = command(*INSTALL, "--no-verify", "--tf", TF)
    assert done.returncode == 4, done.stdout
    assert not (tmp_path / "jupyter").exists() and not (tmp_path / "data/envfix/kernels/old-tf").exists()


@pytest.mark.live
def test_another_python_is_taken_where_no_release_fits_this_one(command: Any) -> None:
    """TensorFlow 2.10 has wheels for Python 3.7 to 3.10; the newest of them that is here is taken."""
    argv = (*INSTALL, "--tf", "2.10.1", "--dry-run", "--offline")
    if sys.version_info[:2] <= (3, 10):
        assert "is taken" not in command(*argv).stderr
        return
    there = python_of("3.10")
    path = f"{Path(there).parent}{os.pathsep}{os.environ['PATH']}"
    said = command(*argv, PATH=path).stderr
    assert re.search(r"`\S*3\.10\S*` is taken: no release that is asked for fits this Python", said), said
