"""A release as its wheels describe it, and what wheels do not say of themselves."""

from __future__ import annotations

from enum import Enum
from functools import cached_property

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
    """One real load of the wheel under the driver stub, with and without envfix's library discovery.

    `pins` is the SHA-256 of what was installed (`envfix.matrix.proofs.pins_digest`), empty where nobody kept
    it. The missing libraries are sonames that TensorFlow asked for and could not open; None where they were
    not read. One may be missing although the GPU registers: what only the profiler needs, say. `gpu` is the
    compute capability that the stub answered with, by which the NVIDIA wheels were chosen.
    """

    date: str
    python: PythonRelease
    registers_as_published: bool | None
    registers_with_envfix: bool
    pins: str = ""
    missing_as_published: tuple[str, ...] | None = None
    missing_with_envfix: tuple[str, ...] | None = None
    gpu: ComputeCapability | None = None


class Absence(str, Enum):
    """Why TensorFlow does without a wheel: no other file names its libraries or functions, or TensorFlow has
    the library built in, whose functions answered without it."""

    UNNAMED = "unnamed"
    BUILT_IN = "built-in"


class Spared(Row, frozen=True):
    """An NVIDIA wheel that TensorFlow does without; `evidence` is what was seen, in a sentence."""

    name: str
    how: Absence
    evidence: str


class MinimalProof(Row, frozen=True):
    """A real load of the wheel and a traced training step in an environment without some NVIDIA wheels
    (`scripts/prove_minimal.py`).

    `pins` is the SHA-256 of what was installed then, `gpu` the compute capability that the driver stub
    answered with, by which the NVIDIA wheels were chosen. Without `spared` none can be left out.
    """

    date: str
    python: PythonRelease
    gpu: ComputeCapability
    pins: str
    spared: tuple[Spared, ...] = ()


class Release(Row, frozen=True, dict=True):
    """One release of one package, read from its wheels; `package` and `version` together are its key.

    `origin` says where each value was read. `files` is the SHA-256 of its wheels' names and digests on the
    index. `derived` marks one that was read just now and is not in the shipped matrix: nothing proves it.
    """

    version: Version
    package: str = "tensorflow"
    uploaded: str = ""
    yanked: bool = False
    derived: bool = False
    files: str = ""
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
    minimal: MinimalProof | None = None

    @cached_property
    def number(self) -> str:
        """The version as text: asked for with every row of the matrix that names releases."""
        return str(self.version)

    @property
    def key(self) -> tuple[str, Version]:
        return self.package, self.version

    @property
    def name(self) -> str:
        """`tensorflow 2.20.0`."""
        return f"{self.package} {self.version}"

    @property
    def asked_for(self) -> str:
        """What `--tf` names it by: `2.20.0`, or with the package where that is another than `tensorflow`."""
        return str(self.version) if self.package == "tensorflow" else f"{self.package}=={self.version}"

    @property
    def proven(self) -> bool:
        """Whether the real wheel was seen registering a GPU in an environment that envfix made."""
        return any(proof.registers_with_envfix for proof in self.proofs)


class WheelFacts(Row, frozen=True):
    """What wheels do not say of themselves: read in their fat binaries, or on the vendor's page.

    `tf` is a specifier. `cudnn` is the cuDNN they were compiled against. Rows that apply to one release
    complete each other, the first that names a value holds.
    """

    tf: str
    source: str
    package: str = "tensorflow"
    cudnn: CudnnRelease | None = None
    hand_written: Kernels | None = None
    kernel_gen: Kernels | None = None


class WheelTable(Row, frozen=True):
    """`wheels.yaml`."""

    wheels: tuple[WheelFacts, ...]
