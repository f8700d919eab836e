"""Room on disk for the environments of `prove_matrix.py`: 14 GB are enough (8.2 were measured)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

GB = 1 << 30
# An environment is up to 7 GB, and where it shares no blocks with the cache its wheels are that much again.
FREE_LIMIT = 14 * GB


def make_room(cache: Path, limit: int) -> None:
    """Empty the cache of wheels when it is large, or the disk small. Exits when the disk stays small."""
    cache.mkdir(parents=True, exist_ok=True)
    wheels = cache / "uv"
    if wheels.exists() and (size_on_disk(wheels) > limit or shutil.disk_usage(cache).free < FREE_LIMIT):
        shutil.rmtree(wheels)
    free = shutil.disk_usage(cache).free
    if free < FREE_LIMIT:
        sys.exit(f"error: needs {FREE_LIMIT // GB} GB free in `{cache}`, found {free / GB:.1f} GB")


def size_on_disk(folder: Path) -> int:
    """Bytes on disk; a file with several names counts once."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())
