"""What a verification is judged against when it fails: the environment, the notebook, the GPUs' memory."""

from __future__ import annotations

from msgspec import Struct

from envfix.model.target import Kernel, Target


class GpuProcess(Struct, frozen=True, kw_only=True):
    """A process that computes on a GPU; `used_mib` is None where the driver does not tell (MIG, WSL)."""

    pid: int
    used_mib: int | None = None
    command: str = ""


class GpuMemory(Struct, frozen=True, kw_only=True):
    """The memory of one GPU in MiB and the processes that hold it, as NVML tells."""

    index: int
    name: str = ""
    total_mib: int
    used_mib: int
    processes: tuple[GpuProcess, ...] = ()


class Surroundings(Struct, frozen=True, kw_only=True):
    """`target` is the interpreter that was verified, `kernel` the notebook's, if envfix runs in one.

    `repair` is the command line that puts the target right, empty where that has just been run. `without_gpu`
    says what gets a GPU here, most likely first.
    """

    target: Target | None = None
    kernel: Kernel | None = None
    memory: tuple[GpuMemory, ...] = ()
    repair: str = "envfix install"
    without_gpu: tuple[str, ...] = ()
