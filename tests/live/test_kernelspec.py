"""A kernel of its own with real wheels, started by its name as a notebook starts it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envfix.system.outside import RealOutside
from envfix.verify import checks
from envfix.verify.stub import build as stub
from tests.pythons import python_of
from tests.values import T4

pytestmark = pytest.mark.live

IN_KERNEL = """
import sys, tensorflow
print(tensorflow.__version__, tensorflow.config.list_physical_devices("GPU"), sys.prefix)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_kernel_started_by_its_name_sees_the_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.16.1 as published finds no library: the kernel has only its own environment to find them by."""
    manager = pytest.importorskip("jupyter_client.manager")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    argv = ["install", "--machine", "colab-t4", "--kernel", "old", "--tf", "2.16.1", "--yes", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "envfix", *argv, "--python", python_of("3.11")],
        capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["data"]
    assert answer["kernelspec"]["name"] == "old" and answer["verification"]["proof"] == "loader"

    outside = RealOutside(quiet=True)
    env = {**os.environ, **checks.environment(outside, T4, stub.build(outside))}
    kernel, client = manager.start_new_kernel(kernel_name="old", env=env)
    try:
        said: list[str] = []
        client.execute_interactive(
            IN_KERNEL, timeout=180, output_hook=lambda one: said.append(one["content"].get("text", ""))
        )
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    words = "".join(said)
    assert "2.16.1" in words and "GPU:0" in words and str(folder / "data/envfix/kernels/old") in words, words
