"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import re
import signal
import tempfile

import pytest
from hypothesis import settings

from tests.environments import byte_code, envfix, index, made, parsed, standing

__all__ = ["byte_code", "envfix", "index", "made", "parsed", "standing"]

# What tests install and verify is not recorded for the user who runs them.
_state = tempfile.TemporaryDirectory(prefix="envfix-state-")
os.environ["ENVFIX_STATE_DIR"] = _state.name

# One example's wall time says nothing on a machine that others use too.
settings.register_profile("envfix", deadline=None)
settings.load_profile("envfix")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker for each core; none where environments of gigabytes or a browser want the machine alone.

    `-n N` says otherwise.
    """
    alone = re.search(r"(?<!not )\b(live|browser)\b", config.option.markexpr)
    return 0 if alone or config.option.collectonly else len(os.sched_getaffinity(0))


def pytest_configure() -> None:
    """A shell that starts a job in the background has it ignore SIGINT, and so would every child of it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
