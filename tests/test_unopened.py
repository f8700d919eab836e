"""What shows that an NVIDIA wheel is not needed: compiled libraries that name each other, and a trace."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "unopened.py"
# Library, the function that it exports and the text that it holds.
SOURCES = {
    "nvidia/curand/lib/libcurand.so.10": ("curandCreateGenerator", "curand"),
    "nvidia/nccl/lib/libnccl.so.2": ("ncclGetVersion", "nccl"),
    "nvidia/cuda_nvrtc/lib/libnvrtc.so.12": ("nvrtcVersion", "nvrtc"),
    "nvidia/cudnn/lib/libcudnn.so.9": ("cudnnCreate", "libnvrtc.so.%d"),
    "tensorflow/libtensorflow_framework.so.2": ("TF_Version", "ncclGetVersion and curandCreateGenerators"),
}
WHEELS = {
    "nvidia_curand_cu12-10.3.6.82": ["nvidia/curand/lib/libcurand.so.10", "nvidia/curand/include/curand.h"],
    "nvidia_nccl_cu12-2.25.1": ["nvidia/nccl/lib/libnccl.so.2"],
    "nvidia_cuda_nvrtc_cu12-12.5.82": ["nvidia/cuda_nvrtc/lib/libnvrtc.so.12"],
    "nvidia_cudnn_cu12-9.3.0.75": ["nvidia/cudnn/lib/libcudnn.so.9"],
    "nvidia_cuda_nvcc_cu12-12.5.82": ["nvidia/cuda_nvcc/bin/ptxas", "nvidia/cuda_nvcc/include/nvml.h"],
}
TRACE = """\
      1:\tfind library=libcuda.so.1 [0]; searching
      1:\tfind library=libcudnn.so.9 [0]; searching
      1:\t search path=/x\t\t(LD_LIBRARY_PATH)
      1:\t  trying file=/x/libcudnn.so.9
      1:\tcalling init: {cudnn}
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unopened", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["unopened"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site-packages folder with real shared libraries."""
    site = tmp_path_factory.mktemp("site")
    for name, (function, text) in SOURCES.items():
        (site / name).parent.mkdir(parents=True)
        source = f'const char *{function}(void) {{ return "{text}"; }}\n'
        argv = ["cc", "-shared", "-fPIC", "-xc", "-", "-o", str(site / name)]
        subprocess.run(argv, input=source, text=True, check=True)
    for wheel, files in WHEELS.items():
        info = site / f"{wheel}.dist-info"
        info.mkdir()
        names = [*files, f"{info.name}/RECORD", f"{info.name}/METADATA"]
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    return site


@pytest.fixture
def trace(script: ModuleType, site: Path, tmp_path: Path) -> object:
    (tmp_path / "loader.1").write_text(TRACE.format(cudnn=site / "nvidia/cudnn/lib/libcudnn.so.9"))
    (tmp_path / "loader.2").write_text("      2:\tfind library=libcurand.so.10 [0]; searching\n")
    return script.read_trace(tmp_path)


def test_each_wheel_is_needed_for_its_own_reason_or_for_none(
    script: ModuleType, site: Path, trace: object
) -> None:
    found = {verdict.wheel.name: (verdict.needed, verdict.asks) for verdict in script.verdicts(site, trace)}
    assert found == {
        "nvidia-cuda-nvcc-cu12": ("holds what is run or read, such as nvidia/cuda_nvcc/bin/ptxas", ()),
        "nvidia-cuda-nvrtc-cu12": ("nvidia/cudnn/lib/libcudnn.so.9 names one of libnvrtc.so", ()),
        "nvidia-cudnn-cu12": ("opened when the GPU registers: libcudnn.so.9", ()),
        # A longer name that begins alike is another function.
        "nvidia-curand-cu12": ("", ()),
        "nvidia-nccl-cu12": ("", ("ncclGetVersion",)),
    }


def test_a_library_that_is_asked_for_in_vain_is_asked_for(
    script: ModuleType, site: Path, trace: object
) -> None:
    wheels = {wheel.name: wheel for wheel in script.wheels(site)}
    assert wheels["nvidia-nccl-cu12"].version == "2.25.1"
    sought = script.Trace(frozenset({"libnccl.so.2", "libnccl.so"}), frozenset())
    assert script.searched_for(wheels["nvidia-nccl-cu12"], sought) == ("libnccl.so", "libnccl.so.2")
    assert script.searched_for(wheels["nvidia-nccl-cu12"], trace) == ()
    opened = script.Trace(frozenset(), frozenset({"/elsewhere/libnccl.so.2"}))
    assert script.searched_for(wheels["nvidia-nccl-cu12"], opened) == ("libnccl.so.2",)
