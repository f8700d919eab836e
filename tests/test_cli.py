"""The command line's own contract: exit codes, JSON on usage errors, nothing on stdout but data."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from envfix.cli import main
from envfix.commands import COMMANDS, WRITING, asking, command, installing
from envfix.errors import InputError, Interrupted
from envfix.installing import NO_PLAN
from envfix.model.plan import Plan
from envfix.model.results import Installed
from envfix.options import build_parser
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


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("machines", 2),
        ("machines --json", 2),
        ("--help", 2),
        ("install --help", 2),
        ("--version", 2),
        # What the command came to weighs more than that it could not be printed.
        ("report --machine k80-470 --tf 2.20.0 --offline", 3),
        ("report --no-such-option --json", 2),
    ],
)
def test_a_result_that_cannot_be_written_is_said_in_one_sentence(words: str, code: int) -> None:
    with Path("/dev/full").open("w") as full:
        argv = [sys.executable, "-m", "envfix", *words.split()]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == code
    complaint = "error: the result cannot be written to standard output: No space left on device\n"
    assert done.stderr.startswith(complaint) if code == 2 else complaint in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("words", "code"), [("machines", 0), ("install", 3), ("report --no-such-option", 2), ("--help", 0)]
)
def test_streams_that_are_closed_or_full_change_no_exit_code(closed: str, words: str, code: int) -> None:
    """As git and uv: a stream that was closed on purpose is written to nowhere."""
    argv = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "envfix", *words.split()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout and "Exception ignored" not in done.stderr


def test_every_encoding_and_every_byte_can_be_printed() -> None:
    odd = {**os.environ, "PYTHONIOENCODING": "ascii", "XLA_FLAGS": "\udcff\u202e\u2192"}
    argv = [sys.executable, "-m", "envfix", "probe"]
    done = subprocess.run([*argv, "--json"], capture_output=True, env=odd, timeout=60)
    assert json.loads(done.stdout)["data"]["environment"]["XLA_FLAGS"] == "\udcff\u202e\u2192"
    done = subprocess.run([*argv[:-1], "report", "--tf", "→"], capture_output=True, env=odd, timeout=60)
    assert done.returncode == 2 and b"Traceback" not in done.stderr


def test_an_interrupt_before_the_command_line_is_read_is_no_traceback() -> None:
    stopped = (
        "import builtins, sys; from envfix import __main__\nreal = builtins.__import__\n"
        "def load(name, *more):\n    if name == 'envfix.cli': raise KeyboardInterrupt\n"
        "    return real(name, *more)\n"
        "builtins.__import__ = load\n__main__.main()"
    )
    done = subprocess.run([sys.executable, "-c", stopped], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_an_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("envfix.cli._run", stopped)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err.startswith("error: interrupted")


def test_an_interpreter_can_be_named_as_in_a_shell() -> None:
    on_path = {"python3.10": "/usr/bin/python3.10"}.get
    assert asking._python("python3.10", on_path) == "/usr/bin/python3.10"
    assert asking._python("env/bin/python", on_path) == str(Path.cwd() / "env/bin/python")
    assert asking._python(None, on_path) is None
    with pytest.raises(InputError, match=r"no interpreter `python3\.99` is on PATH"):
        asking._python("python3.99", on_path)


def approve_on_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str, plan: Plan, **outside: object) -> None:
    options = build_parser().parse_args(["install"])
    terminal = io.StringIO(typed)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr", terminal)
    installed = Installed(machine=T4, python="", tensorflow="", accelerator="gpu", plan=plan)
    installing._approve(FakeOutside(**outside), installed, options)  # type: ignore[arg-type]


def test_no_answer_is_no_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D at the question ends the input without a line."""
    with pytest.raises(Interrupted, match="stopped before the first change"):
        approve_on_a_terminal(monkeypatch, "", NO_PLAN)


KERNEL = {
    "/proc/self/stat": "9 (envfix) S 7 9 9",
    "/proc/9/cmdline": "/env/bin/python\0/env/bin/envfix\0",
    "/proc/7/stat": "7 (python3) S 1 7 7",
    "/proc/7/cmdline": "/usr/bin/python3\0-m\0colab_kernel_launcher\0",
}


@pytest.mark.parametrize("cell", [{"environ": {"JPY_PARENT_PID": "7"}}, {"files": KERNEL}])
def test_a_notebooks_cell_is_never_asked(monkeypatch: pytest.MonkeyPatch, cell: dict[str, object]) -> None:
    """`!envfix` runs on a pseudo-terminal: a question there would wait for ever."""
    approve_on_a_terminal(monkeypatch, "", NO_PLAN, **cell)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    assert callable(command(name))


def imported_by(name: str) -> set[str]:
    code = f"import sys; from envfix import commands; commands.command('{name}'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_explain_imports_nothing_of_the_other_commands() -> None:
    assert not {"envfix.workflow", "envfix.choosing", "envfix.installing"} & imported_by("explain")


@pytest.mark.parametrize("name", WRITING)
def test_what_comes_after_a_change_is_imported_before_it(name: str) -> None:
    """The change may be one of the environment that envfix itself runs in."""
    assert {"envfix.render.text", "envfix.render.json", "envfix.restarting"} <= imported_by(name)
