"""Real TensorFlow wheels and real CUDA libraries under the driver stub: without the loader, and with it.

Needs the package index and some 4 GB for each release, which uv links from its cache; removed afterwards.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from envfix.install import loader
from envfix.model.outcome import Proof, Status, Verification
from envfix.model.request import Accelerator
from envfix.model.target import Target
from envfix.probe import interpreter
from envfix.system.outside import RealOutside
from envfix.verify import checks
from envfix.verify.stub import build as stub
from tests.pythons import python_of
from tests.values import T4, changed

pytestmark = pytest.mark.live

UV = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
CU11 = (
    "nvidia-cuda-runtime-cu11==11.8.89", "nvidia-cublas-cu11==11.11.3.6", "nvidia-cudnn-cu11==8.9.6.50",
    "nvidia-cufft-cu11==10.9.0.58", "nvidia-curand-cu11==10.3.0.86", "nvidia-cusolver-cu11==11.4.1.48",
    "nvidia-cusparse-cu11==11.7.5.86", "nvidia-nccl-cu11==2.21.5", "nvidia-cuda-nvcc-cu11==11.8.89",
)  # fmt: skip
TWO_T4 = changed(T4, gpus=(*T4.gpus, *T4.gpus))  # type: ignore[misc]


class Case(NamedTuple):
    version: str
    python: str
    requirements: tuple[str, ...]
    missing: str


CASES = (
    Case("2.10.1", "3.10", ("tensorflow==2.10.1", *CU11, "numpy<2", "protobuf<3.20"), "libcudart.so.11.0"),
    Case("2.16.1", "3.11", ("tensorflow[and-cuda]==2.16.1",), "libcublas.so.12"),
    Case("2.21.0", "3.12", ("tensorflow[and-cuda]==2.21.0",), "libcusolver.so.11"),
)


class Under(RealOutside):
    """The real outside in an environment of a test's own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(quiet=True)
        self._environ = environ

    @property
    def environ(self) -> Mapping[str, str]:
        return self._environ


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.version)
def case(request: pytest.FixtureRequest) -> Case:
    assert isinstance(request.param, Case)
    return request.param


@pytest.fixture(scope="module")
def target(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    interpreter_path = python_of(case.python)
    root = tmp_path_factory.mktemp("tf") / "env"
    subprocess.run([UV, "venv", "-q", "-p", interpreter_path, root], check=True)
    python = str(root / "bin" / "python")
    subprocess.run(
        [UV, "pip", "install", "-q", "-p", python, "setuptools<81", *case.requirements], check=True
    )
    yield interpreter.read_target(RealOutside(quiet=True), python)
    shutil.rmtree(root)


def verified(target: Target, outside: RealOutside, folder: str | None) -> Verification:
    return checks.verify(
        outside, target.executable, accelerator=Accelerator.GPU, machine=TWO_T4, stub=folder, timeout=180
    )


def test_the_published_wheel_finds_no_gpu_and_the_loader_cures_it(case: Case, target: Target) -> None:
    outside = RealOutside(quiet=True)
    folder = stub.build(outside)
    before = verified(target, outside, folder)
    assert before.proof is None
    assert case.missing in next(check.cause for check in before.checks if check.name == "libraries")

    loader.install(outside, target)
    after = verified(target, outside, folder)
    assert after.proof is Proof.LOADER, [check for check in after.checks if check.status is Status.FAILED]
    assert after.tensorflow == case.version
    assert after.devices == ("GPU:0 Tesla T4 7.5", "GPU:1 Tesla T4 7.5")
    assert f"({target.purelib}/nvidia/cusolver/lib/libcusolver.so.11)" in after.checks[1].observed

    # The stub in front of a run that asks for a real GPU: the device is listed, and nothing can be run on it.
    environ = {"LD_LIBRARY_PATH": folder, "ENVFIX_STUB_GPUS": "Tesla T4|7.5|15360", "PATH": "/usr/bin:/bin"}
    as_gpu = verified(target, Under(environ), None)
    assert as_gpu.proof is None
    assert "device initialised" in [check.name for check in as_gpu.checks if check.status is Status.FAILED]

    loader.remove(outside, target)
    assert verified(target, outside, folder).proof is None


def test_the_cpu_is_proven_on_the_cpu(target: Target) -> None:
    machine = structs.replace(T4, gpus=(), driver=None)
    result = checks.verify(
        RealOutside(quiet=True), target.executable, accelerator=Accelerator.CPU, machine=machine
    )
    assert result.proof is Proof.CPU, [check for check in result.checks if check.status is Status.FAILED]
