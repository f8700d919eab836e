"""Environments that envfix makes in the tests, against a small index on loopback.

The wheels are tiny, but they have the names, versions and libraries that the shipped matrix decides for a
T4, so that nothing between the command line and the installer is replaced. Real TensorFlow is in tests/live.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from envfix.install.libraries import SONAMES
from envfix.matrix import load
from envfix.model.machine import Machine
from envfix.probe.machine_file import load_machine
from envfix.resolve.bounds import bounds
from envfix.system.outside import RealOutside
from tests.index_server import IndexServer, Wheel, build_wheel, seeds, serving
from tests.shipped import whole

TF = "2.20.0"
UNAIDED = "2.21.0"  # registers no GPU without envfix's loader
BUILD_INFO = (
    "build_info = dict([('cuda_version', '12.5.1'), ('cudnn_version', '9'), ('is_cuda_build', True)])\n"
)
FOLDERS = {
    "libcudart": "cuda_runtime", "libcublas": "cublas", "libcublasLt": "cublas", "libcufft": "cufft",
    "libcurand": "curand", "libcusolver": "cusolver", "libcusparse": "cusparse", "libcudnn": "cudnn",
}  # fmt: skip


def machine() -> Machine:
    return load_machine(RealOutside(), "colab-t4", f"{load.matrix_dir()}/machines")


def pins(version: str = TF) -> dict[str, str]:
    release = next(row for row in whole().releases if str(row.version) == version)
    found = {}
    for bound in bounds(release, machine(), whole(), {}):
        requirement = Requirement(bound.requirement)
        if requirement.name.startswith("nvidia-"):
            found[requirement.name] = next(iter(requirement.specifier)).version
    return found


def wheels() -> list[Wheel]:
    """TensorFlow in three releases, its pinned NVIDIA wheels, one thing it needs, and what uv seeds with."""
    built = [build_wheel("absl-py", "2.1.0"), *seeds()]
    for version in (TF, UNAIDED, "2.19.1"):
        modules = {
            "tensorflow/__init__.py": f'__version__ = "{version}"\n',
            "tensorflow/python/platform/build_info.py": BUILD_INFO,
        }
        built.append(build_wheel("tensorflow", version, ["absl-py>=1.0"], modules=modules))
    nvidia = {*pins(TF).items(), *pins(UNAIDED).items(), *pins("2.19.1").items()}
    for name, version in sorted(nvidia):
        folder = (
            name.removeprefix("nvidia-").removesuffix("-cu12").replace("cuda-", "cuda_").replace("-", "_")
        )
        sonames = [*SONAMES[12], "libcudnn.so.9"]
        modules = {f"nvidia/{folder}/lib/about.txt": name} | {
            f"nvidia/{folder}/lib/{soname}": soname
            for soname in sonames
            if FOLDERS[soname.split(".")[0]] == folder
        }
        built.append(build_wheel(name, version, modules=modules))
    return built


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with serving(*wheels()) as server:
        yield server


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache folder with nothing but the shipped matrix as it was parsed."""
    cache = tmp_path_factory.mktemp("parsed")
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    argv = [sys.executable, "-m", "envfix", "report", "--machine", "colab-t4", "--offline"]
    subprocess.run(argv, check=True, env=env, capture_output=True, timeout=120)
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["matrix.json"]
    return cache


@pytest.fixture(scope="session")
def byte_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("byte-code")


def user(folder: Path, index: IndexServer, byte_code: Path) -> dict[str, str]:
    """The surroundings of a user who has nothing but the index, with caches of its own in `folder`."""
    aside = ("PIP_", "UV_", "COLAB", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(aside)} | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index.simple,
        "PYTHONPYCACHEPREFIX": str(byte_code),
        "UV_CACHE_DIR": str(folder / "uv-cache"),
        "UV_HTTP_RETRIES": "0",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def runner(folder: Path, index: IndexServer, parsed: Path, byte_code: Path) -> Any:
    """Runs envfix in `folder` as a user who has nothing but the index, with caches of its own there."""
    shutil.copytree(parsed, folder / "cache")
    env = user(folder, index, byte_code)

    def run(*argv: str, under: Sequence[str] = (), **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*under, sys.executable, "-m", "envfix", *argv],
            capture_output=True, text=True, timeout=120, env={**env, **extra}, cwd=folder,
        )  # fmt: skip

    return run


@pytest.fixture
def envfix(index: IndexServer, tmp_path: Path, parsed: Path, byte_code: Path) -> Any:
    index.faults.clear()
    index.lies.clear()
    index.provenance.clear()
    index.asked.clear()
    return runner(tmp_path, index, parsed, byte_code)


@pytest.fixture(scope="module")
def made(
    index: IndexServer, parsed: Path, byte_code: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder in which envfix has installed a release from `index` into `demo`, once for all tests."""

    @functools.cache
    def make(version: str) -> Path:
        if version == "2.19.1" and sys.version_info >= (3, 13):
            pytest.skip("TensorFlow 2.19.1 has no wheel for this Python")
        folder = tmp_path_factory.mktemp("made")
        done = runner(folder, index, parsed, byte_code)(*install("--tf", version))
        assert done.returncode == 0, done.stderr
        return folder

    return make


@pytest.fixture
def standing(
    envfix: Any, made: Callable[[str], Path], index: IndexServer, tmp_path: Path
) -> Callable[[str], Path]:
    """Puts an environment with a release at `demo`, as if it had been installed there: its site-packages.

    Nothing in a virtual environment that these tests run names its own path.
    """

    def put(version: str) -> Path:
        shutil.copytree(made(version), tmp_path, symlinks=True, dirs_exist_ok=True)
        index.asked.clear()
        return next((tmp_path / "demo").glob("lib/python*/site-packages"))

    return put


def install(*more: str) -> list[str]:
    return ["install", "--machine", "colab-t4", "--venv", "demo", "--yes", "--no-verify", "--json", *more]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
