"""The kernel restarted from within: it ends, and what watches it starts a new one.

Nothing is ended where nothing watches: a notebook that nbclient, papermill or a batch service runs would be
lost with its kernel.
"""

from __future__ import annotations

import os
from typing import Any

from envfix.errors import InputError
from envfix.probe.kernel import ancestors
from envfix.restart.watched import KAGGLE_RUN, SERVERS, starter_of
from envfix.system.outside import RealOutside


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
    if os.environ.get(KAGGLE_RUN, "").lower() == "batch":
        return "Kaggle runs this notebook as a batch"
    starter = starter_of(ancestors(RealOutside(), os.getpid()))
    if not starter:
        return "the program that started the kernel cannot be seen"
    if SERVERS.fullmatch(starter):
        return ""
    return f"`{starter}`, which started the kernel, starts no other for it"
