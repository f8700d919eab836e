"""envfix makes TensorFlow see and use the NVIDIA GPU, and proves it.

`envfix.report`, `lock`, `install`, `verify` and `explain` are the commands for programs
(`envfix.notebook.api`), `%load_ext envfix` is the magic of a notebook (`envfix.notebook.magic`). Nothing of
either is imported before it is asked for: the command line starts here too.
"""

from __future__ import annotations

import sys

__version__ = "0.1.0"

# Type checkers take this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLACES = {
    **dict.fromkeys(("report", "lock", "install", "verify", "explain"), "envfix.notebook.api"),
    "Result": "envfix.notebook.results",
    "EnvfixError": "envfix.errors",
}


class _Package(type(sys)):  # type: ignore[misc]
    """The package, whose stages `lock`, `install` and `verify` have the names of functions.

    Importing `envfix.lock.pylock` would put the stage in the function's place; it is found in `sys.modules`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _PLACES or not isinstance(value, type(sys)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module `envfix` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext envfix`."""
    from importlib import import_module

    import_module("envfix.notebook.magic").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext envfix`."""
    from importlib import import_module

    import_module("envfix.notebook.magic").unload(shell)
