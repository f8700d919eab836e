"""`install --kernel`: an environment and a kernelspec beside the notebook's own, or neither."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from envfix.errors import InputError
from envfix.install import kernelspec
from tests.environments import TF, contents
from tests.fakes import FakeOutside
from tests.index_server import IndexServer, build_wheel
from tests.pythons import python_of

LAUNCHER = {"ipykernel/__init__.py": "", "ipykernel_launcher.py": "print('launched')\n"}
ARGV = ("install", "--machine", "colab-t4", "--kernel", "Old-TF", "--yes", "--no-verify", "--json")


@pytest.fixture
def kernel(envfix: Any, index: IndexServer, tmp_path: Path) -> Any:
    index.add(build_wheel("ipykernel", "6.29.5", modules=LAUNCHER))
    places = {"XDG_DATA_HOME": str(tmp_path / "data"), "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
    return lambda *argv, **extra: envfix(*ARGV, *argv, **{**places, **extra})


def test_a_kernel_is_made_once_with_its_own_environment(kernel: Any, tmp_path: Path) -> None:
    dry = kernel("--tf", TF, "--dry-run")
    spec = {"name": "old-tf", "path": str(tmp_path / "jupyter/kernels/old-tf")}
    assert json.loads(dry.stdout)["data"]["kernelspec"] == spec
    assert not (tmp_path / "jupyter").exists() and not (tmp_path / "data").exists()

    done = kernel("--tf", TF)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    venv = tmp_path / "data/envfix/kernels/old-tf"
    assert data["kernelspec"] == spec and data["python"] == str(venv / "bin/python")
    assert {one["name"] for one in data["plan"]["packages"]} >= {"ipykernel", "tensorflow"}
    written = json.loads((Path(spec["path"]) / "kernel.json").read_text())
    assert written["argv"][:3] == [str(venv / "bin/python"), "-m", "ipykernel_launcher"]
    assert written["display_name"] == f"TensorFlow {TF} (old-tf)"

    before = contents(tmp_path / "jupyter"), contents(venv)
    again = kernel()
    assert json.loads(again.stdout)["data"]["changed"] == []
    assert (contents(tmp_path / "jupyter"), contents(venv)) == before


def test_a_failed_install_registers_nothing_and_leaves_no_environment(
    kernel: Any, index: IndexServer, tmp_path: Path
) -> None:
    wheel = next(name for name in index.wheels if name.startswith("ipykernel"))
    index.lies[wheel] = "0" * 64
    done = kernel("--tf", TF)
    assert done.returncode == 4, done.stdout
    assert not (tmp_path / "jupyter").exists() and not (tmp_path / "data/envfix/kernels/old-tf").exists()


def test_another_python_is_taken_where_no_release_fits_this_one(kernel: Any) -> None:
    """TensorFlow 2.10 has wheels for Python 3.7 to 3.10; the newest of them that is here is taken."""
    if sys.version_info[:2] <= (3, 10):
        assert "is taken" not in kernel("--tf", "2.10.1", "--dry-run", "--offline").stderr
        return
    there = python_of("3.10")
    path = f"{Path(there).parent}{os.pathsep}{os.environ['PATH']}"
    said = kernel("--tf", "2.10.1", "--dry-run", "--offline", PATH=path).stderr
    assert re.search(r"`\S*3\.10\S*` is taken: no release that is asked for fits this Python", said), said


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b", "tf.", "Python3", "é", "a" * 65])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="kernel"):
        kernelspec.checked_name(name)


def test_a_kernel_of_others_is_not_replaced() -> None:
    environ = {"JUPYTER_DATA_DIR": "/j", "JUPYTER_PATH": "/shared"}
    theirs = FakeOutside(files={"/shared/kernels/TF/kernel.json": "{}"}, environ=environ)
    with pytest.raises(InputError, match="`TF` is there already, and not envfix's"):
        kernelspec.refuse_others(theirs, "tf")
    ours = FakeOutside(files={"/j/kernels/tf/kernel.json": '{"metadata": {"envfix": {}}}'}, environ=environ)
    kernelspec.refuse_others(ours, "tf")


def test_a_lock_has_no_kernel_in_it(kernel: Any) -> None:
    done = kernel("--lock", "pylock.envfix.toml")
    assert done.returncode == 2 and "`--lock` does not go with it" in done.stdout
