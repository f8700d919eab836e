"""The kernel restarted from within: it ends, and what watches it starts a new one.

Nothing is ended where nothing watches: a notebook that nbclient, papermill or a batch service runs would be
lost with its kernel.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from typing import Any

from envfix.errors import InputError
from envfix.probe.kernel import parse_cmdline, parse_stat
from envfix.system.outside import RealOutside

# Programs whose kernel manager starts a kernel anew when it has died (jupyter_client.restarter).
_WATCHERS = frozenset(
    {
        "colab-fileshim",
        "jupyter-lab",
        "jupyter-labhub",
        "jupyter-nbclassic",
        "jupyter-notebook",
        "jupyter-server",
        "jupyterhub-singleuser",
    }
)
_MODULES = frozenset({"jupyter_server", "jupyterhub.singleuser", "jupyterlab", "nbclassic", "notebook"})
_SUBCOMMANDS = frozenset({"lab", "labhub", "nbclassic", "notebook", "server"})


def restart(shell: Any) -> str:
    """End the kernel after this cell, so that it comes up again; what to say of it.

    Raises InputError where nothing would start it again, or this is no kernel.
    """
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        raise InputError("this is no notebook's kernel", "leave this Python session and start a new one")
    why = unwatched()
    if why:
        raise InputError(f"{why}, so the kernel is left running", "restart it where it was started")
    # As ipykernel does for a front end that asks: the answer to this cell is still sent.
    kernel.do_shutdown(True)
    # IPython's exit hooks run, and the variables are gone, as with a restart by hand.
    return "the kernel restarts: run the cells from the top"


def how(advice: str) -> str:
    """The advice on how to restart, with the magic in front where it can do it."""
    return advice if unwatched() else f"%envfix restart{chr(10) + advice if advice else ''}"


def unwatched() -> str:
    """Why nothing would start a new kernel if this one ended; empty where something does."""
    if os.environ.get("KAGGLE_KERNEL_RUN_TYPE", "").lower() == "batch":
        return "Kaggle runs this notebook as a batch"
    outside = RealOutside()
    try:
        ids = parse_stat(outside.read_text("/proc/self/stat"))
        parent = ids[1] if ids else os.getppid()
        command = parse_cmdline(outside.read_text(f"/proc/{parent}/cmdline"))
    except OSError:
        return "the program that started the kernel cannot be seen"
    if watches(command):
        return ""
    name = os.path.basename(next(iter(command), "") or "the program that started it")  # noqa: PTH119
    return f"`{name}` (process {parent}) started the kernel and is not known to start a new one"


def watches(command: tuple[str, ...]) -> bool:
    """Whether the command line is that of a notebook server, which restarts a kernel that has died."""
    # `python /usr/bin/jupyter-lab`, `python -m jupyterlab`, `jupyter lab`.
    names = [re.split(r"[/\\]", word)[-1].removesuffix(".exe") for word in command[:4]]
    pairs = list(pairwise(names))
    return (
        any(name in _WATCHERS for name in names[:2])
        or any(one == "-m" and two in _MODULES for one, two in pairs)
        or any(one == "jupyter" and two in _SUBCOMMANDS for one, two in pairs)
    )
