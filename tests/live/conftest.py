"""Real wheels are large: a cache that a run has for itself is kept small."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

LARGEST = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu")
ENOUGH = 20 * 2**30
"""Bytes free below which the rest goes as well: the largest test makes two environments of 6 GB."""


@pytest.fixture(autouse=True)
def small_cache() -> Iterator[None]:
    """TensorFlow leaves the cache after each test, and everything does where the disk gets full."""
    yield
    cache = Path(os.environ.get("UV_CACHE_DIR", ""))
    if os.environ.get("ENVFIX_SMALL_CACHE") and cache.name and cache.is_dir():
        full = shutil.disk_usage(cache).free < ENOUGH
        clean = [uv.find_uv_bin(), "cache", "clean", "--quiet", *(() if full else LARGEST)]
        subprocess.run(clean, check=True, timeout=300)
