"""Real wheels are large: on a CI machine each one leaves uv's cache after its test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
import uv


@pytest.fixture(autouse=True)
def small_cache() -> Iterator[None]:
    yield
    if os.environ.get("CI"):
        for name in ("tensorflow", "tensorflow-cpu"):
            subprocess.run([uv.find_uv_bin(), "cache", "clean", "--quiet", name], check=True, timeout=300)
