"""What a command has chosen: the release, where its CUDA comes from, and what the environment lacks of it."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from envfix.model.decision import Bound, Candidate
from envfix.model.matrix import Release
from envfix.model.plan import LeftOut
from envfix.model.request import Accelerator, CudaSource
from envfix.resolve.wanted import Wanted


class Lacks(Enum):
    """What is to be done to an environment until it holds a choice."""

    NOTHING = "nothing"
    LOADER = "loader"
    PACKAGES = "packages"


class Choice(Struct, frozen=True, kw_only=True):
    """What the solution must hold: the release, where its CUDA comes from, and the requirements.

    `lacks` says what the environment does not hold of it yet, `left_out` which NVIDIA wheels it does without.
    """

    candidate: Candidate
    accelerator: Accelerator
    cuda: CudaSource
    bounds: tuple[Bound, ...]
    wanted: Wanted
    lacks: Lacks = Lacks.PACKAGES
    left_out: tuple[LeftOut, ...] = ()

    @property
    def release(self) -> Release:
        return self.candidate.release
