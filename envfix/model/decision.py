"""Verdicts: what each rule wanted of a release on a machine, and what it found."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from packaging.version import Version

from envfix.model.matrix import Release


class Fit(str, Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Code(str, Enum):
    """How the GPU runs the wheel's kernels; the meanings are in `compat_matrix/gpus.yaml`."""

    NATIVE = "native"
    NATIVE_JIT = "native+jit"
    JIT = "jit"
    PARTIAL = "partial"
    BROKEN = "broken"
    NONE = "none"
    UNKNOWN = "unknown"


class Verdict(Struct, frozen=True, kw_only=True):
    """One rule's answer. `source` is the vendor's page, issue or measurement it rests on."""

    rule: str
    fit: Fit
    wanted: str
    found: str
    source: str


class Candidate(Struct, frozen=True, kw_only=True):
    """A release with everything the rules say of it on one machine."""

    release: Release
    fit: Fit
    code: Code
    proven: bool
    verdicts: tuple[Verdict, ...]

    @property
    def version(self) -> Version:
        return self.release.version


class Bound(Struct, frozen=True, kw_only=True):
    """A requirement that holds a package for this machine's sake, and why."""

    requirement: str
    because: str


class Decision(Struct, frozen=True, kw_only=True):
    """Every candidate, newest first, and the one that is recommended (None: nothing fits)."""

    candidates: tuple[Candidate, ...]
    recommended: Candidate | None
    advice: tuple[str, ...] = ()
