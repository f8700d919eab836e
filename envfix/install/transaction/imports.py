"""Everything of others that envfix may need later, imported before the packages below it change."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envfix.ports import Outside

# What any module of envfix imports, at its top or later; a test holds this.
MODULES = (
    "jinja2", "markupsafe", "msgspec", "packaging.markers", "packaging.pylock", "packaging.requirements",
    "packaging.specifiers", "packaging.tags", "packaging.utils", "packaging.version", "platformdirs",
    "pypi_simple", "remotezip",
    "requests", "requests.adapters", "tomli", "tomli_w", "urllib3",
    "urllib3.exceptions", "uv", "yaml",
)  # fmt: skip


def import_all(outside: Outside, sites: Collection[str]) -> None:
    """Import them where a change of the `sites` may change what envfix runs on, and nowhere else: they take
    0.4 s.

    What is not there stays away: each place that needs it says so itself.
    """
    changing = tuple(f"{outside.realpath(site)}{os.sep}" for site in sites)
    if not any(f"{outside.realpath(path)}{os.sep}".startswith(changing) for path in filter(None, sys.path)):
        return
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
