"""Fixtures that several test modules share."""

import os
import tempfile

from tests.environments import byte_code, envfix, index, made, parsed, standing

__all__ = ["byte_code", "envfix", "index", "made", "parsed", "standing"]

# What tests install and verify is not recorded for the user who runs them.
_state = tempfile.TemporaryDirectory(prefix="envfix-state-")
os.environ["ENVFIX_STATE_DIR"] = _state.name
