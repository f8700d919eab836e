"""From a choice to a lock and a plan: resolve, compare with what is there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from msgspec import structs

from envfix.choice import Choice
from envfix.errors import EnvfixError, IndexUnreachable, ResolutionFailed
from envfix.install import loader
from envfix.matrix import rank
from envfix.model.machine import Os, known
from envfix.model.matrix import Matrix, Release
from envfix.model.plan import Change, Floors, Lock, Plan, PlannedPackage, Resolution
from envfix.model.request import Accelerator, Request
from envfix.model.target import Target
from envfix.neighbours import explained
from envfix.ports import Index
from envfix.resolve import planning, remembered
from envfix.situation import Parts, Situation, config_of
from envfix.sparing import left_by, sized
from envfix.standing import damaged, overwritten


def solve(parts: Parts, here: Situation, request: Request, choice: Choice) -> Resolution:
    """Ask the resolver for everything the choice wants. Raises ResolutionFailed or IndexUnreachable."""
    config, wants = config_of(parts, here.target), choice.wanted
    resolver = parts.resolver(request.resolver, config)
    try:
        found = resolver.resolve(wants.roots, wants.caps, here.target, config, offline=request.offline)
    except ResolutionFailed as problem:
        raise explained(problem, here.target) from problem
    if not request.offline:
        remembered.remember(parts.outside, wants.roots, wants.caps, here.target, config, found)
    return found


def recall(parts: Parts, here: Situation, choice: Choice) -> Resolution:
    """What an earlier run found for the same wants. Raises IndexUnreachable where there was none."""
    config, wants = config_of(parts, here.target), choice.wanted
    found = remembered.recall(parts.outside, wants.roots, wants.caps, here.target, config)
    if found is None:
        raise IndexUnreachable("`--offline`, and no earlier run has left its solution")
    return found


def make_lock(here: Situation, matrix: Matrix, choice: Choice, resolution: Resolution) -> Lock:
    """The lock of a resolution with the least a machine must have for it."""
    target = here.target
    gpus = () if choice.accelerator is Accelerator.CPU else known(here.machine.gpus, ())
    return Lock(
        tensorflow=str(choice.candidate.version),
        requirements=(*choice.wanted.roots, *choice.wanted.caps),
        resolution=resolution,
        floors=Floors(
            python=str(target.feature),
            os=target.os.value,
            arch=target.arch.value,
            glibc=_glibc_floor(choice.release, target),
            driver=None if not gpus else rank.driver_floor(choice.release, here.machine, matrix),
            compute_capabilities=tuple(
                sorted({str(known(gpu.compute_capability, "")) for gpu in gpus} - {""})
            ),
            accelerator=choice.accelerator.value,
        ),
        matrix_digest=matrix.digest,
        cuda=choice.cuda.value,
        left_out=tuple(f"{one.name}=={one.version}" for one in left_by(resolution, choice.left_out)),
    )


def plan_of(parts: Parts, here: Situation, choice: Choice, resolution: Resolution, *, offline: bool) -> Plan:
    """What the resolution would change in the target, with sizes in bytes.

    An NVIDIA wheel that lacks some of its libraries counts as absent: it is installed anew.
    """
    lost = {} if here.new_venv else damaged(parts.outside, here, choice)
    over = () if here.new_venv else overwritten(here, choice)
    because = {
        **choice.wanted.because,
        **lost,
        **dict.fromkeys(over, "another one lies over it: installed anew"),
    }
    broken = {*lost, *over}
    kept = tuple(dist for dist in here.target.installed if dist.name not in broken)
    target = structs.replace(here.target, installed=kept)
    sizes: Mapping[str, int] = {}
    left = left_by(resolution, choice.left_out)
    try:
        index = None if offline else partial(_index, parts, target)
        sizes = planning.unpacked_sizes(parts.outside, index, resolution, target)
        left = sized(left, index() if index is not None and left else None)
    except EnvfixError as problem:
        # Sizes inform, they decide nothing: without them the plan says that they are not known.
        parts.outside.say(f"warning: unpacked sizes are not known: {problem.message}")
    return structs.replace(planning.make_plan(resolution, target, because, sizes), left_out=left)


def _index(parts: Parts, target: Target) -> Index:
    return parts.index(config_of(parts, target))


def plan_if_possible(
    parts: Parts, here: Situation, request: Request, choice: Choice
) -> tuple[Plan | None, str]:
    """The plan, or None and the reason: a report is complete without it."""
    try:
        found = recall(parts, here, choice) if request.offline else solve(parts, here, request, choice)
        return plan_of(parts, here, choice, found, offline=request.offline), ""
    except EnvfixError as problem:
        return None, f"no plan: {problem.message}"


def plan_of_keeping(choice: Choice, target: Target) -> Plan:
    """The plan of an environment that is already right: what was asked for stays, nothing is downloaded."""
    names = [name for name in choice.wanted.because if target.version_of(name)]
    return Plan(
        packages=tuple(
            PlannedPackage(
                name=name,
                version=target.version_of(name) or "",
                size=0,
                change=Change.KEEP,
                because=choice.wanted.because[name],
            )
            for name in sorted(names)
        ),
        download_bytes=0,
        installed_bytes=0,
        left_out=choice.left_out,
    )


def with_loader(plan: Plan, target: Target) -> Plan:
    """The plan of an environment that lacks nothing but the loader."""
    package = PlannedPackage(
        name=loader.NAME,
        version=loader.VERSION,
        size=0,
        change=Change.UPGRADE if target.version_of(loader.NAME) else Change.ADD,
        because="through it TensorFlow finds its CUDA libraries",
    )
    return structs.replace(plan, packages=(package, *plan.packages))


def _glibc_floor(release: Release, target: Target) -> str | None:
    if target.os is not Os.LINUX:
        return None
    for wheels in release.wheels:
        if (wheels.os, wheels.arch) == (target.os, target.arch) and wheels.glibc:
            return str(wheels.glibc)
    return None
