"""What the user asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from msgspec import Struct
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet


class Accelerator(str, Enum):
    """`--accelerator`: `auto` is the GPU wherever some release can use it, and else the CPU build."""

    GPU = "gpu"
    CPU = "cpu"
    AUTO = "auto"


class CudaSource(str, Enum):
    """`--cuda`: NVIDIA's wheels, the machine's own toolkit and cuDNN, or these where they fit (`auto`)."""

    AUTO = "auto"
    WHEELS = "wheels"
    SYSTEM = "system"


class ResolverName(str, Enum):
    """`--resolver`: `auto` is uv."""

    AUTO = "auto"
    UV = "uv"
    PIP_TOOLS = "pip-tools"


class TensorFlowRequest(Struct, frozen=True, kw_only=True):
    """`--tf` parsed: which releases of which package are wanted, and what was translated on the way (or
    empty)."""

    specifier: SpecifierSet
    text: str
    note: str = ""
    package: str = "tensorflow"

    @property
    def given(self) -> bool:
        """Whether `--tf` was there at all."""
        return bool(self.text)


ANY = TensorFlowRequest(specifier=SpecifierSet(), text="")


class Request(Struct, frozen=True, kw_only=True):
    """The options that decide; what only says where to write or how to print stays in the command line.

    `allow_break` are the normalised names of installed packages that a plan may break. `because` says, by
    normalised name, why there is a companion that nobody has asked for.
    """

    tf: TensorFlowRequest
    companions: tuple[Requirement, ...] = ()
    accelerator: Accelerator = Accelerator.GPU
    cuda: CudaSource = CudaSource.AUTO
    resolver: ResolverName = ResolverName.AUTO
    upgrade: bool = False
    offline: bool = False
    attestations: bool = False
    minimal: bool = False
    allow_break: tuple[str, ...] = ()
    because: Mapping[str, str] = {}


class InstallOptions(Struct, frozen=True, kw_only=True):
    """How to install: what does not decide, but says what may be done and what to do afterwards.

    `approve` is shown the `Installed` as it is planned before the first change, and raises to stop there.
    Where it `asks` nobody, a new environment may be there by then.
    """

    approve: Callable[[Any], None]
    asks: bool = True
    lock: str | None = None
    dry_run: bool = False
    break_system_packages: bool = False
    verify: bool = True
    timeout: float = 180.0

    @property
    def proves(self) -> bool:
        """Whether TensorFlow is started when the environment is made."""
        return self.verify and not self.dry_run
