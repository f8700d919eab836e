"""From the command line: what was changed is listed and undone, and a killed envfix is cleaned up after."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import uv

from envfix.install.making import MARK
from tests.environments import TF, UNAIDED, install
from tests.index_server import IndexServer, build_wheel
from tests.rooms import HOME, tree

# Runs the envfix that is named behind it, and kills it as soon as the installer has ended.
KILLER = """
import os, signal, sys
from envfix.system.outside import RealOutside
real = RealOutside.run
def run(self, argv, **more):
    ran = real(self, argv, **more)
    if "pip" in argv and "install" in argv and "--target" not in argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return ran
RealOutside.run = run
from envfix.cli import main
sys.exit(main(sys.argv[4:]))
"""
KILLED = [sys.executable, "-c", KILLER]

# Kills envfix when the journal says that all was checked, and only the end is missing.
KILLED_AT_THE_END = """
import os, signal, sys
from envfix.install.transaction import journal
real = journal.write
def write(outside, folder, entry):
    real(outside, folder, entry)
    if entry.state is journal.State.CHECKED:
        os.kill(os.getpid(), signal.SIGKILL)
journal.write = write
from envfix.cli import main
sys.exit(main(sys.argv[4:]))
"""

# What envfix needs, and what that needs.
NEEDED = (
    "msgspec", "packaging", "platformdirs", "pypi-simple", "PyYAML", "remotezip", "requests", "tomli-w",
    "urllib3", "idna", "certifi", "charset-normalizer", "beautifulsoup4", "soupsieve", "mailbits",
    "typing-extensions", "attrs", "pydantic", "pydantic-core", "annotated-types", "typing-inspection",
)  # fmt: skip


def answer(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    whole: dict[str, Any] = json.loads(done.stdout)
    return whole


def test_an_install_that_keeps_everything_names_no_transaction(
    envfix: Any, standing: Callable[[str], Path]
) -> None:
    standing(TF)
    assert answer(envfix(*install("--tf", TF)))["data"]["transaction"] is None


def test_a_record_that_cannot_be_read_is_only_said_by_what_reads(
    envfix: Any, standing: Callable[[str], Path]
) -> None:
    site = standing(TF)
    (site / HOME / "1").mkdir(parents=True)
    (site / HOME / "1/journal.json").write_text("{")
    before = tree(site)
    at = ["--machine", "colab-t4", "--venv", "demo", "--json"]
    reads = [
        envfix("report", "--offline", *at),
        envfix("lock", "--tf", TF, "-o", "pylock.envfix.toml", "--requirements", "locked.txt", *at),
        envfix("verify", "--accelerator", "cpu", "--json", "--venv", "demo"),
    ]
    for done in reads:
        assert done.returncode != 5 and "its record cannot be read" in done.stderr, done.stderr
    assert answer(envfix(*install("--tf", UNAIDED)), 5)["errors"]
    assert tree(site) == before


def test_an_install_is_listed_and_undone(
    envfix: Any, standing: Callable[[str], Path], index: IndexServer, tmp_path: Path
) -> None:
    standing(TF)
    before = tree(tmp_path / "demo")
    argv = ["rollback", "--venv", "demo", "--json"]
    assert answer(envfix(*argv, "--list"))["data"]["transactions"] == []
    assert "nothing" in answer(envfix(*argv), 2)["errors"][0]["message"]
    done = envfix(*install("--tf", UNAIDED))
    data = answer(done)["data"]
    assert data["changed"] and data["transaction"] == "1"
    after = tree(tmp_path / "demo", ("__pycache__",))
    (one,) = answer(envfix(*argv, "--list"))["data"]["transactions"]
    assert one["id"] == "1" and one["kept_bytes"] > 0
    assert {"name": "tensorflow", "before": TF, "after": UNAIDED} in one["packages"]
    assert "7" in answer(envfix(*argv, "7"), 2)["errors"][0]["message"]
    assert tree(tmp_path / "demo", ("__pycache__",)) == after
    index.asked.clear()
    undone = answer(envfix(*argv, "1"))["data"]
    assert undone["transaction"] == one and undone["restart"]["needed"] is False
    assert tree(tmp_path / "demo") == before and index.asked == []
    assert not list((tmp_path / "demo").rglob(HOME))


def test_what_a_killed_install_left_is_said_by_who_only_looks_and_put_back_by_who_works(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    standing(TF)
    before = tree(tmp_path / "demo")
    assert envfix(*install("--tf", UNAIDED), under=KILLED).returncode == -9
    left = tree(tmp_path / "demo", ())
    assert tree(tmp_path / "demo") != before
    look = envfix("report", "--venv", "demo", "--machine", "colab-t4", "--offline", "--json")
    assert answer(look) and "did not finish; to put it back: envfix rollback --python" in look.stderr
    dry = envfix(*install("--dry-run"))
    assert answer(dry) and "did not finish; to put it back: envfix rollback --python" in dry.stderr
    assert tree(tmp_path / "demo", ()) == left
    shutil.copytree(tmp_path / "demo", tmp_path / "copy", symlinks=True)
    done = envfix("rollback", "--venv", "demo", "--json")
    assert answer(done)["data"]["transaction"]["id"] == "1"
    assert "was put back: the environment is as it was before" in done.stderr
    assert tree(tmp_path / "demo") == before
    shutil.rmtree(tmp_path / "demo")
    shutil.move(tmp_path / "copy", tmp_path / "demo")
    done = envfix(*install())
    assert answer(done)["data"]["changed"] == []
    assert done.stderr.count("was put back") == 1
    assert tree(tmp_path / "demo") == before


@pytest.mark.slow
def test_a_new_environment_whose_maker_was_killed_is_made_anew(envfix: Any, tmp_path: Path) -> None:
    argv = ["--venv", "deep/demo"]
    made = [word if word != "demo" else "deep/demo" for word in install("--tf", TF)]
    assert envfix(*made, under=KILLED).returncode == -9
    assert (tmp_path / "deep/demo" / MARK).is_dir()
    refused = answer(envfix("verify", *argv, "--machine", "colab-t4", "--json"), 2)
    assert "was not finished" in refused["errors"][0]["message"]
    look = envfix("report", *argv, "--machine", "colab-t4", "--offline", "--json")
    assert answer(look) and "was not finished" in look.stderr
    done = envfix(*made)
    assert answer(done)["data"]["tensorflow"] == TF
    assert "was removed: it is made anew" in done.stderr
    assert not list((tmp_path / "deep").rglob(".envfix*"))


def test_a_copy_of_what_was_never_finished_is_not_removed(envfix: Any, tmp_path: Path) -> None:
    assert envfix(*install("--tf", TF), under=KILLED).returncode == -9
    shutil.move(tmp_path / "demo", tmp_path / "moved")
    before = tree(tmp_path / "moved", ())
    argv = [word if word != "demo" else "moved" for word in install("--tf", TF)]
    assert "is a copy of" in answer(envfix(*argv), 2)["errors"][0]["message"]
    assert tree(tmp_path / "moved", ()) == before


@pytest.fixture
def inside(envfix: Any, index: IndexServer, tmp_path: Path) -> Callable[..., Any]:
    """envfix run by the interpreter of an environment that holds what it needs, and that it may change."""
    for name in ("packaging", "msgspec"):
        index.add(build_wheel(name, "99.0", modules={f"{name}/__init__.py": "raise ImportError('junk')\n"}))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    (site,) = (tmp_path / "own").glob("lib/python*/site-packages")
    for name in NEEDED:
        copy(name, site)
    root = Path(__file__).parent.parent

    def run(*argv: str, under: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        python = str(tmp_path / "own/bin/python")
        start = [python, "-c", KILLER, "-", "-"] if under else [python, "-m"]
        environ = {"PYTHONPATH": str(root), "PATH": f"{Path(uv.find_uv_bin()).parent}:{os.environ['PATH']}"}
        # `runner` starts the interpreter of the tests behind `under`: it only hands its environment on.
        hand = "import os, sys; a = sys.argv[1:]; at = a.index('!'); os.execv(a[0], a[:at] + a[at + 4 :])"
        return envfix("envfix", *argv, under=[sys.executable, "-c", hand, *start, "!"], **environ)

    return run


def copy(name: str, site: Path) -> None:
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        source, goal = Path(str(file.locate())), site / file
        if ".." not in file.parts and source.exists():
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, goal)


@pytest.mark.slow
def test_envfix_outlives_a_change_of_the_packages_that_it_needs_itself(inside: Any, tmp_path: Path) -> None:
    python = str(tmp_path / "own/bin/python")
    before = tree(tmp_path / "own")
    argv = ["install", "--machine", "colab-t4", "--python", python, "--yes", "--no-verify", "--json"]
    argv += ["--tf", TF, "--with", "packaging==99.0", "--with", "msgspec==99.0"]
    assert inside(*argv, under=KILLED).returncode == -9
    assert tree(tmp_path / "own") != before
    look = inside("report", "--machine", "colab-t4", "--offline", "--json")
    assert "envfix rollback" in answer(look, 5)["errors"][0]["hint"]
    assert answer(inside("rollback", "--python", python, "--json"))["data"]["transaction"]["id"] == "1"
    assert tree(tmp_path / "own") == before
    done = answer(inside(*argv))["data"]
    assert {"packaging", "msgspec", "tensorflow"} <= set(done["changed"])


@pytest.mark.slow
def test_what_was_complete_but_for_its_end_is_undone_when_that_is_asked_for(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    standing(TF)
    before = tree(tmp_path / "demo")
    envfix(*install("--tf", UNAIDED), under=[sys.executable, "-c", KILLED_AT_THE_END])
    assert tree(tmp_path / "demo") != before
    listed = envfix("rollback", "--venv", "demo", "--list")
    assert listed.returncode == 0, listed.stderr
    undone = answer(envfix("rollback", "--venv", "demo", "--yes", "--json"))
    assert undone["data"]["transaction"]["id"] == "1"
    assert tree(tmp_path / "demo") == before


@pytest.mark.slow
def test_a_copy_of_an_environment_never_changes_the_one_it_was_copied_from(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    """What is kept names its files by their absolute paths."""
    standing(TF)
    assert answer(envfix(*install("--tf", UNAIDED)))["data"]["changed"]
    shutil.copytree(tmp_path / "demo", tmp_path / "copy", symlinks=True)
    before = tree(tmp_path / "demo"), tree(tmp_path / "copy")
    refused = answer(envfix("rollback", "--venv", "copy", "--yes", "--json"), 2)
    assert "the environment was copied or moved since" in refused["errors"][0]["message"]
    assert refused["errors"][0]["hint"].endswith(f"/{HOME}")
    listed = envfix("rollback", "--venv", "copy", "--list")
    assert listed.returncode == 0 and "warning: transaction 1 cannot be rolled back" in listed.stderr
    assert "cannot be rolled back" not in envfix("rollback", "--venv", "demo", "--list").stderr
    assert (tree(tmp_path / "demo"), tree(tmp_path / "copy")) == before


@pytest.mark.slow
def test_a_copy_that_was_taken_half_way_says_what_it_is(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    standing(TF)
    assert envfix(*install("--tf", UNAIDED), under=KILLED).returncode == -9
    shutil.copytree(tmp_path / "demo", tmp_path / "copy", symlinks=True)
    before = tree(tmp_path / "demo")
    refused = answer(envfix("rollback", "--venv", "copy", "--yes", "--json"), 5)
    assert "the environment was copied or moved since" in refused["errors"][0]["message"]
    assert tree(tmp_path / "demo") == before
