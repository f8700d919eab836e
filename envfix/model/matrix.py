"""The compatibility matrix as values; `envfix.matrix.load` makes them from `compat_matrix/*.yaml`."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from packaging.version import Version

from envfix.model.companions import Companion
from envfix.model.machine import Arch, Os
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    DriverCuda,
    DriverRelease,
    GlibcRelease,
    PtxIsa,
    PythonRelease,
)


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A row of a matrix file; unknown keys are an error."""


class WheelSet(Row, frozen=True):
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


class Kernels(Row, frozen=True):
    """What one group of kernels in the wheel holds (`cuobjdump --list-elf --list-ptx`).

    `portable` is False for PTX of an architecture-specific target such as `sm_90a`, which no other
    compute capability can run.
    """

    sass: tuple[ComputeCapability, ...]
    ptx: ComputeCapability | None = None
    ptx_isa: PtxIsa | None = None
    portable: bool = True


class LoaderProof(Row, frozen=True):
    """One real load of the wheel under the driver stub, with and without envfix's library discovery."""

    date: str
    python: PythonRelease
    registers_as_published: bool | None
    registers_with_envfix: bool


class Release(Row, frozen=True):
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


class WheelFacts(Row, frozen=True):
    """What wheels do not say of themselves: read in their fat binaries, or on the vendor's page.

    `tf` is a specifier. `cudnn` is the cuDNN they were compiled against; the ISAs are those of the PTX in
    each kernel group; `portable` is False where the generated kernels' PTX is for `sm_90a`, which only 9.0
    runs; `compute_capabilities` stands for those that `build_info` leaves out.
    """

    tf: str
    source: str
    cudnn: CudnnRelease | None = None
    hand_written_isa: PtxIsa | None = None
    kernel_gen_isa: PtxIsa | None = None
    portable: bool = True
    compute_capabilities: tuple[str, ...] = ()


class WheelTable(Row, frozen=True):
    """`wheels.yaml`."""

    wheels: tuple[WheelFacts, ...]


class DriverFloor(Row, frozen=True):
    """The least driver for a CUDA major, by operating system; WSL compares with `windows`."""

    major: int
    linux: str
    windows: str | None
    source: str


class PtxFloor(Row, frozen=True):
    """The first driver whose JIT compiler knows a PTX ISA: minor-version compatibility leaves JIT out."""

    isa: PtxIsa
    cuda: CudaRelease
    linux: str
    windows: str | None
    source: str


class ToolkitSupport(Row, frozen=True):
    """The compute capabilities that a CUDA release's libraries and compiler know, and its own driver.

    `without` are those between `first` and `last` that came later all the same.
    """

    cuda: CudaRelease
    first: ComputeCapability
    last: ComputeCapability
    without: tuple[ComputeCapability, ...] = ()
    linux: str | None = None
    windows: str | None = None
    source: str = ""


class CudaWheels(Row, frozen=True):
    """A set of NVIDIA wheels that belong to one CUDA release, as pins by distribution name.

    Used where a release names no pins of its own (2.10 to 2.13) or names ranges (2.20 on).
    """

    cuda: CudaRelease
    pins: dict[str, str]
    source: str


class CudaTable(Row, frozen=True):
    """`cuda.yaml`."""

    drivers: tuple[DriverFloor, ...]
    ptx: tuple[PtxFloor, ...]
    releases: tuple[ToolkitSupport, ...]
    wheels: tuple[CudaWheels, ...]


class CudnnSupport(Row, frozen=True):
    """The compute capabilities that cuDNN releases from `first` on have code for, until the next row."""

    first: CudnnRelease
    oldest: ComputeCapability
    newest: ComputeCapability
    cuda_majors: tuple[int, ...]
    source: str


class CudnnWheels(Row, frozen=True):
    """Published Linux x86_64 wheels for one CUDA major, ascending, that need at least `glibc`."""

    cuda_major: int
    glibc: GlibcRelease
    versions: tuple[CudnnRelease, ...]


class CudnnPreference(Row, frozen=True):
    """The cuDNN to take where a release names a range or nothing: the first of `versions` that fits."""

    tf: str
    versions: tuple[CudnnRelease, ...]
    because: str
    source: str


class CudnnTable(Row, frozen=True):
    """`cudnn.yaml`: `releases` ascending."""

    releases: tuple[CudnnSupport, ...]
    wheels: tuple[CudnnWheels, ...]
    preferred: tuple[CudnnPreference, ...] = ()


class GpuName(Row, frozen=True):
    """A product name as NVML prints it, or part of one, with its compute capability."""

    name: str
    compute_capability: ComputeCapability
    family: str
    source: str = ""


class DriverEnd(Row, frozen=True):
    """The last driver branch for GPUs up to a compute capability, such as 470 for Kepler."""

    up_to: ComputeCapability
    last_branch: int
    source: str


class GpuTable(Row, frozen=True):
    """`gpus.yaml`: names, what the words for `code` mean, and where drivers end (ascending)."""

    codes: dict[str, str]
    gpus: tuple[GpuName, ...]
    drivers_end: tuple[DriverEnd, ...] = ()


class Effect(str, Enum):
    """What a known defect comes to; `compat_matrix/known_bad.yaml` says what each means."""

    NO = "no"
    UNKNOWN = "unknown"
    LOADER = "loader"
    CAPS = "caps"
    SLOW = "slow"
    NOTE = "note"
    AVOIDED = "avoided"


class KnownBad(Row, frozen=True):
    """A release or combination known not to install, import or run, and what envfix does about it.

    `tf` is a specifier; `gpu_first`/`gpu_last` bound the compute capability, `driver_below` the driver
    (`driver_cuda_below` the driver's CUDA, where its release is not known), `cudnn_below` the cuDNN. `effect`
    is `no`, `unknown`, `loader` (the loader fix cures it), `caps` (the `requirements` cure it), `slow` or
    `note` (works; say so), or `avoided` (envfix does not step into it). `code` names what the kernels come to
    where the fat binaries alone would say better; `python` is a specifier of feature releases. With
    `gpu_only` the CPU build of the release is none the worse; with `without_system_cuda` the row does not
    count where the machine's own toolkit and cuDNN serve the release.
    """

    id: str
    tf: str
    effect: Effect
    symptom: str
    source: str
    requirements: tuple[str, ...] = ()
    remedy: str = ""
    python: str = ""
    code: str = ""
    gpu_only: bool = False
    without_system_cuda: bool = False
    os: Os | None = None
    arch: Arch | None = None
    gpu_first: ComputeCapability | None = None
    gpu_last: ComputeCapability | None = None
    driver_below: DriverRelease | None = None
    driver_cuda_below: DriverCuda | None = None
    cudnn_below: CudnnRelease | None = None


class Matrix(Struct, frozen=True, kw_only=True):
    """The whole matrix, validated.

    `wheels` is what they do not say of themselves; `digest` the SHA-256 of the files, `date` the day on which
    the releases were read from the index.
    """

    releases: tuple[Release, ...]
    wheels: tuple[WheelFacts, ...] = ()
    cuda: CudaTable
    cudnn: CudnnTable
    gpus: GpuTable
    known_bad: tuple[KnownBad, ...]
    companions: tuple[Companion, ...] = ()
    digest: str
    date: str
