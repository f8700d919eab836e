"""The command line's own contract: exit codes, JSON on usage errors, nothing on stdout but data."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from envfix import commands
from envfix.cli import build_parser, main
from envfix.errors import Interrupted
from envfix.model.results import Installed
from envfix.workflow import NO_PLAN
from tests.fakes import FakeOutside
from tests.values import T4


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "envfix", *argv], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "argv",
    [
        ["instal"],
        ["install", "--accelerator", "tpu"],
        ["report", "--no-such-option"],
        [],
        ["verify", "--timeout", "soon"],
        ["verify", "--timeout", "-1"],
        ["verify", "--timeout", "inf"],
        ["install", "--break-system-packages"],
        ["install", "--lock", "x.toml", "--tf", "2.20"],
        ["report", "--with", "not a requirement at all"],
        ["report", "--tf", "newest"],
    ],
)
def test_usage_errors_exit_2_with_one_sentence_and_no_traceback(argv: list[str]) -> None:
    done = run(*argv)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not done.stderr.splitlines()[0].endswith(".")


def test_usage_errors_speak_json_when_asked() -> None:
    done = run("report", "--accelerator", "tpu", "--json")
    answer = json.loads(done.stdout)
    assert set(answer) == {"envfix", "command", "status", "exit_code", "data", "errors"}
    assert (answer["envfix"], answer["command"], answer["status"], answer["exit_code"]) == (
        1,
        "report",
        "failed",
        2,
    )
    assert done.returncode == 2
    assert "tpu" in answer["errors"][0]["message"]


def test_every_command_has_help() -> None:
    parser = build_parser()
    commands = parser._subparsers._group_actions[0].choices  # type: ignore[union-attr,index]
    assert {"probe", "report", "lock", "install", "verify", "matrix", "machines"} <= set(commands)
    for name in commands:
        done = run(name, "--help")
        assert done.returncode == 0 and name in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, envfix.cli\n"
        "try: envfix.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'packaging', 'msgspec', 'yaml', 'requests', 'rich', 'dataclasses', 'json', 'uv'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_a_bug_is_said_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(options: object) -> object:
        raise ZeroDivisionError("tested")

    monkeypatch.setattr("envfix.cli._run", broken)
    assert main(["probe", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert "bug in envfix" in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    ("stream", "code", "words"),
    [
        ("stdout", 3, "report --machine k80-470 --tf 2.20.0 --offline"),
        ("stdout", 2, "report --no-such-option --json"),
        ("stderr", 2, "report --no-such-option"),
    ],
)
def test_a_reader_that_has_gone_changes_nothing_but_what_is_seen(stream: str, code: int, words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "envfix", *words.split()]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    done = subprocess.run(argv, text=True, timeout=60, **streams)  # type: ignore[call-overload]
    os.close(writer)
    assert done.returncode == code
    assert "Traceback" not in (done.stderr or "") and "Exception ignored" not in (done.stderr or "")


def test_an_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("envfix.cli._run", stopped)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err.startswith("error: interrupted")


def test_no_answer_is_no_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D at the question ends the input without a line."""
    options = build_parser().parse_args(["install"])
    terminal = io.StringIO("")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr", terminal)
    installed = Installed(machine=T4, python="", tensorflow="", accelerator="gpu", plan=NO_PLAN)
    with pytest.raises(Interrupted, match="stopped before the first change"):
        commands._approve(FakeOutside(), installed, options)
