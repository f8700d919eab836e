"""A machine: the object that `envfix probe` prints and that `--machine FILE` takes.

What is absent (`UNSET`) is unknown; `None` and the empty tuple say that it was looked for and is not there.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType

from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    DriverCuda,
    DriverRelease,
    GlibcRelease,
    PythonRelease,
)

T = TypeVar("T")


class Platform(str, Enum):
    """Where the session runs. Kaggle's image is built on Colab's, so it is told apart first."""

    COLAB = "colab"
    KAGGLE = "kaggle"
    SAGEMAKER = "sagemaker"
    JUPYTER = "jupyter"
    VSCODE = "vscode"
    TERMINAL = "terminal"
    CI = "ci"


class Os(str, Enum):
    """The operating system that the interpreter runs on; Linux in WSL2 is Linux, with `wsl` beside it."""

    LINUX = "linux"
    WINDOWS = "windows"
    MACOS = "macos"


class Arch(str, Enum):
    """The processor's architecture by the name that wheel tags on Linux give it."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


class Outcome(str, Enum):
    """What became of one attempt to read a fact."""

    FOUND = "found"
    ABSENT = "absent"
    FAILED = "failed"
    TIMEOUT = "timeout"


class _Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value whose unknown keys are an error."""


class Driver(_Value, frozen=True):
    """The driver's own release, and the newest CUDA that it can run: never a toolkit's."""

    release: DriverRelease | UnsetType = UNSET
    cuda: DriverCuda | UnsetType = UNSET


class Gpu(_Value, frozen=True):
    """One device; `memory_mib` is its whole memory in MiB."""

    name: str | UnsetType = UNSET
    compute_capability: ComputeCapability | UnsetType = UNSET
    memory_mib: int | UnsetType = UNSET


class Toolkit(_Value, frozen=True):
    """A CUDA toolkit on the machine: its release and its folder."""

    version: CudaRelease | UnsetType = UNSET
    path: str | UnsetType = UNSET


class Cudnn(_Value, frozen=True):
    """A cuDNN on the machine, outside any wheel: its release and the folder of its libraries."""

    version: CudnnRelease | UnsetType = UNSET
    path: str | UnsetType = UNSET


class Evidence(_Value, frozen=True):
    """One attempt to read one fact: `fact` is the key's path, `source` what was asked."""

    fact: str
    source: str
    outcome: Outcome
    detail: str = ""


class Machine(_Value, frozen=True):
    """What is known of a machine. UNSET is unknown; None and an empty tuple are looked for and not there.

    `name` is that of a machine file; `installed` maps normalised names to versions, `environment` holds the
    variables that bear on TensorFlow alone.
    """

    name: str | UnsetType = UNSET
    platform: Platform | UnsetType = UNSET
    os: Os | UnsetType = UNSET
    wsl: bool | UnsetType = UNSET
    arch: Arch | UnsetType = UNSET
    glibc: GlibcRelease | UnsetType = UNSET
    python: PythonRelease | UnsetType = UNSET
    driver: Driver | UnsetType | None = UNSET
    gpus: tuple[Gpu, ...] | UnsetType = UNSET
    cpu_flags: tuple[str, ...] | UnsetType = UNSET
    toolkit: Toolkit | UnsetType | None = UNSET
    cudnn: Cudnn | UnsetType | None = UNSET
    installed: dict[str, str] | UnsetType = UNSET
    environment: dict[str, str] | UnsetType = UNSET
    evidence: tuple[Evidence, ...] | UnsetType = UNSET

    def saw(self, fact: str) -> Evidence | None:
        """The first piece of evidence that found the fact."""
        for piece in known(self.evidence, ()):
            if piece.fact == fact and piece.outcome is Outcome.FOUND:
                return piece
        return None

    @property
    def has_no_gpu(self) -> bool:
        """Whether it was looked for a GPU (or a driver) and there is none; unknown is not none."""
        return self.gpus == () or self.driver is None


def known(value: T | UnsetType, default: T) -> T:
    """`value`, or `default` where it is unknown."""
    return default if isinstance(value, UnsetType) else value
