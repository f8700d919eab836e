"""Who would bring up another kernel: a Jupyter server, the notebook service, or nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from envfix.model.machine import Platform
from envfix.model.outcome import RestartBy
from envfix.model.target import Kernel
from envfix.ports import KernelHost, Outside, Process, Server
from envfix.restart.server import kernel_id, servers

# Programs that run a notebook from start to end in a kernel that they do not start again.
BATCH = re.compile(
    r"papermill|(jupyter[- ])?(nbconvert|nbclient|execute)|nbmake|nbval|ploomber|quarto|jupyter-book"
)
# Those whose kernel manager starts a kernel anew when it has died (jupyter_client.restarter), by the names
# that `program` gives them.
SERVERS = re.compile(
    r"jupyter[- _]?(lab|labhub|nbclassic|notebook|server|hub[-.]singleuser)|nbclassic|notebook|colab-fileshim"
)
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*(?:\.exe)?", re.I)
_SHELL = re.compile(r"(?:ba|da|z|k|fi|c|tc)?sh|env|tini|dumb-init")
# In these services a kernel that ends is replaced: github.com/googlecolab/colabtools/issues/5552 says it
# of Colab, whose front end then speaks of a crash; Kaggle's editor runs the same Jupyter kernels.
_REPLACES = (Platform.COLAB, Platform.KAGGLE)
# It says that the kernel has died, and asks on the next run of a cell whether to restart it
# (github.com/microsoft/vscode-jupyter/issues/5487, and its KernelCrashMonitor and KernelExecution).
VSCODE = "VS Code runs this kernel itself, takes no request to restart it, and starts no other when it ends"
# What to do in place of a restart there. Kaggle starts each run from its image, without what was installed.
_AGAIN = "run the notebook again, which finds it installed, or run `envfix install` before it"
_FIRST = "`%load_ext envfix` and `%envfix install` in the first cell need no restart"
_KAGGLE_RUN = "KAGGLE_KERNEL_RUN_TYPE"


class Way(NamedTuple):
    """How the kernel can be restarted: `by` is None where it cannot, and `not_done` says why."""

    by: RestartBy | None
    not_done: str = ""
    server: Server | None = None
    kernel: str = ""


def way(
    outside: Outside,
    host: KernelHost,
    platform: Platform | object,
    kernel: Kernel,
    parents: Sequence[Process],
) -> Way:
    """How to restart the kernel whose `parents` are those, the nearest first. A server is asked whether the
    kernel is its own; nothing is changed."""
    starter = starter_of(parents)
    why = runs_through(outside.environ, platform, starter)
    if why:
        return Way(None, why)
    if platform in _REPLACES:
        if "jupyter" in starter:
            return Way(RestartBy.KERNEL_ENDED)
        return Way(None, f"nothing is seen that would start another kernel{_started_by(starter)}")
    if platform is Platform.VSCODE and not SERVERS.fullmatch(starter):
        return Way(None, VSCODE)
    return _by_server(outside, host, kernel, parents, starter)


def promising(environ: Mapping[str, str], platform: Platform | object, starter: str) -> bool:
    """Whether `way` is likely to find one, as far as that is seen without asking a server."""
    if runs_through(environ, platform, starter):
        return False
    return "jupyter" in starter if platform in _REPLACES else SERVERS.fullmatch(starter) is not None


def alone(environ: Mapping[str, str], platform: Platform | object, starter: str) -> str:
    """Why nothing would start another kernel if this one ended; empty where a notebook's server does."""
    why = runs_through(environ, platform, starter)
    if why or SERVERS.fullmatch(starter):
        return why
    if platform is Platform.VSCODE:
        return VSCODE
    if not starter:
        return "the program that started the kernel cannot be seen"
    return f"`{starter}`, which started the kernel, starts no other for it"


def runs_through(environ: Mapping[str, str], platform: Platform | object, starter: str) -> str:
    """Why a kernel that ends ends the whole run of its notebook; empty where it does not."""
    if platform is Platform.KAGGLE and environ.get(_KAGGLE_RUN, "").lower() != "interactive":
        return "Kaggle runs this notebook from start to end, and a kernel that ends ends the run"
    if BATCH.fullmatch(starter):
        return f"`{starter}` runs this notebook from start to end and starts no other kernel for it"
    return ""


def instead(environ: Mapping[str, str], platform: Platform | object, starter: str) -> str:
    """What to do where no restart is possible, for the run would end with the kernel; empty where one is."""
    if not runs_through(environ, platform, starter):
        return ""
    return _FIRST if platform is Platform.KAGGLE else _AGAIN


def starter_of(parents: Sequence[Process]) -> str:
    """The program that started the kernel: the nearest of its `parents` that is no shell; empty if unseen."""
    return next((name for one in parents if not _SHELL.fullmatch(name := program(one.command))), "")


def _by_server(
    outside: Outside, host: KernelHost, kernel: Kernel, parents: Sequence[Process], starter: str
) -> Way:
    own = kernel_id(kernel.command)
    found = servers(outside, kernel.command, [one.pid for one in parents]) if own else ()
    if not found:
        return Way(None, f"no Jupyter server was found that runs this kernel{_started_by(starter)}")
    problems = []
    for server in found:
        problem = host.has(server, own)
        if not problem:
            return Way(RestartBy.JUPYTER_SERVER, server=server, kernel=own)
        problems.append(problem)
    return Way(None, "; ".join(problems))


def _started_by(starter: str) -> str:
    return f"; `{starter}` started it" if starter else ""


def program(command: Sequence[str]) -> str:
    """The name of what a command line runs: `papermill` of `python -m papermill`, `jupyter nbconvert`."""
    words = list(command)
    if not words:
        return ""
    name = _base(words.pop(0))
    if _PYTHON.fullmatch(name):
        name = _script(words) or name
    if name == "jupyter":
        below = next((word for word in words if not word.startswith("-")), "")
        name = f"jupyter {below}".strip()
    return name


def _script(words: list[str]) -> str:
    """The module or script that Python runs; `words` are left with what follows it."""
    while words:
        word = words.pop(0)
        if word in ("-X", "-W"):
            del words[:1]
        elif word == "-m":
            return words.pop(0) if words else ""
        elif word == "-c":
            return ""
        elif not word.startswith("-"):
            return _base(word).removesuffix(".py")
    return ""


def _base(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]
