"""Whether the disks can take what an install downloads and unpacks."""

from __future__ import annotations

import os
from collections.abc import Mapping

from envfix.errors import InstallFailed
from envfix.model.plan import Plan
from envfix.ports import Outside

# Filesystems keep some blocks for themselves, and pip writes byte code beside the modules.
MARGIN = 64 << 20


def check_space(outside: Outside, plan: Plan, site_packages: str) -> None:
    """Raises InstallFailed when the target's disk has less room than download and unpacked files need.

    What the plan does not know is not counted.
    """
    download, unpacked = plan.download_bytes or 0, plan.installed_bytes or 0
    if not plan.changes:
        return
    needed = download + unpacked + MARGIN
    free = outside.free_bytes(site_packages)
    if free < needed:
        raise InstallFailed(
            f"needs {spoken_size(needed)} free for `{site_packages}` ({spoken_size(download)} to download, "
            f"{spoken_size(unpacked)} unpacked), found {spoken_size(free)}; nothing was changed",
            "free some space, or install elsewhere: --venv /path/on/another/disk",
        )
    cache = uv_cache(outside.environ)
    free = outside.free_bytes(cache)
    if free < download:
        raise InstallFailed(
            f"needs {spoken_size(download)} free for the download cache `{cache}`, "
            f"found {spoken_size(free)}; nothing was changed",
            "name another folder: export UV_CACHE_DIR=/path/on/another/disk",
        )


def uv_cache(environ: Mapping[str, str]) -> str:
    """Where uv keeps what it downloads (uv's documentation, "Caching", "Cache directory")."""
    own = environ.get("UV_CACHE_DIR")
    if own:
        return os.path.abspath(own)  # noqa: PTH100
    if os.name == "nt":
        return f"{environ.get('LOCALAPPDATA', 'C:')}/uv/cache"
    return f"{environ.get('XDG_CACHE_HOME') or environ.get('HOME', '') + '/.cache'}/uv"


def spoken_size(size: int) -> str:
    """Bytes as people say them: `3.4 GB`, `512 MB`, `12 kB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
