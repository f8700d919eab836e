"""`envfix verify` says why, and what it says to paste works: a real wheel, real libraries, the driver stub.

Each test breaks one thing, reads the cause from the check, runs the command of its hint and verifies again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from envfix.install import loader
from envfix.probe import interpreter
from envfix.system.outside import RealOutside
from envfix.verify.stub import build as stub
from tests.pythons import python_of

pytestmark = pytest.mark.live

TF = "2.18.1"
GPU = {"ENVFIX_STUB_GPUS": "Tesla T4|7.5|15360", "ENVFIX_STUB_DRIVER_RELEASE": "550.54.15"}


class Place(NamedTuple):
    """An environment with TensorFlow as `pip` installs it, without envfix's loader."""

    root: Path
    driver: Path

    @property
    def python(self) -> str:
        return str(self.root / "bin" / "python")

    @property
    def site(self) -> Path:
        return next(self.root.glob("lib/python*/site-packages"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("causes")
    driver = folder / "driver"
    driver.mkdir()
    built = Path(stub.build(RealOutside(quiet=True)))
    # As a driver's installer names it: the file that is loaded has another name than the soname.
    shutil.copy(built / "libcuda.so.1", driver / "libcuda.so.550.54.15")
    (driver / "libcuda.so.1").symlink_to("libcuda.so.550.54.15")
    shutil.copy(built / "libnvidia-ml.so.1", driver)
    made = Place(folder / "env", driver)
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "-p", python_of("3.12"), made.root], check=True)
    pip(made, "install", f"tensorflow[and-cuda]=={TF}", "setuptools<81")
    yield made
    shutil.rmtree(made.root)


@pytest.fixture(scope="module")
def old_cudnn(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cuDNN that is older than the one that TensorFlow was compiled against."""
    folder = tmp_path_factory.mktemp("cudnn")
    pip(place, "install", "--no-deps", "--target", str(folder), "nvidia-cudnn-cu12==9.0.0.312")
    return folder / "nvidia" / "cudnn" / "lib"


@pytest.fixture(autouse=True)
def without_loader(place: Place) -> Iterator[None]:
    yield
    for path in place.site.glob("*envfix_loader*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def pip(place: Place, verb: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", "pip", verb, "-q", "-p", place.python, *words], check=True)


def verified(place: Place, named: bool = True, before: str = "", **environ: str) -> dict[str, dict[str, Any]]:
    """The checks by name, under the stub for a named machine or with the stub as this machine's driver.

    `before` is a command for the same shell.
    """
    machine = "--machine colab-t4" if named else ""
    drivers = {} if named else {**GPU, "LD_LIBRARY_PATH": str(place.driver)}
    command = f"{before or ':'} && {sys.executable} -m envfix verify --json --python {place.python} {machine}"
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **drivers, **environ}
    if "PYTHONPATH" in os.environ:
        env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    ran = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
    answer = json.loads(ran.stdout)
    return {check["name"]: check for check in answer["data"]["checks"]}


def pasted(check: dict[str, Any]) -> str:
    """The command of a hint as a shell can run it here."""
    commands: list[str] = re.findall(r"`([^`]+)`", check["hint"])
    command = commands[-1]
    if command.startswith("envfix install"):
        return command.replace("envfix", f"{sys.executable} -m envfix", 1) + " --yes --no-verify >&2"
    return command


def test_a_library_that_was_deleted_is_put_back(place: Place) -> None:
    gone = place.site / "nvidia" / "cufft" / "lib" / "libcufft.so.11"
    gone.unlink()
    check = verified(place)["libraries"]
    assert check["status"] == "failed"
    assert f"part of nvidia-cufft-cu12 11.2.3.61, but `{gone}` is gone" in check["cause"]
    assert verified(place, before=pasted(check))["device visible"]["status"] == "passed"


def test_a_file_of_tensorflow_that_was_cut_short_is_put_back(place: Place) -> None:
    cut = place.site / "tensorflow" / "python" / "ops" / "nn_ops.py"
    cut.unlink()  # uv's cache has the file too
    cut.write_text("x")
    checks = verified(place)
    check = checks["TensorFlow's files"]
    assert f"`{cut}` has 1 bytes" in check["observed"]
    assert not any(other["hint"] == "run `envfix install`" for other in checks.values())
    after = verified(place, before=pasted(check))
    assert "TensorFlow's files" not in after
    assert after["device visible"]["status"] == "passed"


def test_a_wheel_that_was_removed_is_put_back(place: Place) -> None:
    pip(place, "uninstall", "nvidia-cusparse-cu12")
    check = verified(place)["libraries"]
    assert "`libcusparse.so.12`" in check["cause"]
    assert "no NVIDIA wheel of this environment has it" in check["cause"]
    assert "the RUNPATH of" in check["cause"]
    assert verified(place, before=pasted(check))["device visible"]["status"] == "passed"


def test_an_older_cudnn_in_front_loses_its_place(place: Place, old_cudnn: Path) -> None:
    folder = old_cudnn
    check = verified(place, LD_LIBRARY_PATH=f"{folder}:{place.driver}")["libraries"]
    assert check["status"] == "failed"
    assert check["observed"].startswith("cuDNN 9.0.0 is loaded")
    assert check["cause"].startswith(f"`{folder}/libcudnn.so.9` (from LD_LIBRARY_PATH) is used, and not ")
    assert pasted(check) == f"export LD_LIBRARY_PATH={place.driver}"
    after = verified(place, before=pasted(check), LD_LIBRARY_PATH=f"{folder}:{place.driver}")
    assert after["libraries"]["status"] == "passed"


def test_a_loader_that_is_switched_off_is_switched_on(place: Place, old_cudnn: Path) -> None:
    loader.install(RealOutside(quiet=True), interpreter.read_target(RealOutside(quiet=True), place.python))
    environ = {"LD_LIBRARY_PATH": str(old_cudnn), "ENVFIX_LOADER": "0"}
    check = verified(place, **environ)["libraries"]
    assert check["status"] == "failed"
    assert pasted(check) == "unset ENVFIX_LOADER"
    assert verified(place, before=pasted(check), **environ)["libraries"]["status"] == "passed"


def test_a_damaged_library_in_front_is_told_from_the_right_one(place: Place, tmp_path: Path) -> None:
    (tmp_path / "libcublas.so.12").touch()
    check = verified(place, LD_LIBRARY_PATH=str(tmp_path))["libraries"]
    assert f"`{tmp_path}/libcublas.so.12` (from LD_LIBRARY_PATH) is damaged: file too short" in check["cause"]
    assert f"in front of `{place.site}/nvidia/cublas/lib/libcublas.so.12`" in check["cause"]
    after = verified(place, before=pasted(check), LD_LIBRARY_PATH=str(tmp_path))
    assert after["device visible"]["status"] == "passed"


def test_a_cpu_build_is_replaced(place: Place) -> None:
    pip(place, "uninstall", "tensorflow")
    pip(place, "install", f"tensorflow-cpu=={TF}")
    checks = verified(place)
    assert checks["build"]["cause"] == f"tensorflow-cpu {TF} is installed, which holds no GPU code"
    assert checks["libraries"]["status"] == "skipped"
    assert verified(place, before=pasted(checks["build"]))["device visible"]["status"] == "passed"


def test_torchs_cudnn_under_tensorflow_is_told(place: Place) -> None:
    """torch itself is 2 GB and not needed for it: what it asks for stands in its metadata."""
    pip(place, "install", "--no-deps", "nvidia-cudnn-cu12==9.1.0.70")
    info = place.site / "torch-2.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 2.6.0\nRequires-Dist: nvidia-cudnn-cu12==9.1.0.70\n"
    )
    try:
        check = verified(place)["libraries"]
    finally:
        shutil.rmtree(info)
        pip(place, "install", "--no-deps", "nvidia-cudnn-cu12==9.3.0.75")
    assert check["observed"].startswith("cuDNN 9.1.0 is loaded")
    assert "is what torch 2.6.0 asks for (`nvidia-cudnn-cu12==9.1.0.70`)" in check["cause"]
    assert check["hint"].endswith("--with torch`")


@pytest.mark.parametrize(
    ("value", "said"),
    [("-1", "hides every GPU"), ("", "set and empty"), ("3", "this machine has GPU 0 alone")],
)
def test_a_hidden_device_is_shown_again(place: Place, value: str, said: str) -> None:
    check = verified(place, named=False, CUDA_VISIBLE_DEVICES=value)["device visible"]
    assert check["status"] == "failed"
    assert said in check["cause"]
    after = verified(place, named=False, before=pasted(check), CUDA_VISIBLE_DEVICES=value)
    assert after["device visible"]["status"] == "passed"


def test_a_toolkits_stub_in_front_of_the_driver_is_taken_away(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "cuda" / "lib64" / "stubs"
    folder.mkdir(parents=True)
    source = tmp_path / "stub.c"
    source.write_text("int cuInit(unsigned f) { return 34; } int cuDriverGetVersion(int *v) { return 34; }\n")
    out = folder / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", out, source], check=True)
    path = f"{folder}:{place.driver}"
    check = verified(place, named=False, LD_LIBRARY_PATH=path)["device visible"]
    assert check["cause"].startswith(f"`{folder}/libcuda.so.1` (from LD_LIBRARY_PATH) is the toolkit's stub")
    after = verified(place, named=False, before=pasted(check), LD_LIBRARY_PATH=path)
    assert after["device visible"]["status"] == "passed"


def test_memory_that_another_process_holds_is_laid_to_it(place: Place) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:
        stubbed = {"ENVFIX_STUB_PID": str(other.pid), "ENVFIX_STUB_USED_MIB": "14000"}
        # The CUDA runtime's first question to the driver ends as an allocation does on a GPU that is full.
        failing = "cuGetExportTable=2"
        check = verified(place, named=False, ENVFIX_STUB_FAIL=failing, **stubbed)["device initialised"]
        assert f"process {other.pid} (14000 MiB, sleep 300)" in check["cause"]
        assert "14000 of 15360 MiB of GPU 0 (Tesla T4)" in check["cause"]
        subprocess.run(["bash", "-c", pasted(check)], check=True)
        assert other.wait(10) == -15


def test_no_tensorflow_is_said_so(place: Place, tmp_path: Path) -> None:
    empty = Place(tmp_path / "empty", place.driver)
    subprocess.run(
        [sys.executable, "-m", "uv", "venv", "-q", "-p", python_of("3.12"), empty.root], check=True
    )
    check = verified(empty)["build"]
    assert check["cause"] == f"tensorflow is not installed in `{empty.python}`"
    assert check["hint"] == f"run `envfix install --python {empty.python} --machine colab-t4`"
