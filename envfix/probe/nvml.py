"""Driver and GPUs as NVML tells them, through nvidia-ml-py in a child process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from envfix.model.machine import Evidence, Outcome
from envfix.ports import Outside
from envfix.probe.evidence import child_answer, piece
from envfix.probe.nvidia_reading import Reading, as_cuda, as_gpu, as_release, not_loaded, nothing, reading

SOURCE = "nvml"
CHILD = str(Path(__file__).with_name("children") / "nvml.py")
MARK = "envfix-nvml:"
DRIVER_NOT_LOADED = 9  # nvmlReturn_t, NVML API reference


def read_nvml(outside: Outside, timeout: float, python: str = sys.executable) -> Reading:
    """NVML's answer; `python` is the interpreter that has nvidia-ml-py, envfix's own."""
    ran = outside.run([python, "-I", "-S", "-B", CHILD, bindings()], timeout=timeout)
    outcome, answer, detail = child_answer(ran, MARK)
    if outcome is not Outcome.FOUND:
        return nothing(SOURCE, outcome, detail)
    status, text = answer.get("status"), str(answer.get("text", ""))
    if status == "not-loaded":
        return not_loaded(outside, SOURCE, "libnvidia-ml.so.1", text)
    if status == "error" and answer.get("code") == DRIVER_NOT_LOADED:
        return nothing(SOURCE, Outcome.ABSENT, f"the library is there, but no driver is loaded: {text}")
    if status == "error":
        return nothing(SOURCE, Outcome.FAILED, f"nvmlInit returned {answer.get('code')}: {text}")
    if status != "ok":
        return nothing(SOURCE, Outcome.FAILED, text or "an answer without a status")
    gpus = answer.get("gpus")
    trouble = str(answer.get("trouble") or "")
    pieces = [piece("gpus", SOURCE, Outcome.FAILED, trouble)] if trouble else []
    return reading(
        SOURCE,
        as_release(answer.get("release")),
        as_cuda(answer.get("cuda")),
        tuple(map(as_gpu, gpus)) if isinstance(gpus, list) and (gpus or not trouble) else None,
        (*pieces, *_missed(answer.get("missed"))),
    )


def _missed(answer: object) -> Iterator[Evidence]:
    """Evidence of what NVML was asked and could not tell, with its reason."""
    for pair in answer if isinstance(answer, list) else ():
        if isinstance(pair, list) and len(pair) == 2:
            yield piece(str(pair[0]), SOURCE, Outcome.FAILED, str(pair[1]))


def bindings() -> str:
    """The folder of `pynvml.py`, without importing it; empty when nvidia-ml-py is not installed."""
    spec = importlib.util.find_spec("pynvml")
    return str(Path(spec.origin).parent) if spec and spec.origin else ""
