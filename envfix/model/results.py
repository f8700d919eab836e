"""What each command comes to: the values that `envfix.render` turns into text or JSON."""

from __future__ import annotations

from msgspec import Struct
from packaging.version import Version

from envfix.model.attestation import Attestations
from envfix.model.ceilings import Ceilings
from envfix.model.decision import Bound, Decision, Remedy
from envfix.model.machine import Machine
from envfix.model.matrix import Release
from envfix.model.outcome import (
    InstallResult,
    Kernelspec,
    KernelspecChange,
    NotebookKernel,
    RestartAdvice,
    Transaction,
    Verification,
)
from envfix.model.plan import Lock, Plan
from envfix.model.private import Private
from envfix.model.snapshot import Since
from envfix.model.usage import Activity, Sample


class Report(Struct, frozen=True, kw_only=True):
    """A dry run: every release's verdicts on one machine and the plan for the recommended one.

    `named` are the keys of the releases that were asked for, where none of them fits; `remedies` says what
    each that does not fit would take, where that was asked for; `since` what is otherwise than in a
    snapshot. `python` is the interpreter it is about (empty: one on a named machine). `ceilings` are what
    the machine and the release allow of the libraries that the `bounds` hold.
    """

    machine: Machine
    decision: Decision
    plan: Plan | None
    bounds: tuple[Bound, ...] = ()
    ceilings: tuple[Ceilings, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    advice: tuple[str, ...] = ()
    named: tuple[tuple[str, Version], ...] = ()
    python: str = ""
    since: Since | None = None

    @property
    def exit_code(self) -> int:
        """0, or 3 where no release fits (README, "Exit codes")."""
        return 0 if self.decision.recommended else 3


class LockWritten(Struct, frozen=True, kw_only=True):
    """The files that `envfix lock` wrote, or the one it checked (`checked`)."""

    lock: Lock
    files: tuple[str, ...] = ()
    checked: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attestations: Attestations | None = None


class Installed(Struct, frozen=True, kw_only=True):
    """What `envfix install` did. `result` is None where nothing was to be changed or it was a dry run;
    `kernelspec` is the kernel that was registered, or would be, `kernelspecs` are those that were renamed.
    `transaction` is the id of the one that `envfix rollback` takes, empty where there is none; `asked` are
    the options that decided, which a command for another environment needs too."""

    machine: Machine
    python: str
    tensorflow: str
    package: str = "tensorflow"
    asked: tuple[str, ...] = ()
    accelerator: str
    plan: Plan
    notes: tuple[str, ...] = ()
    attestations: Attestations | None = None
    dry_run: bool = False
    result: InstallResult | None = None
    transaction: str = ""
    restart: RestartAdvice | None = None
    kernel: NotebookKernel | None = None
    verification: Verification | None = None
    kernelspec: Kernelspec | None = None
    kernelspecs: tuple[KernelspecChange, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, also without a verification; 6 where one failed or proved nothing (README, "Exit codes")."""
        return 0 if self.verification is None or self.verification.passed else 6


class Verified(Struct, frozen=True, kw_only=True):
    """What `envfix verify` found. With `restart`, the word on a notebook whose restart is still owed."""

    verification: Verification
    machine: Machine | None = None
    restart: RestartAdvice | None = None

    @property
    def exit_code(self) -> int:
        """0, or 6 where a check failed or nothing was proven (README, "Exit codes")."""
        return 0 if self.verification.passed else 6


class TransactionList(Struct, frozen=True, kw_only=True):
    """What `envfix rollback --list` lists, newest first."""

    python: str
    transactions: tuple[Transaction, ...]


class RolledBack(Struct, frozen=True, kw_only=True):
    """What `envfix rollback` put back: each package has its `before` again. With `restart`, the word on a
    notebook that holds what was taken away; `kernelspecs` are the Jupyter kernels that had to follow."""

    python: str
    transaction: Transaction
    restart: RestartAdvice | None = None
    kernelspecs: tuple[KernelspecChange, ...] = ()


class MachineList(Struct, frozen=True, kw_only=True):
    """The machines that `--machine` can name, each with its facts, sorted by name."""

    machines: tuple[tuple[str, Machine], ...]


class MatrixShown(Struct, frozen=True, kw_only=True):
    """The releases that `envfix matrix show` lists, newest first, and the matrix's date and digest."""

    date: str
    digest: str
    releases: tuple[Release, ...]


class IssueFacts(Struct, frozen=True, kw_only=True):
    """What `report --for-issue` shows: `private` is what must not be in it.

    `system` are pairs of a name and what was found, `nvidia_smi` is the program's own table, `verdicts` are
    the sentences of the rules that are not yes for the TensorFlow that is installed.
    """

    envfix: str
    matrix_date: str
    machine: Machine
    python: str
    system: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    verification: Verification
    nvidia_smi: str
    verdicts: tuple[str, ...]
    private: Private


class IssueReport(Struct, frozen=True, kw_only=True):
    """The Markdown block of `report --for-issue`, with everything private taken out."""

    markdown: str


class Watched(Struct, frozen=True, kw_only=True):
    """What `envfix watch` saw: each GPU's activity over `seconds`, and the looks if they were asked for."""

    seconds: float
    gpus: tuple[Activity, ...]
    samples: tuple[Sample, ...] = ()
