"""Which GPUs the CUDA libraries and cuDNN have code for (`cuda.yaml`, `cudnn.yaml`)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET

from envfix.model.machine import Machine, known
from envfix.model.matrix import CudnnSupport, Matrix, ToolkitSupport
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease


def toolkit_support(matrix: Matrix, cuda: CudaRelease) -> ToolkitSupport | None:
    """The row of `cuda.yaml` for a CUDA release: its own, or the last one before it."""
    return next((row for row in reversed(matrix.cuda.releases) if row.cuda <= cuda), None)


def cudnn_support(matrix: Matrix, cudnn: CudnnRelease) -> CudnnSupport | None:
    """The row of `cudnn.yaml` for a cuDNN release."""
    return next((row for row in reversed(matrix.cudnn.releases) if row.first <= cudnn), None)


def cuda_knows(matrix: Matrix, cuda: CudaRelease, capabilities: Iterable[ComputeCapability]) -> bool:
    """Whether that CUDA's compiler and libraries know all of these GPUs; a CUDA without a row knows none."""
    row = toolkit_support(matrix, cuda)
    return row is not None and all(
        row.first <= capability <= row.last and capability not in row.without for capability in capabilities
    )


def cudnn_knows(matrix: Matrix, cudnn: CudnnRelease, capabilities: Iterable[ComputeCapability]) -> bool:
    """Whether that cuDNN has code for all of these GPUs; a cuDNN without a row has none."""
    row = cudnn_support(matrix, cudnn)
    return row is not None and all(row.oldest <= capability <= row.newest for capability in capabilities)


def known_capabilities(machine: Machine) -> tuple[ComputeCapability, ...]:
    """The compute capabilities of the machine's GPUs, those that are known."""
    found = [gpu.compute_capability for gpu in known(machine.gpus, ())]
    return tuple(capability for capability in found if capability is not UNSET)
