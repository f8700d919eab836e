"""What this Python process has imported, and what of it is older or newer than what is installed."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any

from envfix.model.conflicts import TENSORFLOWS
from envfix.model.target import Stale

HOOK = "_envfix_loader"


def describe(replaced: Sequence[Stale] = (), modules: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is told to the process that works for this one (`model.target.Caller`)."""
    names = sys.modules if modules is None else modules
    return {"pid": os.getpid(), "python": sys.executable, "imported": sorted(names), "stale": replaced}


def surely_stale(
    before: Mapping[str, str], modules: Mapping[str, ModuleType | None] | None = None
) -> list[Stale]:
    """Those of `stale` of which no package's own `__version__` had to be believed but TensorFlow's."""
    return [one for one in stale(before, modules) if one.name in before or one.name in TENSORFLOWS]


def versions(modules: Mapping[str, ModuleType | None] | None = None) -> dict[str, str]:
    """The installed distributions that are imported, by name, with the versions that are on disk now."""
    there = dict(sys.modules if modules is None else modules)
    found: dict[str, str] = {}
    for module, names in _owners().items():
        if there.get(module) is not None:
            for name in names:
                with contextlib.suppress(metadata.PackageNotFoundError):
                    found[name] = metadata.version(name)
    return found


def stale(before: Mapping[str, str], modules: Mapping[str, ModuleType | None] | None = None) -> list[Stale]:
    """The distributions in memory that are no longer what is installed, sorted by name.

    `before` are `versions` at an earlier time: what was imported then is still in memory as it was. Of what
    came later, the package's own `__version__` is compared.
    """
    there = dict(sys.modules if modules is None else modules)
    now = versions(there)
    held = {name: version for name, version in before.items() if _still_there(name, there, now)}
    for module, names in _owners().items():
        # Not asked for as an attribute: a module may import itself on that. Anything may stand for one.
        said = getattr(there.get(module), "__dict__", {}).get("__version__")
        # Of a folder that several share (`google`, `nvidia`) it is not known whose version that is.
        # TensorFlow's own word is right also where it was replaced before this was loaded.
        if isinstance(said, str) and len(names) == 1 and (names[0] not in held or names[0] in TENSORFLOWS):
            held[names[0]] = said
    found = [Stale(name, old, now.get(name)) for name, old in held.items()]
    return sorted(one for one in found if not _same(one.loaded, one.installed))


def take_hook(folders: Sequence[str] | None = None) -> bool:
    """Import the hook that an install has added since this process started; whether there was one to import.

    Python itself reads it, from a `.pth` file, only when it starts.
    """
    importlib.invalidate_caches()
    if HOOK in sys.modules or "tensorflow" in sys.modules:
        return False
    paths = sys.path if folders is None else folders
    if not any(os.path.exists(os.path.join(path, f"{HOOK}.pth")) for path in paths):  # noqa: PTH110, PTH118
        return False
    importlib.import_module(HOOK)
    return True


def _owners() -> Mapping[str, list[str]]:
    """The topmost importable names, with the normalised names of the distributions that bring them."""
    from packaging.utils import canonicalize_name

    found: dict[str, list[str]] = {
        # One whose METADATA is gone has no name.
        name: sorted({canonicalize_name(one) for one in names if one})
        for name, names in metadata.packages_distributions().items()
    }
    if sys.version_info < (3, 11):  # it reads `top_level.txt` alone, which few wheels still have
        for one in metadata.distributions():
            if not one.read_text("top_level.txt") and one.metadata["Name"]:
                for name in {
                    file.parts[0].removesuffix(".py") for file in one.files or () if file.suffix == ".py"
                }:
                    found.setdefault(name, []).append(canonicalize_name(one.metadata["Name"]))
    return found


def _still_there(name: str, modules: Mapping[str, Any], now: Mapping[str, str]) -> bool:
    return name in now or any(key.split(".")[0].lower() == name.lower().replace("-", "_") for key in modules)


def _same(loaded: str, installed: str | None) -> bool:
    from packaging.version import InvalidVersion, Version

    if installed is None:
        return False
    try:
        one, other = Version(loaded), Version(installed)
    except InvalidVersion:
        return True  # `__version__` of a private form says nothing
    # `__version__` leaves out what a distributor has added (`2.6.0+cu124`), or adds it.
    return one.public == other.public
