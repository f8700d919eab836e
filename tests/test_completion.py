"""Completion as the shells themselves do it: the script is given to each, and it is asked what comes next."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envfix.cli import main
from envfix.options import COMMANDS

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
_shtab_envfix 2> /dev/null  # it calls `compopt`, which is for Tab alone
printf '%s\\n' "${COMPREPLY[@]}"
"""
# zsh completes only in its line editor: Tab is pressed on a terminal of its own, and the list is read there.
ZSH = """
autoload -Uz compinit && compinit -u -D
source {script}
compdef _shtab_envfix envfix
zstyle ':completion:*' list-prompt ''
LISTMAX=10000
PS1='ready> '
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `envfix completion` prints for each shell."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        argv = [sys.executable, "-m", "envfix", "completion", shell]
        (folder / shell).write_text(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return folder


def by_bash(scripts: Path, line: str) -> set[str]:
    argv = ["bash", "--norc", "-c", BASH, "bash", str(scripts / "bash"), *line.split(" ")]
    return set(subprocess.run(argv, check=True, capture_output=True, text=True, cwd=scripts).stdout.split())


def by_fish(scripts: Path, line: str) -> set[str]:
    command = f"source {scripts / 'fish'}; complete -C '{line}'"
    argv = ["fish", "--no-config", "-c", command]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=scripts).stdout
    return {candidate.split("\t")[0] for candidate in said.splitlines()}


def by_zsh(scripts: Path, line: str) -> set[str]:
    setup = scripts / ".zshrc"
    setup.write_text(ZSH.format(script=scripts / "zsh"))
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(scripts)
        os.environ |= {"ZDOTDIR": str(scripts), "TERM": "dumb", "COLUMNS": "500"}
        os.execlp("zsh", "zsh", "-i", "-o", "NO_GLOBAL_RCS")
    try:
        told(terminal, until="ready> ")
        os.write(terminal, f"{line}\t\t".encode())
        return set(told(terminal).replace("\x07", " ").split())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def told(terminal: int, until: str = "", quiet: float = 0.7) -> str:
    """What comes from a terminal until these words, or until nothing has come for `quiet` seconds."""
    text, end = "", time.monotonic() + 20
    while time.monotonic() < end and not (until and until in text):
        ready = select.select([terminal], [], [], 20 if until else quiet)[0]
        if not ready:
            break
        text += os.read(terminal, 65536).decode(errors="replace")
    return text


# A key pressed and a list that has come to its end take seconds.
@pytest.fixture(params=[by_bash, by_fish, pytest.param(by_zsh, marks=pytest.mark.slow)])
def completed(request: pytest.FixtureRequest, scripts: Path) -> Callable[[str], set[str]]:
    shell = request.param.__name__.removeprefix("by_")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    return lambda line: request.param(scripts, line)


def test_commands_options_machines_and_releases(completed: Callable[[str], set[str]], scripts: Path) -> None:
    assert set(COMMANDS) <= completed("envfix ")
    assert {"--tf", "--venv", "--allow-break"} <= completed("envfix install --")
    assert "--allow-break" not in completed("envfix report --")
    assert {"colab-t4", "colab-a100"} <= completed("envfix install --machine colab-")
    assert {"2.20.0"} <= completed("envfix lock --tf 2.20")
    assert {"wheels"} <= completed("envfix lock --cuda w")
    assert {"derive"} <= completed("envfix matrix d")


def test_a_machine_may_be_a_file(completed: Callable[[str], set[str]], scripts: Path) -> None:
    (scripts / "mine.yaml").touch()
    assert "mine.yaml" in completed("envfix report --machine mi")


def test_without_shtab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'envfix-tf[completion]'" in capsys.readouterr().err
