"""The compatibility matrix as values; `envfix.matrix.load` makes them from `compat_matrix/*.yaml`."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from packaging.version import Version

from envfix.model.companions import Companion
from envfix.model.machine import Arch, Os
from envfix.model.release import (
    Kernels,
    LoaderProof,
    MinimalProof,
    Release,
    Row,
    Spared,
    WheelFacts,
    WheelSet,
    WheelTable,
)
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    DriverCuda,
    DriverRelease,
    GlibcRelease,
    PtxIsa,
)

# With those of a release: to a reader of the matrix they are part of it.
__all__ = [
    "CudaTable",
    "CudaWheels",
    "CudnnPreference",
    "CudnnSupport",
    "CudnnTable",
    "CudnnWheels",
    "DriverEnd",
    "DriverFloor",
    "Effect",
    "GpuName",
    "GpuTable",
    "Kernels",
    "KnownBad",
    "LoaderProof",
    "Matrix",
    "MinimalProof",
    "PtxFloor",
    "Release",
    "Row",
    "Spared",
    "ToolkitSupport",
    "WheelFacts",
    "WheelSet",
    "WheelTable",
]


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


class DriverBegin(Row, frozen=True):
    """The first driver branch that knows GPUs from a compute capability on, such as 570 for Blackwell."""

    since: ComputeCapability
    first_branch: int
    source: str


class GpuTable(Row, frozen=True):
    """`gpus.yaml`: names, what the words for `code` mean, and where drivers end (ascending)."""

    codes: dict[str, str]
    gpus: tuple[GpuName, ...]
    drivers_end: tuple[DriverEnd, ...] = ()
    drivers_begin: tuple[DriverBegin, ...] = ()


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
    where the fat binaries alone would say better, and `works` what alone does where that is `partial`;
    `{target}` in a symptom is the compiler's name of the GPU. `python` is a specifier of feature releases.
    With `gpu_only` the CPU build of the release is none the worse; with `without_system_cuda` the row does
    not count where the machine's own toolkit and cuDNN serve the release.
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
    works: str = ""
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
    the releases were read from the index. `listed` are releases of the index that are not among `releases`,
    because none was asked for in a way that names them (pre-releases, yanked ones); None: nobody has looked.
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
    listed: tuple[Version, ...] | None = None
