"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
import tempfile

from tests.environments import byte_code, envfix, index, made, parsed, standing

__all__ = ["byte_code", "envfix", "index", "made", "parsed", "standing"]

# What tests install and verify is not recorded for the user who runs them.
_state = tempfile.TemporaryDirectory(prefix="envfix-state-")
os.environ["ENVFIX_STATE_DIR"] = _state.name


def pytest_configure() -> None:
    """A shell that starts a job in the background has it ignore SIGINT, and so would every child of it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
