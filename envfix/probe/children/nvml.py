"""What NVML says of driver and GPUs, as one marked JSON line. argv: the folder that holds `pynvml.py`.

A child, because a broken libnvidia-ml.so.1 may crash or hang whoever loads it.
"""

from __future__ import annotations

import ctypes
import json
import sys

TYPE_CHECKING = False  # importing typing for its own would cost more than the rest
if TYPE_CHECKING:
    from typing import Any

MARK = "envfix-nvml:"
LIBRARY = "libnvidia-ml.so.1"


def text(value: str | bytes) -> str:
    """nvidia-ml-py before 11.515 returns bytes, later ones str."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def attempt(function: Any, *arguments: Any) -> Any:
    """The answer, or None where this NVML or this device cannot give it."""
    try:
        return function(*arguments)
    except Exception:
        return None


def device(nvml: Any, index: int) -> dict[str, Any]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = attempt(nvml.nvmlDeviceGetMemoryInfo, handle)
    name = attempt(nvml.nvmlDeviceGetName, handle)
    return {
        "name": None if name is None else text(name),
        "capability": attempt(getattr(nvml, "nvmlDeviceGetCudaComputeCapability", None), handle),
        "memory": None if memory is None else int(memory.total),
    }


def driver_cuda(nvml: Any) -> int | None:
    """The driver's CUDA as 1000 * major + 10 * minor; the first NVML that tells it is R410's."""
    for name in ("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"):
        answer = attempt(getattr(nvml, name, None))
        if answer:
            return int(answer)
    return None


def ask(nvml: Any) -> dict[str, Any]:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return {"status": "error", "code": int(error.value), "text": str(error)}
    answer: dict[str, Any] = {"status": "ok", "cuda": driver_cuda(nvml), "gpus": [], "trouble": ""}
    release = attempt(nvml.nvmlSystemGetDriverVersion)
    answer["release"] = None if release is None else text(release)
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            answer["gpus"].append(device(nvml, index))
    except nvml.NVMLError as error:
        answer["trouble"] = str(error)
    return answer


def main() -> dict[str, Any]:
    if not sys.platform.startswith("win"):
        # Before importing the bindings: they cost 0.1 s and hide why the library did not load.
        try:
            ctypes.CDLL(LIBRARY)
        except OSError as error:
            return {"status": "not-loaded", "text": str(error)}
    sys.path.insert(0, sys.argv[1])
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError as error:
        return {"status": "no-bindings", "text": str(error)}
    return ask(pynvml)


sys.stdout.write("\n" + MARK + json.dumps(main()) + "\n")
sys.stdout.flush()
