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


class Tally:
    """Adds looks up, so that a long watch need not keep them."""

    def __init__(self) -> None:
        self._gpus: dict[int, _Sums] = {}

    def add(self, sample: Sample) -> None:
        """Count one look at all GPUs in."""
        for gpu in sample.gpus:
            self._gpus.setdefault(gpu.index, _Sums(gpu)).add(gpu)

    def activity(self) -> tuple[Activity, ...]:
        """Each GPU's activity so far, in NVML's order."""
        return tuple(sums.activity() for _, sums in sorted(self._gpus.items()))


def activity(samples: Sequence[Sample]) -> tuple[Activity, ...]:
    """Each GPU's activity, in NVML's order."""
    tally = Tally()
    for sample in samples:
        tally.add(sample)
    return tally.activity()


class _Sums:
    """What is added up of one GPU."""

    def __init__(self, first: GpuUsage) -> None:
        self.first = first
        self.looks = self.told = self.total = self.idle = 0
        self.highest: int | None = None
        self.most_used: int | None = None

    def add(self, gpu: GpuUsage) -> None:
        self.looks += 1
        if gpu.gpu_percent is not None:
            self.told += 1
            self.total += gpu.gpu_percent
            self.idle += gpu.gpu_percent == 0
            self.highest = max(gpu.gpu_percent, self.highest or 0)
        if gpu.used_mib is not None:
            self.most_used = max(gpu.used_mib, self.most_used or 0)

    def activity(self) -> Activity:
        return Activity(
            index=self.first.index,
            name=self.first.name,
            bus=self.first.bus,
            looks=self.looks,
            mean_percent=round(self.total / self.told, 1) if self.told else None,
            max_percent=self.highest,
            idle_percent=round(100 * self.idle / self.told, 1) if self.told else None,
            max_used_mib=self.most_used,
            total_mib=self.first.total_mib,
        )
