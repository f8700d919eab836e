"""Whether envfix may change an environment at all (PEP 668)."""

from __future__ import annotations

from envfix.errors import InputError
from envfix.model.machine import Platform
from envfix.model.target import Target

# There the system's Python is the notebook's: its kernel runs in it, and the image is thrown away.
_NOTEBOOK_OWNS = frozenset({Platform.COLAB, Platform.KAGGLE})


def check_allowed(target: Target, platform: Platform | None, allowed: bool) -> bool:
    """Whether the installer must be told `--break-system-packages`.

    Raises InputError for an environment that its owner declares externally managed, unless it is the
    notebook's own or `allowed` (the user's flag).
    """
    managed = bool(target.externally_managed)
    if managed and not allowed and platform not in _NOTEBOOK_OWNS:
        raise InputError(
            f"`{target.prefix}` is managed by the operating system (`{target.externally_managed}`, PEP 668)",
            "envfix install --venv .venv, or --yes --break-system-packages to change it all the same",
        )
    return managed
