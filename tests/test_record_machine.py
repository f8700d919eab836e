"""The recorder: what it writes can be named with --machine, and holds nothing private."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path
from types import ModuleType

import pytest

from envfix.model.machine import known
from envfix.probe.machine_file import load_machine
from envfix.system.outside import RealOutside
from tests.scripted import load_script


@pytest.fixture(scope="module")
def recorder() -> ModuleType:
    return load_script("record_machine")


def test_what_is_recorded_is_a_machine(recorder: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert recorder.main([str(path), "--transcripts", str(tmp_path / "raw"), "--evidence"]) == 0
    machine = load_machine(RealOutside(), str(path), "/shipped")
    assert machine.name == "mine" and machine.platform and known(machine.evidence, ())
    assert not known(machine.installed, {}) and not known(machine.environment, {})
    assert (tmp_path / "raw" / "proc_cpuinfo.txt").read_text()


def test_what_cannot_be_written_is_one_sentence(
    recorder: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recorder.main([str(tmp_path / "no" / "folder" / "mine.yaml")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("GPU UUID: GPU-9e3b2c1a-1111-2222-3333-0123456789ab", "9e3b2c1a"),
        ("MIG-9e3b2c1a-1111-2222-3333-0123456789ab", "0123456789ab"),
        ("Serial Number : 1322620123456", "1322620123456"),
        ("serial: abc123", "abc123"),
        ("link/ether de:ad:be:ef:00:01", "de:ad:be"),
        ("0::/docker/" + "3b5e7c9d" * 8, "3b5e7c9d"),
    ],
)
def test_identifiers_are_taken_out(recorder: ModuleType, text: str, gone: str) -> None:
    assert gone not in recorder.redacted(text)


def test_the_names_of_machine_and_user_are_taken_out(
    recorder: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "secrethost")
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: Path("/home/jane")))
    text = recorder.redacted("/home/jane/env on secrethost by jane; janeiro and secrethost.py stay")
    assert text == "/home/user/env on host by user; janeiro and secrethost.py stay"


def test_what_a_probe_needs_stays(recorder: ModuleType) -> None:
    row = "|   0  Tesla T4  Off | 00000000:00:04.0 Off |\n0, Tesla T4, 535.104.05, 15360, 7.5\n"
    assert recorder.redacted(row) == row
