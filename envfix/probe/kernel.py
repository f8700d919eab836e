"""The notebook kernel that envfix was started from: `!envfix` is a child of its shell."""

from __future__ import annotations

import re

from envfix.model.target import Kernel
from envfix.ports import Outside, Process
from envfix.probe.evidence import read_file

# `python -m ipykernel_launcher -f ...` (Jupyter, Kaggle, VS Code), `python -m colab_kernel_launcher -f ...`,
# `python -m ipykernel`.
_MODULES = ("ipykernel_launcher", "colab_kernel_launcher", "ipykernel", "ipykernel.kernelapp")
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*(?:\.exe)?", re.I)
GENERATIONS = 64  # no shell is nested deeper; a /proc that answers in circles must not hold us


def find_kernel(outside: Outside) -> Kernel | None:
    """The nearest kernel among envfix's own process and its parents; None in a terminal or without /proc."""
    server = outside.environ.get("JPY_PARENT_PID", "")
    pid: int | str = "self"
    for _ in range(GENERATIONS):
        ids = parse_stat(read_file(outside, f"/proc/{pid}/stat").text)
        if ids is None:
            return None
        own, parent = ids
        command = parse_cmdline(read_file(outside, f"/proc/{own}/cmdline").text)
        # jupyter_client sets JPY_PARENT_PID to its own process, whose child is the kernel.
        if is_kernel(command) or (command and server == str(parent) and _PYTHON.match(_base(command[0]))):
            return Kernel(pid=own, python=_interpreter(outside, own, command), command=command)
        if parent <= 1:
            return None
        pid = parent
    return None


def ancestors(outside: Outside, pid: int) -> tuple[Process, ...]:
    """The parents of a process, the nearest first, without the first process of all."""
    found: list[Process] = []
    for _ in range(GENERATIONS):
        ids = parse_stat(read_file(outside, f"/proc/{pid}/stat").text)
        if ids is None or ids[1] <= 1:
            break
        pid = ids[1]
        found.append(Process(pid, parse_cmdline(read_file(outside, f"/proc/{pid}/cmdline").text)))
    return tuple(found)


def parse_stat(text: str) -> tuple[int, int] | None:
    """Process and parent of /proc/PID/stat, whose command name may hold spaces and parentheses."""
    found = re.match(r"([0-9]{1,10}) \(.*\) [A-Za-z] ([0-9]{1,10}) ", text, re.S)
    return (int(found[1]), int(found[2])) if found else None


def parse_cmdline(text: str) -> tuple[str, ...]:
    """The arguments of /proc/PID/cmdline, which a NUL ends each."""
    return tuple(text.removesuffix("\0").split("\0")) if text else ()


def is_kernel(command: tuple[str, ...]) -> bool:
    """Whether a command line is Python running one of the kernel launchers."""
    if not command or not _PYTHON.fullmatch(_base(command[0])):
        return False
    words = iter(command[1:])
    for word in words:
        if word == "-m":
            return next(words, "") in _MODULES
        if word in ("-X", "-W"):
            next(words, "")
        elif not word.startswith("-"):
            return _base(word).removesuffix(".py") in _MODULES
    return False


def _base(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def _interpreter(outside: Outside, pid: int, command: tuple[str, ...]) -> str:
    """The kernel's interpreter by the name it was started with, which tells its virtual environment."""
    if command[0].startswith("/"):
        return command[0]
    # envfix inherits the kernel's PATH.
    return outside.which(_base(command[0])) or outside.realpath(f"/proc/{pid}/exe")
