"""What a rule is asked about: one release on one machine, with what the user asks beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from msgspec import UNSET, Struct
from packaging.requirements import Requirement

from envfix.matrix.rules.demands import Demand
from envfix.model.decision import Verdict
from envfix.model.machine import Machine, known
from envfix.model.matrix import Matrix, Release
from envfix.model.request import CudaSource
from envfix.model.target import Distribution
from envfix.model.versions import CudnnRelease
from envfix.nvidia.beside import libraries_beside
from envfix.nvidia.wheels import CudaLibraries


class Case(Struct, frozen=True, kw_only=True, dict=True):
    """`demands` are what installed packages ask (None: not known what is installed), `beside` the packages of
    `--with` that ask for NVIDIA's wheels too.
    """

    release: Release
    machine: Machine
    matrix: Matrix
    cuda: CudaSource = CudaSource.AUTO
    companions: tuple[Requirement, ...] = ()
    demands: tuple[Demand, ...] | None = None
    beside: tuple[Distribution, ...] = ()

    @cached_property
    def libraries(self) -> CudaLibraries:
        """Those that TensorFlow would open: the NVIDIA wheels that envfix plans, or the machine's own with
        `--cuda system`. Chosen when a rule first asks: many a release is ruled out before."""
        machine = self.machine
        if self.cuda is CudaSource.SYSTEM:
            return _system(machine)
        return libraries_beside(self.release, machine, self.matrix, known(machine.installed, {}), self.beside)

    @property
    def has_cuda_build(self) -> bool:
        """Whether some wheel that may be this machine's is a CUDA build."""
        return any(
            wheels.cuda
            for wheels in self.release.wheels
            if wheels.os is known(self.machine.os, wheels.os)
            and wheels.arch is known(self.machine.arch, wheels.arch)
        )

    @property
    def cudnn(self) -> CudnnRelease | None:
        """The cuDNN that will be there; None where envfix neither installs nor uses a known one."""
        planned = bool(self.libraries.pins) or self.cuda is CudaSource.SYSTEM
        return self.libraries.cudnn if planned else None


Rule = Callable[[Case], Verdict | None]
"""One rule's answer; None where it has nothing to judge."""


def case_of(
    release: Release,
    machine: Machine,
    matrix: Matrix,
    *,
    cuda: CudaSource = CudaSource.AUTO,
    companions: Sequence[Requirement] = (),
    demands: tuple[Demand, ...] | None = None,
    beside: Sequence[Distribution] = (),
) -> Case:
    """A case; by itself that of a plain `envfix install` where nobody knows what is installed."""
    return Case(
        release=release,
        machine=machine,
        matrix=matrix,
        cuda=cuda,
        companions=tuple(companions),
        demands=demands,
        beside=tuple(beside),
    )


def _system(machine: Machine) -> CudaLibraries:
    toolkit, cudnn = known(machine.toolkit, None), known(machine.cudnn, None)
    return CudaLibraries(
        cuda=None if toolkit is None or toolkit.version is UNSET else toolkit.version.cut(2),
        cudnn=None if cudnn is None or cudnn.version is UNSET else cudnn.version,
    )
