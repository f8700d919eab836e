"""Verdicts: what each rule wanted of a release on a machine, and what it found."""

from __future__ import annotations

import re
from enum import Enum

from msgspec import Struct
from packaging.version import Version

from envfix.model.matrix import Release
from envfix.model.versions import DriverRelease

# Of two requirements that meet the other one.
_SENTENCE = re.compile(r"^\S+ \S+ (?:needs|gets|works with) ")


class Fit(str, Enum):
    """Whether a release works on a machine; what nobody has read or tried is unknown."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @property
    def order(self) -> int:
        """0 for no, 1 for unknown, 2 for yes: unknown is neither, and stands between them."""
        return (Fit.NO, Fit.UNKNOWN, Fit.YES).index(self)


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

    @property
    def reason(self) -> str:
        """`needs driver >= 525.60.13, found 470.82.01`. Of a known defect what was found says it all; what is
        a sentence already needs no verb."""
        if self.rule == "known-bad":
            return self.found
        verb = "" if " needs " in self.wanted else "needs "
        found = "" if verb == "" and _SENTENCE.search(self.found) else "found "
        return f"{verb}{self.wanted}, {found}{self.found}"


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

    @property
    def name(self) -> str:
        return self.release.name


class Bound(Struct, frozen=True, kw_only=True):
    """A requirement that holds a package for this machine's sake, and why."""

    requirement: str
    because: str


class Decision(Struct, frozen=True, kw_only=True):
    """Every candidate, newest first, and the one that is recommended (None: nothing fits).

    `unmet` says in a sentence what no release can meet, as a `--with` that has no solution by itself.
    """

    candidates: tuple[Candidate, ...]
    recommended: Candidate | None
    advice: tuple[str, ...] = ()
    unmet: str = ""

    @property
    def refusal(self) -> str:
        """Why nothing is recommended, in one sentence: nothing fits, or nothing that was asked for does."""
        if self.unmet:
            return self.unmet
        if any(candidate.fit is not Fit.NO for candidate in self.candidates):
            return "no TensorFlow release that `--tf` names fits this machine"
        return "no TensorFlow release fits this machine"


class ChangeKind(str, Enum):
    """What would have to be changed, from what costs nothing to what nobody changes for a notebook."""

    CUDA = "cuda"
    COMPANION = "companion"
    ENVIRONMENT = "environment"
    HIDE_GPU = "hide-gpu"
    PYTHON = "python"
    WSL = "wsl"
    DRIVER = "driver"
    GLIBC = "glibc"
    ARCH = "arch"
    MACHINE = "machine"
    CPU = "cpu"
    GPU = "gpu"


class Change(Struct, frozen=True, kw_only=True):
    """One change to the machine or the request, in words that follow "with": `driver >= 555.42.02`.

    `driver` is that floor where the kind is `driver` and NVIDIA names one.
    """

    kind: ChangeKind
    wanted: str
    driver: DriverRelease | None = None


class Remedy(Struct, frozen=True, kw_only=True):
    """What would make a release fit better, found by judging it again after the changes.

    `verdict` is what is in the way today. `fit` is what the release would come to; without `changes` nothing
    that is known helps. `instead` is the release to take as things are (None: none is), `text` all of it
    in a sentence.
    """

    version: Version
    package: str = "tensorflow"
    verdict: Verdict
    changes: tuple[Change, ...]
    fit: Fit
    instead: Version | None = None
    text: str = ""


class Newer(Struct, frozen=True, kw_only=True):
    """What releases newer than the recommended one would take, the newest first, and that in sentences.

    `older` is the newest release that fits, where none that was asked for does.
    """

    remedies: tuple[Remedy, ...] = ()
    older: Version | None = None
    advice: tuple[str, ...] = ()
