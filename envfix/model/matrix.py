"""The compatibility matrix as values; `envfix.matrix.load` makes them from `compat_matrix/*.yaml`."""

from __future__ import annotations

from msgspec import Struct
from packaging.version import Version

from envfix.model.machine import Arch, Os
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    GlibcRelease,
    PtxIsa,
    PythonRelease,
)


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A row of a matrix file; unknown keys are an error."""


class WheelSet(Row):
    """The wheels of a release for one platform.

    `cuda` says whether they are CUDA builds; `glibc` is the floor from the manylinux tag; `size` the
    largest wheel's bytes.
    """

    os: Os
    arch: Arch
    python: tuple[PythonRelease, ...]
    cuda: bool
    size: int
    glibc: GlibcRelease | None = None


class Kernels(Row):
    """What one group of kernels in the wheel holds (`cuobjdump --list-elf --list-ptx`).

    `portable` is False for PTX of an architecture-specific target such as `sm_90a`, which no other
    compute capability can run.
    """

    sass: tuple[ComputeCapability, ...]
    ptx: ComputeCapability | None = None
    ptx_isa: PtxIsa | None = None
    portable: bool = True


class LoaderProof(Row):
    """One real load of the wheel under the driver stub, with and without envfix's library discovery."""

    date: str
    python: PythonRelease
    registers_as_published: bool | None
    registers_with_envfix: bool


class Release(Row):
    """One release of one package, read from its wheels. `origin` says where each value was read."""

    version: Version
    package: str = "tensorflow"
    uploaded: str = ""
    yanked: bool = False
    wheels: tuple[WheelSet, ...] = ()
    built_with_cuda: CudaRelease | None = None
    built_with_cudnn: CudnnRelease | None = None
    compute_capabilities: tuple[str, ...] = ()
    hand_written: Kernels | None = None
    kernel_gen: Kernels | None = None
    requires: tuple[str, ...] = ()
    and_cuda: tuple[str, ...] = ()
    origin: dict[str, str] = {}
    proofs: tuple[LoaderProof, ...] = ()

    @property
    def proven(self) -> bool:
        """Whether the real wheel was seen registering a GPU in an environment that envfix made."""
        return any(proof.registers_with_envfix for proof in self.proofs)


class DriverFloor(Row):
    """The least driver for a CUDA major, by operating system; WSL compares with `windows`."""

    major: int
    linux: str
    windows: str | None
    source: str


class PtxFloor(Row):
    """The first driver whose JIT compiler knows a PTX ISA (minor-version compatibility does not cover JIT)."""

    isa: PtxIsa
    cuda: CudaRelease
    linux: str
    source: str


class ToolkitSupport(Row):
    """A range of compute capabilities that a CUDA release's libraries and compiler know."""

    cuda: CudaRelease
    first: ComputeCapability
    last: ComputeCapability
    linux: str | None = None
    source: str = ""


class CudaWheels(Row):
    """A set of NVIDIA wheels that belong to one CUDA release, as pins by distribution name.

    Used where a release names no pins of its own (2.10 to 2.13) or names ranges (2.20 on).
    """

    cuda: CudaRelease
    pins: dict[str, str]
    source: str


class CudaTable(Row):
    """`cuda.yaml`."""

    drivers: tuple[DriverFloor, ...]
    ptx: tuple[PtxFloor, ...]
    releases: tuple[ToolkitSupport, ...]
    wheels: tuple[CudaWheels, ...]


class CudnnSupport(Row):
    """The compute capabilities that cuDNN releases from `first` on have code for, until the next row."""

    first: CudnnRelease
    oldest: ComputeCapability
    newest: ComputeCapability
    cuda_majors: tuple[int, ...]
    source: str


class CudnnTable(Row):
    """`cudnn.yaml`: `releases` ascending; `wheels` the published wheels by CUDA major, ascending."""

    releases: tuple[CudnnSupport, ...]
    wheels: dict[str, tuple[CudnnRelease, ...]]


class GpuName(Row):
    """A product name as NVML prints it, or part of one, with its compute capability."""

    name: str
    compute_capability: ComputeCapability
    family: str
    source: str = ""


class GpuTable(Row):
    """`gpus.yaml`: names, and what the words for `code` mean."""

    codes: dict[str, str]
    gpus: tuple[GpuName, ...]


class KnownBad(Row):
    """A release or combination known not to install, import or run, and what envfix does about it.

    `tf` is a specifier; `gpu_first`/`gpu_last` bound the compute capability, `driver_below` the driver,
    `cudnn_below` the cuDNN. `effect` is `no`, `unknown`, `loader` (the loader fix cures it), `caps`
    (the `requirements` cure it) or `slow` (works; say so).
    """

    id: str
    tf: str
    effect: str
    symptom: str
    source: str
    requirements: tuple[str, ...] = ()
    remedy: str = ""
    python: str = ""
    os: Os | None = None
    arch: Arch | None = None
    gpu_first: ComputeCapability | None = None
    gpu_last: ComputeCapability | None = None
    driver_below: str | None = None
    cudnn_below: CudnnRelease | None = None


class Matrix(Struct, frozen=True, kw_only=True):
    """The whole matrix, validated; `digest` is the SHA-256 of the files it was read from."""

    releases: tuple[Release, ...]
    cuda: CudaTable
    cudnn: CudnnTable
    gpus: GpuTable
    known_bad: tuple[KnownBad, ...]
    digest: str
    date: str
