"""Driver and GPUs as the CUDA driver API tells them, which is what TensorFlow itself asks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from envfix.model.machine import Evidence, Outcome
from envfix.ports import Outside
from envfix.probe.evidence import child_answer, piece
from envfix.probe.nvidia_reading import Reading, as_cuda, as_gpu, not_loaded, nothing, reading

SOURCE = "cuda-driver-api"
CHILD = str(Path(__file__).with_name("children") / "driver_api.py")
MARK = "envfix-driver-api:"
# CUresult of the CUDA driver API reference: what cuInit returns where it does not work.
ERRORS = {
    3: "CUDA_ERROR_NOT_INITIALIZED",
    34: "CUDA_ERROR_STUB_LIBRARY",
    46: "CUDA_ERROR_DEVICE_UNAVAILABLE",
    100: "CUDA_ERROR_NO_DEVICE",
    101: "CUDA_ERROR_INVALID_DEVICE",
    214: "CUDA_ERROR_ECC_UNCORRECTABLE",
    304: "CUDA_ERROR_OPERATING_SYSTEM",
    801: "CUDA_ERROR_NOT_SUPPORTED",
    802: "CUDA_ERROR_SYSTEM_NOT_READY",
    803: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
    804: "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
    999: "CUDA_ERROR_UNKNOWN",
}
STUB_LIBRARY, NO_DEVICE = 34, 100


def read_driver_api(outside: Outside, timeout: float, python: str = sys.executable) -> Reading:
    """libcuda's answer, with every device that CUDA_VISIBLE_DEVICES would hide."""
    env = {name: value for name, value in outside.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # NVML's order
    ran = outside.run([python, "-I", "-S", "-B", CHILD], timeout=timeout, env=env)
    outcome, answer, detail = child_answer(ran, MARK)
    if outcome is not Outcome.FOUND:
        return nothing(SOURCE, outcome, detail)
    if answer.get("status") == "not-loaded":
        return not_loaded(outside, SOURCE, "libcuda.so.1", str(answer.get("text", "")))
    if answer.get("status") != "ok":
        return nothing(SOURCE, Outcome.FAILED, str(answer.get("text") or "an answer without a status"))
    if answer.get("init") != 0:
        return _not_initialised(answer)
    return _initialised(answer)


def _not_initialised(answer: dict[str, Any]) -> Reading:
    """cuInit refused. That there is no device is an answer; anything else is a failure."""
    code = answer.get("init")
    said = f"cuInit returned {named(code)}"
    if code == STUB_LIBRARY:
        return nothing(SOURCE, Outcome.ABSENT, f"{said}: libcuda.so.1 is a toolkit's stub, no driver")
    empty = code == NO_DEVICE
    return Reading(
        source=SOURCE,
        # The library answers for its own CUDA even where no driver runs under it.
        cuda=as_cuda(answer.get("cuda")),
        gpus=() if empty else None,
        evidence=(piece("gpus", SOURCE, Outcome.ABSENT if empty else Outcome.FAILED, said),),
    )


def _initialised(answer: dict[str, Any]) -> Reading:
    listed = answer.get("gpus")
    devices: list[Any] = listed if isinstance(listed, list) else []
    trouble: list[Evidence] = []
    count = answer.get("count")
    if count not in (0, NO_DEVICE):
        trouble.append(piece("gpus", SOURCE, Outcome.FAILED, f"cuDeviceGetCount returned {named(count)}"))
    for index, device in enumerate(devices):
        if isinstance(device, dict) and device.get("error"):
            said = f"cuDeviceGet({index}) returned {named(device['error'])}"
            trouble.append(piece(f"gpus[{index}]", SOURCE, Outcome.FAILED, said))
    gpus = tuple(map(as_gpu, devices)) if count in (0, NO_DEVICE) else None
    return reading(SOURCE, None, as_cuda(answer.get("cuda")), gpus, trouble)


def named(code: Any) -> str:
    """`100 (CUDA_ERROR_NO_DEVICE)`."""
    return f"{code} ({ERRORS[code]})" if isinstance(code, int) and code in ERRORS else str(code)
