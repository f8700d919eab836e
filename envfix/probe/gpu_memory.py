"""What holds the GPUs' memory, as NVML tells it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from envfix.model.machine import Outcome
from envfix.model.surroundings import GpuMemory, GpuProcess
from envfix.ports import Outside
from envfix.probe.evidence import child_answer, read_file
from envfix.probe.kernel import parse_cmdline
from envfix.probe.nvml import CHILD, MARK, bindings

MIB = 1 << 20
LONGEST = 80  # characters of a command line that are worth being read


def read_gpu_memory(outside: Outside, timeout: float, python: str = sys.executable) -> tuple[GpuMemory, ...]:
    """The memory of each GPU with the processes that compute on it; empty where NVML does not tell.

    `python` is the interpreter that has nvidia-ml-py, envfix's own.
    """
    ran = outside.run([python, "-I", "-S", "-B", CHILD, bindings(), "memory"], timeout=timeout)
    outcome, answer, _ = child_answer(ran, MARK)
    gpus = answer.get("gpus") if outcome is Outcome.FOUND else None
    return tuple(_memories(outside, gpus if isinstance(gpus, list) else []))


def _memories(outside: Outside, gpus: list[Any]) -> Iterator[GpuMemory]:
    for index, gpu in enumerate(gpus):
        total, used = gpu.get("memory"), gpu.get("used")
        if isinstance(total, int) and isinstance(used, int) and total > 0:
            yield GpuMemory(
                index=index,
                name=str(gpu.get("name") or ""),
                total_mib=total // MIB,
                used_mib=used // MIB,
                processes=tuple(_process(outside, one) for one in gpu.get("processes") or ()),
            )


def _process(outside: Outside, said: dict[str, Any]) -> GpuProcess:
    """NVML knows the program, /proc the whole command line (not that of another container's process)."""
    pid, used = int(said["pid"]), said.get("used")
    words = " ".join(parse_cmdline(read_file(outside, f"/proc/{pid}/cmdline").text))
    command = words if words and (said.get("name") or "").rpartition("/")[2] in words else said.get("name")
    return GpuProcess(
        pid=pid,
        used_mib=used // MIB if isinstance(used, int) else None,
        command=str(command or "")[:LONGEST],
    )
