"""What an install would change, and the files it would use."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from envfix.model.conflicts import PACKAGES

# Why a package is in a plan that nothing but other packages of it asks for.
NEEDED = "the others need it"


class Change(str, Enum):
    """What an install does to one package; `keep` names those that the lock has and that stay as they are."""

    ADD = "add"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    KEEP = "keep"


class PlannedPackage(Struct, frozen=True, kw_only=True):
    """`size` is the download in bytes, 0 where the package is kept, None where the index does not say."""

    name: str
    version: str
    size: int | None
    change: Change
    because: str


class Break(Struct, frozen=True, kw_only=True):
    """An installed package whose requirement would no longer hold."""

    package: str
    requirement: str
    found: str

    @property
    def name(self) -> str:
        """The package without its version."""
        return self.package.partition(" ")[0]


class LeftOut(Struct, frozen=True, kw_only=True):
    """An NVIDIA wheel that TensorFlow does without, and why; `size` is the download that is spared, None
    where nobody was asked for it."""

    name: str
    version: str
    size: int | None = None
    because: str


class Plan(Struct, frozen=True, kw_only=True):
    """The contract's plan; sizes are bytes, None where the index does not give them."""

    packages: tuple[PlannedPackage, ...]
    download_bytes: int | None
    installed_bytes: int | None
    breaks: tuple[Break, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def changes(self) -> tuple[PlannedPackage, ...]:
        """All but those that are kept."""
        return tuple(package for package in self.packages if package.change is not Change.KEEP)


class LockedFile(Struct, frozen=True, kw_only=True):
    """A file that may be installed: where it is, its SHA-256 and its size in bytes where known."""

    filename: str
    url: str
    sha256: str
    size: int | None = None


class LockedPackage(Struct, frozen=True, kw_only=True):
    """One package of a solution. `name` is normalised; wheels are those the target can install."""

    name: str
    version: str
    wheels: tuple[LockedFile, ...] = ()
    sdist: LockedFile | None = None
    requires_python: str | None = None


class Resolution(Struct, frozen=True, kw_only=True):
    """A whole solution for one target, sorted by name; `resolver` says who found it."""

    packages: tuple[LockedPackage, ...]
    resolver: str

    def version_of(self, name: str) -> str | None:
        """The version of a package by its normalised name; None where it is not part of the solution."""
        return next((package.version for package in self.packages if package.name == name), None)


class Floors(Struct, frozen=True, kw_only=True):
    """The least a machine must have for a lock to work there: checked again before it is installed."""

    python: str
    os: str
    arch: str
    glibc: str | None = None
    driver: str | None = None
    compute_capabilities: tuple[str, ...] = ()
    accelerator: str = "gpu"


class Lock(Struct, frozen=True, kw_only=True):
    """A resolution with what it was decided from; the same inputs give the same bytes.

    `left_out` are the pins of the wheels that `--minimal` leaves out.
    """

    tensorflow: str
    requirements: tuple[str, ...]
    resolution: Resolution
    floors: Floors
    matrix_digest: str
    cuda: str = "wheels"
    left_out: tuple[str, ...] = ()

    def changed_by(self, plan: Plan) -> tuple[LockedPackage, ...]:
        """Those of its packages that the plan changes."""
        names = {package.name for package in plan.changes}
        return tuple(package for package in self.resolution.packages if package.name in names)

    @property
    def options(self) -> tuple[str, ...]:
        """The options that it was made with, in so far as they decide what is installed."""
        given = {
            ("--accelerator", "cpu"): self.floors.accelerator == "cpu",
            ("--cuda", "system"): self.cuda == "system",
            ("--minimal",): bool(self.left_out),
        }
        return tuple(word for words, there in given.items() if there for word in words)

    @property
    def package(self) -> str:
        """The package that `tensorflow` is a release of."""
        names = {package.name for package in self.resolution.packages}
        return next((name for name in PACKAGES[1:] if name in names), PACKAGES[0])
