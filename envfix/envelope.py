"""The one JSON object of `--json` (README, "JSON"): `{envfix, command, status, exit_code, data, errors}`.

Only the standard library is needed, so that an error is still told where envfix's own packages do not work.
"""

from __future__ import annotations

import json

# Type checkers take this name for true; `typing` is not worth its import at every start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from envfix.errors import EnvfixError


def failure(command: str, error: EnvfixError, data: Any) -> str:
    """The object of a command that stopped; `data` holds what was known by then, or None."""
    problem = {"code": error.code, "message": error.message, "hint": error.hint}
    return envelope(command, error.exit_code, data, [problem])


def envelope(command: str, exit_code: int, data: Any, errors: list[dict[str, Any]]) -> str:
    """The one object that `--json` prints, as text; `status` follows from the exit code."""
    whole = {
        "envfix": 1,
        "command": command,
        "status": "ok" if exit_code == 0 else "failed",
        "exit_code": exit_code,
        "data": data,
        "errors": errors,
    }
    # Plain ASCII: it prints in every encoding, and nothing in it can disturb a terminal.
    return json.dumps(whole, indent=2)
