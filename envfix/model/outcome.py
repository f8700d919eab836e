"""What an install, a restart check and a verification came to."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import UNSET, Struct, UnsetType


class InstallResult(Struct, frozen=True, kw_only=True):
    """What was really changed: `before` and `after` map the names that changed to versions (or None)."""

    python: str
    changed: tuple[str, ...]
    before: dict[str, str | None]
    after: dict[str, str | None]
    loader: str


class PackageMove(Struct, frozen=True, kw_only=True):
    """A package with its version before and after a change; None where it is not there."""

    name: str
    before: str | None
    after: str | None


class Transaction(Struct, frozen=True, kw_only=True):
    """A complete change of an environment. `date` is the local time of its beginning, `kept_bytes` what the
    files hold on disk that it replaced."""

    id: str
    date: str
    packages: tuple[PackageMove, ...]
    kept_bytes: int


class RestartBy(str, Enum):
    """Who starts the next kernel: the Jupyter server, which envfix asks, or which sees that the kernel has
    ended itself (`%envfix`); or the notebook service, after envfix has ended the process."""

    JUPYTER_SERVER = "jupyter-server"
    KERNEL_SHUTDOWN = "kernel-shutdown"
    KERNEL_ENDED = "kernel-ended"


class RestartAdvice(Struct, frozen=True, kw_only=True):
    """Whether the notebook's kernel still holds old libraries, and what to click or type there.

    `needed` is None where that cannot be seen from outside the kernel: it is, if the notebook has already
    imported one of `if_imported`. `loaded` are the files that the kernel was seen to hold.

    `done` says that envfix restarts the kernel itself, `by` how, as the last thing it does: whoever reads
    this reads it before the kernel goes. `not_done` is why not, where it was asked to. `owed` is true where
    a restarted kernel is still to be verified, false where that has just been done, None where nothing is.
    `run_all` says that the cells behind this one run all the same, and what stops them; empty where they do
    not, or need not be stopped.
    """

    needed: bool | None
    reason: str
    how: str = ""
    kernel_pid: int | None = None
    loaded: tuple[str, ...] = ()
    if_imported: tuple[str, ...] = ()
    done: bool = False
    by: RestartBy | None = None
    not_done: str = ""
    owed: bool | None = None
    run_all: str = ""


class NotebookKernel(Struct, frozen=True, kw_only=True):
    """The kernel that envfix was started from; `same` says that it runs the interpreter envfix worked on."""

    pid: int
    python: str
    same: bool


class Kernelspec(Struct, frozen=True, kw_only=True):
    """A Jupyter kernel that envfix has registered: `path` is the folder of its `kernel.json`."""

    name: str
    path: str
    display_name: str


class KernelspecChange(Struct, frozen=True, kw_only=True):
    """What a change made of a kernel that envfix had registered: its new name, None where it is removed."""

    name: str
    path: str
    display_name: str | None


class Status(str, Enum):
    """How one check of `verify` ended; what could not be run here is skipped, and proves nothing."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Proof(str, Enum):
    """`gpu`: ran on a real one; `loader`: libraries load and the device registers under the driver stub,
    no kernel ran; `cpu`: the CPU build computed on the CPU."""

    GPU = "gpu"
    LOADER = "loader"
    CPU = "cpu"


# The hint of a check that an install would pass; an install that has just been done leaves it out.
REPAIR = "run `envfix install`"


class Check(Struct, frozen=True, kw_only=True):
    """One check of `verify`; `cause` and `hint` are empty where nothing is to be said."""

    name: str
    status: Status
    expected: str
    observed: str
    cause: str = ""
    hint: str = ""


class Verification(Struct, frozen=True, kw_only=True):
    """`proof` is None when nothing was proven. `stderr` keeps the child's last lines, `ended` how it
    ended (`exit 0`, `SIGSEGV`, `timed out after 180 s`). `build` is what the wheel
    says of how it was built; `libraries` maps the CUDA sonames that were mapped to their paths, `not_opened`
    those that were missed to the loader's reason. `measured` are the figures of `verify --deep`: times
    in seconds, memory in MiB, shares between 0 and 1."""

    checks: tuple[Check, ...]
    proof: Proof | None
    python: str
    tensorflow: str | None = None
    devices: tuple[str, ...] = ()
    ended: str = ""
    stderr: str = ""
    build: dict[str, str] = {}
    libraries: dict[str, str] = {}
    not_opened: dict[str, str] = {}
    measured: dict[str, Any] | UnsetType = UNSET

    @property
    def passed(self) -> bool:
        """Whether something was proven, and no check failed."""
        return self.proof is not None and all(check.status is not Status.FAILED for check in self.checks)
