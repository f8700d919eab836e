"""Whether a row of `known_bad.yaml` is about this release on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from msgspec import UNSET

from envfix.model.machine import Driver, Machine, known
from envfix.model.matrix import KnownBad, Release
from envfix.model.specifiers import allows
from envfix.model.versions import ComputeCapability, CudnnRelease, DriverRelease
from envfix.nvidia.pins import is_for


class Match(Enum):
    """MAYBE: a fact that the row asks for is not known."""

    YES = 1
    MAYBE = 2
    NO = 3


def matches(
    row: KnownBad,
    release: Release,
    machine: Machine,
    *,
    gpu: ComputeCapability | None = None,
    cudnn: CudnnRelease | None = None,
) -> Match:
    """Every condition of the row must hold. `gpu` asks about one GPU alone; `cudnn` is the one used."""
    if not is_for(row.tf, release):
        return Match.NO
    held = list(_conditions(row, machine, gpu, cudnn))
    if Match.NO in held:
        return Match.NO
    return Match.MAYBE if Match.MAYBE in held else Match.YES


def _conditions(
    row: KnownBad, machine: Machine, gpu: ComputeCapability | None, cudnn: CudnnRelease | None
) -> Iterator[Match]:
    if row.os is not None:
        yield Match.MAYBE if machine.os is UNSET else _of(machine.os is row.os)
    if row.arch is not None:
        yield Match.MAYBE if machine.arch is UNSET else _of(machine.arch is row.arch)
    if row.python:
        python = machine.python
        yield Match.MAYBE if python is UNSET else _of(allows(row.python, str(python.cut(2))))
    if row.gpu_first is not None or row.gpu_last is not None:
        yield _gpu(row, machine) if gpu is None else _of(is_within(row, gpu))
    if row.driver_below is not None:
        yield _driver(row, row.driver_below, known(machine.driver, None))
    if row.cudnn_below is not None:
        yield Match.MAYBE if cudnn is None else _of(cudnn < row.cudnn_below)


def _driver(row: KnownBad, below: DriverRelease, driver: Driver | None) -> Match:
    """By the driver's release, else by its CUDA where that is enough to tell."""
    if driver is not None and driver.release is not UNSET:
        return _of(driver.release < below)
    if driver is not None and driver.cuda is not UNSET and row.driver_cuda_below is not None:
        return _of(driver.cuda.cut(2) < row.driver_cuda_below)
    return Match.MAYBE


def _gpu(row: KnownBad, machine: Machine) -> Match:
    """One GPU within the bounds is enough; one of unknown compute capability may be."""
    if machine.gpus is UNSET:
        return Match.MAYBE
    capabilities = [gpu.compute_capability for gpu in machine.gpus]
    if any(capability is not UNSET and is_within(row, capability) for capability in capabilities):
        return Match.YES
    return Match.MAYBE if UNSET in capabilities else Match.NO


def is_within(row: KnownBad, capability: ComputeCapability) -> bool:
    """Whether the row's bounds hold the compute capability; without any they hold every one."""
    return (row.gpu_first is None or row.gpu_first <= capability) and (
        row.gpu_last is None or capability <= row.gpu_last
    )


def _of(condition: bool) -> Match:
    return Match.YES if condition else Match.NO
