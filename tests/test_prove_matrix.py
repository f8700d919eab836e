"""The script that proves the matrix: what it takes up, what it keeps, and the disk it leaves free."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from msgspec import UNSET, structs
from packaging.version import Version

from envfix.lock.pylock import render_pylock
from envfix.matrix import load
from envfix.matrix.proofs import table
from envfix.model.matrix import LoaderProof, MinimalProof, Spared
from envfix.model.release import Absence
from envfix.model.versions import ComputeCapability, PythonRelease
from envfix.ports import Ran
from envfix.reading import convert, parse_yaml
from envfix.verify import transcript
from tests import shipped
from tests.scripted import load_script
from tests.test_lock import LOCK

PROOF = LoaderProof(
    date="2026-12-01",
    python=PythonRelease("3.12"),
    registers_as_published=False,
    registers_with_envfix=True,
    pins="ab" * 32,
    missing_as_published=("libcusolver.so.11",),
    missing_with_envfix=(),
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("prove_matrix")


def room() -> ModuleType:
    return sys.modules["proof_room"]


def jobs() -> ModuleType:
    return sys.modules["proof_jobs"]


def runs() -> ModuleType:
    return sys.modules["proof_runs"]


def asked(script: ModuleType, *versions: str, every: bool = False) -> list[tuple[str, str]]:
    pythons = tuple(map(PythonRelease, ("3.10", "3.12")))
    pairs = jobs()._asked(shipped.matrix().releases, versions, pythons, every)
    return [(str(row.version), str(python)) for row, python in pairs]


def test_versions_are_taken_in_the_order_they_are_named(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(script, "2.8.0", "2.20.0") == [("2.8.0", "3.10"), ("2.20.0", "3.12")]
    assert asked(script, "2.20.0", every=True) == [("2.20.0", "3.12"), ("2.20.0", "3.10")]
    assert asked(script, "2.6.0") == [] and "none of the given Pythons" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"tensorflow 9\.9 is not in the matrix"):
        asked(script, "9.9")


def test_without_versions_every_release_that_is_to_be_proven_is_taken(script: ModuleType) -> None:
    found = asked(script)
    assert found[:2] == [("2.21.0", "3.12"), ("2.21.0", "3.10")] and found[-1] == ("2.8.0", "3.10")


def test_a_proof_is_written_into_its_row_and_into_the_table(script: ModuleType, tmp_path: Path) -> None:
    for name in ("tensorflow.yaml", "README.md"):
        shutil.copy(Path(load.matrix_dir()) / name, tmp_path)
    row = next(row for row in shipped.matrix().releases if row.version == Version("2.21.0"))
    script._keep(tmp_path, row, PROOF)
    text = (tmp_path / "tensorflow.yaml").read_text()
    kept = convert(parse_yaml(text, "tensorflow.yaml"), load.ReleaseTable, "tensorflow.yaml").releases
    (proven,) = (one for one in kept if one.version == row.version)
    assert PROOF in proven.proofs and len(proven.proofs) == len(row.proofs)
    assert table(kept) in (tmp_path / "README.md").read_text()
    assert [one for one in kept if one.key != row.key] == [
        one for one in shipped.whole().releases if one.key != row.key
    ]


def test_what_can_be_left_out_is_written_into_its_row(script: ModuleType, tmp_path: Path) -> None:
    from prove_minimal import _keep  # type: ignore[import-not-found]

    shutil.copy(Path(load.matrix_dir()) / "tensorflow.yaml", tmp_path)
    spared = (Spared(name="nvidia-nccl-cu12", how=Absence.BUILT_IN, evidence="it answers"),)
    capability, python = ComputeCapability("8.9"), PythonRelease("3.12")
    proof = MinimalProof(date="2026-12-01", python=python, gpu=capability, pins="ab" * 32, spared=spared)
    row = next(row for row in shipped.whole().releases if row.version == Version("2.21.0"))
    _keep(tmp_path, row, proof)
    kept = {one.key: one for one in script.release_table(tmp_path).releases}
    assert kept.pop(row.key) == structs.replace(row, minimal=proof)
    assert kept == {one.key: one for one in shipped.whole().releases if one.key != row.key}


def test_a_large_cache_is_emptied_and_a_small_one_kept(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room(), "FREE_LIMIT", 0)
    wheel = tmp_path / "uv" / "wheels" / "one"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"x" * 1_000_000)
    wheel.with_name("two").hardlink_to(wheel)
    # Two names of one file are one file.
    assert 1_000_000 <= room().size_on_disk(tmp_path) < 1_100_000
    room().make_room(tmp_path, 2_000_000)
    assert wheel.exists()
    room().make_room(tmp_path, 500_000)
    assert not (tmp_path / "uv").exists()


def test_a_disk_that_is_too_small_ends_the_run_before_anything_is_installed(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room(), "FREE_LIMIT", 1 << 60)
    with pytest.raises(SystemExit, match=r"needs \d+ GB free in"):
        room().make_room(tmp_path, 0)


def test_the_lock_is_of_the_new_environment_and_not_of_what_the_interpreter_has(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of the interpreter's own would stay as it is in its lock, and not be in the environment."""
    asked: list[tuple[str, ...]] = []

    def envfix(cache: Path, *argv: str) -> dict[str, object]:
        asked.append(argv)
        if argv[0] == "install":
            raise script.NotInstalled("no disk")
        Path(argv[argv.index("-o") + 1]).write_text(render_pylock(LOCK))
        return {}

    monkeypatch.setattr(script, "run_envfix", envfix)
    row = next(row for row in shipped.matrix().releases if str(row.version) == "2.20.0")
    job = script.Job(row, PythonRelease("3.12"), sys.executable)
    with pytest.raises(script.NotInstalled, match="no disk"):
        script.prove(job, script.described_machine("colab-t4"), tmp_path, True)
    venvs = [argv[argv.index("--venv") + 1] for argv in asked]
    assert [argv[0] for argv in asked] == ["lock", "install"]
    assert len(set(venvs)) == 1 and venvs[0].startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_environment_other_than_the_lock_is_no_proof(script: ModuleType) -> None:
    held = importlib.metadata.version("packaging")
    script._require_installed(sys.executable, {"packaging": held})
    for pins in ({"packaging": "0.1"}, {"no-such-package": "1.0"}):
        with pytest.raises(script.NotInstalled, match="the lock holds"):
            script._require_installed(sys.executable, pins)


def test_a_crash_or_a_hang_is_no_proof(script: ModuleType) -> None:
    def answer(doing: str | None, done: dict[str, dict[str, str]] | None = None) -> str:
        told = {"mode": "loader", "libraries": {}, "done": done or {}, "doing": doing}
        return f"{transcript.MARK}{json.dumps(told)}\n"

    log = "Could not load dynamic library 'libcudnn.so.8'; dlerror: libcudnn.so.8: not there\n"
    assert runs()._missing(Ran((), 0, answer(None), log), True) == ("libcudnn.so.8",)
    raised = answer(None, {"import": {"error": "ImportError: numpy\nmore"}})
    ends = {
        Ran((), -11, answer("devices"), log): r"with library discovery ended at `devices` with SIGSEGV",
        Ran((), -11, answer(None), log): "SIGSEGV",  # at the very end
        Ran((), None, answer("import"), "", timed_out=True, error="timed out after 300 s"): "it hung",
        Ran((), 0, raised, ""): "`import` raised ImportError: numpy",
        Ran((), 0, "", ""): "ended with exit 0",
    }
    for ran, said in ends.items():
        with pytest.raises(script.NotProven, match=said):
            runs()._missing(ran, True)


def test_what_did_not_come_to_its_end_is_counted_and_not_written(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crashed(*arguments: object) -> None:
        raise script.NotProven("TensorFlow ended with SIGSEGV")

    shutil.copytree(load.matrix_dir(), tmp_path / "matrix")
    before = (tmp_path / "matrix/tensorflow.yaml").read_bytes()
    python = sys.executable
    monkeypatch.setattr(script, "prove", crashed)
    monkeypatch.setattr(jobs(), "_feature", lambda path: PythonRelease("3.12"))
    monkeypatch.setattr(room(), "FREE_LIMIT", 0)
    folders = ["--matrix", str(tmp_path / "matrix"), "--cache", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", ["prove_matrix.py", "2.20.0", "--python", python, *folders])
    assert script.main() == 1
    assert "nothing recorded: TensorFlow ended with SIGSEGV" in capsys.readouterr().err
    assert (tmp_path / "matrix/tensorflow.yaml").read_bytes() == before


def test_the_interpreter_decides_and_not_the_machine(script: ModuleType) -> None:
    machine = script.described_machine("colab-t4")
    assert machine.python is UNSET and machine.glibc is UNSET and machine.gpus
    assert jobs()._feature(sys.executable) == PythonRelease(".".join(map(str, sys.version_info[:2])))


def test_what_is_said_names_the_missing_libraries(script: ModuleType) -> None:
    assert script._said(PROOF) == ("as published no GPU (missing: libcusolver.so.11), with envfix registers")
    assert "NO GPU" in script._said(structs.replace(PROOF, registers_with_envfix=False))
