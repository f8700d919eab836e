"""What GPUs were seen doing: the looks of `envfix watch` and of `verify --deep`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class GpuProcess(Struct, frozen=True, kw_only=True):
    """Who holds memory of a GPU; no `name` where the process cannot be seen (another container, the host)."""

    pid: int
    name: str | None = None
    used_mib: int | None = None


class GpuUsage(Struct, frozen=True, kw_only=True):
    """One GPU at one moment, in NVML's numbering; None is what NVML does not tell of it.

    `gpu_percent` is the share of NVML's last sampling period (1/6 to 1 s) in which some kernel ran,
    `memory_percent` the share in which memory was read or written. `temperature` is in degrees Celsius.
    """

    index: int
    name: str | None = None
    bus: str | None = None
    gpu_percent: int | None = None
    memory_percent: int | None = None
    used_mib: int | None = None
    total_mib: int | None = None
    temperature: int | None = None
    watts: float | None = None
    watts_limit: float | None = None
    processes: tuple[GpuProcess, ...] | None = None


class Sample(Struct, frozen=True, kw_only=True):
    """All GPUs at one moment, `seconds` after the first look."""

    seconds: float
    gpus: tuple[GpuUsage, ...]


class Activity(Struct, frozen=True, kw_only=True):
    """What one GPU did over all looks. `idle_percent` is the share of looks that saw it at 0 %.

    None is what NVML never told of it.
    """

    index: int
    name: str | None
    bus: str | None
    looks: int
    mean_percent: float | None
    max_percent: int | None
    idle_percent: float | None
    max_used_mib: int | None
    total_mib: int | None


def activity(samples: Sequence[Sample]) -> tuple[Activity, ...]:
    """Each GPU's activity, in NVML's order."""
    by_index: dict[int, list[GpuUsage]] = {}
    for sample in samples:
        for gpu in sample.gpus:
            by_index.setdefault(gpu.index, []).append(gpu)
    return tuple(_activity(seen) for _, seen in sorted(by_index.items()))


def _activity(seen: Sequence[GpuUsage]) -> Activity:
    percents = [gpu.gpu_percent for gpu in seen if gpu.gpu_percent is not None]
    used = [gpu.used_mib for gpu in seen if gpu.used_mib is not None]
    return Activity(
        index=seen[0].index,
        name=seen[0].name,
        bus=seen[0].bus,
        looks=len(seen),
        mean_percent=round(sum(percents) / len(percents), 1) if percents else None,
        max_percent=max(percents, default=None),
        idle_percent=round(100 * percents.count(0) / len(percents), 1) if percents else None,
        max_used_mib=max(used, default=None),
        total_mib=seen[0].total_mib,
    )
