"""The kernel restarted from within: it ends, and what watches it starts a new one.

Nothing is ended where nothing watches: a notebook that nbclient, papermill or a batch service runs would be
lost with its kernel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from envfix.errors import InputError
from envfix.model.machine import Platform
from envfix.probe.kernel import ancestors, find_kernel
from envfix.probe.session import read_platform
from envfix.restart.stale import HOW
from envfix.restart.watched import VSCODE, alone, instead, starter_of
from envfix.system.outside import RealOutside

NO_KERNEL = "this is no notebook's kernel"


def restart(shell: Any) -> str:
    """End the kernel after this cell, so that it comes up again; what to say of it.

    Raises InputError where nothing would start it again, or this is no kernel.
    """
    if getattr(shell, "kernel", None) is None:
        raise InputError(NO_KERNEL, "leave this Python session and start a new one")
    why = unwatched(shell)
    if why:
        hint = HOW[Platform.VSCODE] if why == VSCODE else run_through() or "restart it where it was started"
        raise InputError(f"{why}, so the kernel is left running", hint)
    # As ipykernel does for a front end that asks: the answer to this cell is still sent.
    shell.kernel.do_shutdown(True)
    # The kernel ends a tenth of a second later, in which it would run what "Run all" has queued. ipykernel
    # drops that by this name after an error, and has no public one.
    drop = getattr(shell.kernel, "_abort_queues", None)
    if drop is not None:
        drop()
    # IPython's exit hooks run, and the variables are gone, as with a restart by hand.
    return "the kernel restarts (a message that it died is this): run the cells from the top"


def how(shell: Any, advice: str) -> str:
    """The advice on how to restart, with the magic in front where it can do it."""
    return advice if unwatched(shell) else f"%envfix restart{chr(10) + advice if advice else ''}"


def run_through() -> str:
    """What to do in place of a restart where the kernel's end would end the whole run; empty elsewhere."""
    return instead(*_session())


def unwatched(shell: Any) -> str:
    """Why nothing would start a new kernel if this one ended; empty where something does."""
    if getattr(shell, "kernel", None) is None:
        return NO_KERNEL
    return alone(*_session())


def _session() -> tuple[Mapping[str, str], object, str]:
    """The environment, the platform, and the program that started this kernel."""
    outside = RealOutside()
    platform, _ = read_platform(outside, find_kernel(outside))
    return outside.environ, platform, starter_of(ancestors(outside, os.getpid()))
