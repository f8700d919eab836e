"""Single changes that may make a release fit, each as a step from one world to another."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from msgspec import UNSET, Struct, structs
from packaging.requirements import Requirement

from envfix.matrix import rank
from envfix.matrix.rules import driver
from envfix.matrix.rules.case import Case
from envfix.matrix.rules.companions import covering_rows, misfits
from envfix.matrix.rules.demands import Demand
from envfix.matrix.rules.gpu import jit_floor
from envfix.matrix.rules.holding import brought_beside, installed_beside, meetings
from envfix.matrix.rules.host import pythons_text
from envfix.matrix.rules.installed import clashes
from envfix.matrix.rules.match import Match, matches
from envfix.model.decision import Change, ChangeKind, Fit
from envfix.model.machine import Arch, Driver, Machine, Os, known
from envfix.model.matrix import Matrix, Release, WheelSet
from envfix.model.request import Accelerator, CudaSource, Request
from envfix.model.target import Distribution
from envfix.model.versions import DriverCuda, GlibcRelease
from envfix.nvidia.beside import brings

# The last of NVIDIA's containers with TensorFlow (https://github.com/NVIDIA/tensorflow/issues/116).
_NVIDIA_BUILD = "nvcr.io/nvidia/tensorflow:25.02-tf2-py3"
# Of Ubuntu 22.04, which WSL offers and most clouds do.
_UBUNTU_GLIBC = GlibcRelease("2.35")


class World(Struct, frozen=True, kw_only=True):
    """A release on a machine for a request.

    `demands` are what installed packages need (None: not known); `beside` the packages of `--with` that ask
    for NVIDIA wheels themselves.
    """

    matrix: Matrix
    machine: Machine
    request: Request
    release: Release
    demands: tuple[Demand, ...] | None = None
    beside: Sequence[Distribution] = ()

    @property
    def asked(self) -> rank.Asked:
        return rank.Asked(self.machine, self.request, self.demands, self.beside)

    def fit(self) -> Fit:
        """What the rules make of the release here."""
        return rank.fit_of(self.matrix, self.release, self.asked)

    def fits(self) -> bool:
        """Whether every rule is known to hold."""
        return self.fit() is Fit.YES

    def may_fit(self) -> bool:
        """Whether no rule is known to be broken."""
        return self.fit() is not Fit.NO

    def case(self) -> Case:
        return self.asked.case(self.matrix, self.release)

    def moved(self, **facts: object) -> World:
        """The world with facts of its machine changed."""
        return structs.replace(self, machine=structs.replace(self.machine, **facts))

    def emptied(self) -> World:
        """The world with a new environment, in which nothing is installed."""
        brought = brought_beside(self.case())
        return structs.replace(self.moved(installed={}), demands=(), beside=brought)


Step = Callable[[World], tuple[World, Change] | None]
"""The changed world and the change; None where there is nothing to change, or it cannot be had."""


def take_wheels(world: World) -> tuple[World, Change] | None:
    """The NVIDIA wheels in place of the machine's own CUDA."""
    if world.request.cuda is not CudaSource.SYSTEM:
        return None
    request = structs.replace(world.request, cuda=CudaSource.WHEELS)
    change = Change(kind=ChangeKind.CUDA, wanted="`--cuda wheels`")
    return structs.replace(world, request=request), change


def change_companions(world: World) -> tuple[World, Change] | None:
    """What `--with` names in a version that goes with the release, and companions that are installed named
    so that they come along."""
    case = world.case()
    instead = {
        misfit.asked: Requirement(misfit.instead) for misfit in misfits(case) if misfit.instead is not None
    }
    stale = {clash.holder.package for clash in clashes(case)}
    added = [Requirement(name) for name in sorted(stale) if covering_rows(case, Requirement(name))]
    if not instead and not added:
        return None
    kept = [instead.get(asked, asked) for asked in world.request.companions]
    request = structs.replace(world.request, companions=(*kept, *added))
    words = " ".join(f'--with "{one}"' for one in (*instead.values(), *added))
    change = Change(kind=ChangeKind.COMPANION, wanted=f"`{words}`")
    return structs.replace(world, request=request), change


def take_new_environment(world: World) -> tuple[World, Change] | None:
    """An environment of its own, where what is installed contradicts the release or its NVIDIA wheels."""
    case = world.case()
    if not clashes(case) and not meetings(case, installed_beside(case)):
        return None
    return world.emptied(), Change(kind=ChangeKind.ENVIRONMENT, wanted="a new environment (`--venv`)")


def leave_out(world: World) -> tuple[World, Change] | None:
    """Without the packages of `--with` that need other NVIDIA wheels than the release."""
    case = world.case()
    brought = brought_beside(case)
    if not meetings(case, brought):
        return None
    left = [one for one in world.request.companions if any(brings(one, dist) for dist in brought)]
    kept = tuple(one for one in world.request.companions if one not in left)
    request = structs.replace(world.request, companions=kept)
    words = " ".join(f"--with {shlex.quote(str(one))}" for one in left or world.request.companions)
    change = Change(kind=ChangeKind.ENVIRONMENT, wanted=f"an environment of its own (without `{words}`)")
    return structs.replace(world, request=request, beside=installed_beside(case)), change


def hide_gpus(world: World) -> tuple[World, Change] | None:
    """Leave the GPUs visible that the release suits best, where there are others beside them."""
    gpus = known(world.machine.gpus, ())
    if len({gpu.compute_capability for gpu in gpus}) < 2:
        return None
    fits = [with_rest(world.moved(gpus=(gpu,))).fit() for gpu in gpus]
    best = next(fit for fit in (Fit.YES, Fit.UNKNOWN, Fit.NO) if fit in fits)
    left = tuple(gpu for gpu, fit in zip(gpus, fits, strict=True) if fit is best)
    if not left or len(left) == len(gpus):
        return None
    names = ", ".join(dict.fromkeys(known(gpu.name, str(gpu.compute_capability)) for gpu in left))
    change = Change(kind=ChangeKind.HIDE_GPU, wanted=f"CUDA_VISIBLE_DEVICES naming {names} alone")
    return world.moved(gpus=left), change


def take_wsl(world: World) -> tuple[World, Change] | None:
    """Linux under WSL2, which uses the Windows driver (CUDA on WSL User Guide)."""
    if world.machine.os is not Os.WINDOWS:
        return None
    moved = world.emptied().moved(os=Os.LINUX, wsl=True, glibc=_UBUNTU_GLIBC, toolkit=None, cudnn=None)
    return moved, Change(kind=ChangeKind.WSL, wanted="WSL2")


def take_linux(world: World) -> tuple[World, Change] | None:
    """Another machine: macOS has had no NVIDIA driver since 10.13."""
    if world.machine.os is not Os.MACOS:
        return None
    moved = world.emptied().moved(
        os=Os.LINUX,
        wsl=False,
        arch=Arch.X86_64,
        glibc=_UBUNTU_GLIBC,
        cpu_flags=("avx",),
        toolkit=None,
        cudnn=None,
    )
    return moved, Change(kind=ChangeKind.MACHINE, wanted="a Linux x86_64 machine")


def take_x86_64(world: World) -> tuple[World, Change] | None:
    """Another machine: TensorFlow's wheels for Linux aarch64 are no CUDA builds."""
    machine = world.machine
    if machine.arch is not Arch.AARCH64 or machine.os is Os.MACOS:
        return None
    flags = machine.cpu_flags if machine.cpu_flags is UNSET else (*machine.cpu_flags, "avx")
    change = Change(
        kind=ChangeKind.ARCH, wanted=f"an x86_64 machine, or NVIDIA's own build ({_NVIDIA_BUILD})"
    )
    return world.moved(arch=Arch.X86_64, cpu_flags=flags), change


def take_avx(world: World) -> tuple[World, Change] | None:
    """Another x86_64 CPU: official wheels use AVX since TensorFlow 1.6."""
    flags = world.machine.cpu_flags
    if flags is UNSET or "avx" in flags or world.machine.arch is not Arch.X86_64:
        return None
    return world.moved(cpu_flags=(*flags, "avx")), Change(kind=ChangeKind.CPU, wanted="a CPU with AVX")


def raise_glibc(world: World) -> tuple[World, Change] | None:
    """The least glibc that a wheel of the release asks for, by its manylinux tag (PEP 600)."""
    floors = [wheels.glibc for wheels in _wheels(world) if wheels.glibc]
    if world.machine.glibc is UNSET or not floors or world.machine.glibc >= min(floors):
        return None
    change = Change(kind=ChangeKind.GLIBC, wanted=f"glibc >= {min(floors)} (a later system, or a container)")
    return world.moved(glibc=min(floors)), change


def change_python(world: World) -> tuple[World, Change] | None:
    """The Python nearest to this one that the release has a wheel for, in a new environment."""
    if world.machine.python is UNSET:
        return None
    offered = {python for wheels in _wheels(world) for python in wheels.python}
    for misfit in misfits(world.case()) if world.request.companions else ():
        offered &= set(misfit.python) or offered
    here = world.machine.python.cut(2)
    if not offered or here in offered:
        return None
    nearest = min(offered, key=lambda python: (abs(python.minor - here.minor), -python.minor))
    change = Change(kind=ChangeKind.PYTHON, wanted=f"Python {pythons_text(offered)}")
    return world.emptied().moved(python=nearest), change


def update_driver(world: World) -> tuple[World, Change] | None:
    """The least driver for the release, where there is one for the GPUs; also where there is none yet."""
    on_cpu = world.request.accelerator is Accelerator.CPU
    if on_cpu or world.machine.driver is UNSET or not known(world.machine.gpus, ()):
        return None
    floors = [jit_floor(world.release, world.machine, world.matrix)]
    if world.release.built_with_cuda is not None:
        floors.append(driver.major_floor(world.release.built_with_cuda, world.machine, world.matrix))
    if driver.gpus_are_known(world.machine):
        floors.append(driver.first_for_gpus(world.machine, world.matrix))
    floors += _defect_floors(world)
    lacking = [floor for floor in floors if floor and driver.reaches(world.machine, floor) is not Fit.YES]
    if not lacking:
        return None
    floor = max(lacking, key=lambda floor: floor.cuda)
    if floor.driver is not None and floor.driver.major > last_branch(world):
        return None
    release = UNSET if floor.driver is None else floor.driver
    change = Change(kind=ChangeKind.DRIVER, wanted=floor.wanted, driver=floor.driver)
    return world.moved(driver=Driver(release=release, cuda=DriverCuda(str(floor.cuda)))), change


def _defect_floors(world: World) -> list[driver.Floor]:
    """The first drivers that a known defect of the release does not name, as toolkits brought them."""
    rows = [
        row
        for row in world.matrix.known_bad
        if row.driver_below is not None and matches(row, world.release, world.machine) is not Match.NO
    ]
    toolkits = [driver.floor_of(toolkit, world.machine) for toolkit in world.matrix.cuda.releases if rows]
    return [
        floor
        for row in rows
        for floor in toolkits
        if floor.driver is not None and row.driver_below is not None and floor.driver >= row.driver_below
    ][:1]


def last_branch(world: World) -> float:
    """The last driver branch that knows every GPU, infinite where none is the last."""
    branches = [
        row.last_branch
        for gpu in known(world.machine.gpus, ())
        for row in world.matrix.gpus.drivers_end
        if gpu.compute_capability is not UNSET and gpu.compute_capability <= row.up_to
    ]
    return min(branches, default=float("inf"))


def with_rest(world: World) -> World:
    """The world after every step that software allows, to see what a GPU could come to."""
    for step in _SOFTWARE:
        done = step(world)
        world = done[0] if done else world
    return world


def _wheels(world: World) -> list[WheelSet]:
    """The wheels for the machine's system and processor, those with CUDA where the GPU is asked for."""
    on_cpu = world.request.accelerator is Accelerator.CPU
    return [
        wheels
        for wheels in world.release.wheels
        if wheels.os is known(world.machine.os, wheels.os)
        and wheels.arch is known(world.machine.arch, wheels.arch)
        and (wheels.cuda or on_cpu)
    ]


_SOFTWARE: tuple[Step, ...] = (
    take_wsl,
    take_linux,
    take_x86_64,
    take_avx,
    raise_glibc,
    change_python,
    update_driver,
)
# In the order in which they are taken, since what a later one needs depends on the earlier.
STEPS: tuple[Step, ...] = (
    take_wheels,
    change_companions,
    take_new_environment,
    leave_out,
    hide_gpus,
    *_SOFTWARE,
)
