"""Another GPU as a change: for a release that no software makes run on those of the machine."""

from __future__ import annotations

from functools import partial

from msgspec import UNSET

from envfix.matrix.rules.gpu import code_of
from envfix.matrix.steps import World, last_branch, with_rest
from envfix.model.decision import Change, ChangeKind, Code, Fit
from envfix.model.machine import Gpu, known
from envfix.model.request import Accelerator
from envfix.model.versions import ComputeCapability

_NO_CODE = (Code.NONE, Code.BROKEN)


def change_gpu(world: World) -> tuple[World, Change] | None:
    """Another GPU, or one at all: the oldest that the release runs on, and how far up that holds with the
    same driver."""
    here = known(world.machine.gpus, ())
    if world.request.accelerator is Accelerator.CPU or not (here or world.machine.has_no_gpu):
        return None
    table = sorted({row.compute_capability for row in world.matrix.gpus.gpus}, key=lambda one: one.key)
    others = [one for one in map(partial(_with_gpu, world), table) if _could_run(one)]
    enough = World.fits
    first = next((one for one in others if enough(with_rest(one))), None)
    if first is None and world.fit() is Fit.NO:
        enough = World.may_fit
        first = next((one for one in others if enough(with_rest(one))), None)
    if first is None:
        return None
    after = with_rest(first)
    upwards = [after.moved(gpus=one.machine.gpus) for one in others[others.index(first) :]]
    last = next(one for one in reversed(upwards) if enough(one))
    ends = [str(known(one.machine.gpus, ())[0].compute_capability) for one in (first, last)]
    span = " to ".join(dict.fromkeys(ends))
    kind = "a GPU" if here else "an NVIDIA GPU"
    return first, Change(kind=ChangeKind.GPU, wanted=f"{kind} of compute capability {span}")


def _with_gpu(world: World, capability: ComputeCapability) -> World:
    return world.moved(gpus=(Gpu(compute_capability=capability),))


def _could_run(world: World) -> bool:
    """Whether the release has code for the GPU, and the machine's driver knows it still."""
    driver = known(world.machine.driver, None)
    if driver is not None and driver.release is not UNSET and driver.release.major > last_branch(world):
        return False
    return code_of(world.release, world.machine, world.matrix) not in _NO_CODE
