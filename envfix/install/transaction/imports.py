"""Everything of others that envfix may need later, imported before the packages below it change."""

from __future__ import annotations

import contextlib
import importlib

# What any module of envfix imports, at its top or later; a test holds this.
MODULES = (
    "jinja2", "markupsafe", "msgspec", "packaging.markers", "packaging.pylock", "packaging.requirements",
    "packaging.specifiers", "packaging.tags", "packaging.utils", "packaging.version", "platformdirs",
    "pypi_simple", "remotezip",
    "requests", "requests.adapters", "tomli", "tomli_w", "urllib3",
    "urllib3.exceptions", "uv", "yaml",
)  # fmt: skip


def import_all() -> None:
    """What is not there stays away: each place that needs it says so itself."""
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
