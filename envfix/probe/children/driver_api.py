"""What the CUDA driver API (libcuda) says, as one marked JSON line.

A child, because libcuda starts threads and may crash or hang whoever loads it. The functions and their
numbers are those of the CUDA driver API reference (docs.nvidia.com/cuda/cuda-driver-api).
"""

from __future__ import annotations

import ctypes
import json
import sys

TYPE_CHECKING = False  # importing typing for its own would cost more than the rest
if TYPE_CHECKING:
    from typing import Any

MARK = "envfix-driver-api:"
LIBRARY = "nvcuda.dll" if sys.platform.startswith("win") else "libcuda.so.1"
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76  # CUdevice_attribute


def device(cuda: Any, index: int) -> dict[str, Any]:
    """One GPU: memory in bytes, compute capability as [major, minor], None what it does not say; or its
    CUresult as `error`."""
    handle = ctypes.c_int()
    code = cuda.cuDeviceGet(ctypes.byref(handle), index)
    if code:
        return {"error": code}
    name = ctypes.create_string_buffer(256)
    memory = ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    named = cuda.cuDeviceGetName(name, len(name), handle) == 0
    sized = cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), handle) == 0
    rated = (
        cuda.cuDeviceGetAttribute(ctypes.byref(major), COMPUTE_CAPABILITY_MAJOR, handle) == 0
        and cuda.cuDeviceGetAttribute(ctypes.byref(minor), COMPUTE_CAPABILITY_MINOR, handle) == 0
    )
    return {
        "name": name.value.decode("utf-8", "replace") if named else None,
        "capability": [major.value, minor.value] if rated else None,
        "memory": memory.value if sized else None,
    }


def main() -> dict[str, Any]:
    """The answer: `cuda` is 1000 * major + 10 * minor, `init` and `count` are CUresults (0 is success)."""
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError as error:
        return {"status": "not-loaded", "text": str(error)}
    try:
        version, count = ctypes.c_int(), ctypes.c_int()
        told = cuda.cuDriverGetVersion(ctypes.byref(version)) == 0
        answer: dict[str, Any] = {"status": "ok", "cuda": version.value if told else None, "gpus": []}
        answer["init"] = cuda.cuInit(0)
        if answer["init"] == 0:
            answer["count"] = cuda.cuDeviceGetCount(ctypes.byref(count))
            answer["gpus"] = [device(cuda, index) for index in range(count.value)]
        return answer
    except AttributeError as error:
        return {"status": "no-function", "text": str(error)}


sys.stdout.write("\n" + MARK + json.dumps(main()) + "\n")
sys.stdout.flush()
