"""The main job as a user runs it: real wheels, a real environment, real TensorFlow under the driver stub.

Each environment is 5 GB and is removed again; uv's cache is shared.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pythons import python_of

pytestmark = pytest.mark.live


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def envfix(folder: Path, *argv: str, **extra: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "envfix", *argv, "--json"],
        capture_output=True, text=True, cwd=folder, env={**os.environ, **extra}, timeout=1500,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts and not path.is_dir()
    }


def registered(answer: dict[str, Any]) -> bool:
    verification = answer["data"]["verification"]
    visible = next(check for check in verification["checks"] if check["name"] == "device visible")
    return verification["proof"] == "loader" and visible["status"] == "passed"


def test_a_colab_t4_gets_the_newest_release_and_a_second_run_changes_nothing(folder: Path) -> None:
    code, answer, log = envfix(folder, "install", "--machine", "colab-t4", "--venv", "demo", "--yes")
    assert code == 0, log
    assert registered(answer)
    before = tree(folder / "demo")
    # No index is reachable now: a second run must not even try.
    code, answer, log = envfix(
        folder, "install", "--machine", "colab-t4", "--venv", "demo", "--yes",
        PIP_INDEX_URL="http://127.0.0.1:9/simple/", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple/",
        UV_CACHE_DIR=str(folder / "empty-cache"),
    )  # fmt: skip
    assert code == 0, log
    assert answer["data"]["changed"] == [] and registered(answer)
    assert tree(folder / "demo") == before
    code, answer, log = envfix(folder, "verify", "--deep", "--machine", "colab-t4", "--venv", "demo")
    checks = {check["name"]: check for check in answer["data"]["checks"]}
    assert code == 0 and answer["data"]["proof"] == "loader", log
    assert checks["GPU kernels"]["status"] == "passed"
    assert checks["training step"]["cause"] == "no GPU here: the driver stub runs no kernels"
    bare, answer, _ = envfix(folder, "verify", "--machine", "colab-t4", "--venv", "demo", ENVFIX_LOADER="0")
    if answer["data"]["tensorflow"] == "2.21.0":
        # As published it has no path to cuSOLVER: the check can fail, and names the library.
        assert bare == 6
        assert "libcusolver.so.11" in json.dumps(answer["data"]["checks"])


@pytest.mark.parametrize(
    ("machine", "tf", "feature"),
    [
        ("colab-t4", "2.16.1", "3.11"),
        ("colab-t4", "tensorflow-gpu==2.10.0", "3.10"),
        ("kaggle-p100", "2.20.0", "3.12"),
    ],
)
def test_releases_that_do_not_register_as_published_and_an_old_gpu(
    folder: Path, machine: str, tf: str, feature: str
) -> None:
    argv = ["--machine", machine, "--tf", tf, "--python", python_of(feature), "--venv", "env", "--yes"]
    code, answer, log = envfix(folder, "install", *argv)
    assert code == 0, log
    assert registered(answer)
    pins = {package["name"]: package["version"] for package in answer["data"]["plan"]["packages"]}
    if machine == "kaggle-p100":
        assert pins["nvidia-cudnn-cu12"] == "9.10.2.21"
    if tf.startswith("tensorflow-gpu"):
        assert any("tensorflow-gpu" in note for note in answer["data"]["notes"])


def test_without_a_gpu_the_cpu_build_is_installed_and_computes(folder: Path) -> None:
    code, answer, log = envfix(
        folder, "install", "--machine", "no-gpu", "--accelerator", "auto", "--venv", "cpu", "--yes"
    )
    assert code == 0, log
    verification = answer["data"]["verification"]
    assert verification["proof"] == "cpu"
    ran = {check["name"]: check["status"] for check in verification["checks"]}
    assert ran["matmul"] == ran["convolution"] == ran["jit_compile=True"] == "passed"
    assert not any(name.startswith("nvidia-") for name in answer["data"]["changed"])
