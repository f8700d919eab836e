"""The packages beside TensorFlow that ask for NVIDIA wheels: what `--with` brings, and what stays."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs
from packaging.utils import canonicalize_name

from envfix.errors import ResolutionFailed
from envfix.holders import ASKING, holder_of, holders_installed, with_requirements
from envfix.model.machine import Arch, Os
from envfix.model.matrix import Matrix
from envfix.model.plan import LockedPackage, Resolution
from envfix.model.request import Accelerator, CudaSource, Request
from envfix.model.target import Distribution, PipConfig
from envfix.nvidia.beside import asks_of, kept_out, other_majors
from envfix.nvidia.pins import HOLDERS
from envfix.resolve.wanted import unmet_companions
from envfix.situation import Parts, Situation, config_of


def with_beside(parts: Parts, here: Situation, matrix: Matrix, request: Request) -> Situation:
    """The situation with every package beside TensorFlow that asks for NVIDIA wheels itself.

    The resolver is asked about `--with` only where something of it is not there yet. Raises ResolutionFailed
    where the companions have no solution even by themselves, and IndexUnreachable.
    """
    linux = (here.target.os, here.target.arch) == (Os.LINUX, Arch.X86_64)
    gpu = request.accelerator is Accelerator.GPU and request.cuda is not CudaSource.SYSTEM
    if not (linux and gpu):
        return here
    here = with_requirements(parts, here, offline=request.offline)
    going = set(request.allow_break)
    if not unmet_companions(request.companions, here.target):
        return structs.replace(here, beside=holders_installed(here, going))
    named = {canonicalize_name(one.name) for one in request.companions}
    config = config_of(parts, here.target)
    staying = holders_installed(here, going | named)
    found = _alone(parts, here, request, config, staying, _major(matrix, request))
    brought = _brought(parts, config, request, found.packages)
    going |= {package.name for package in found.packages}
    return structs.replace(here, beside=(*brought, *holders_installed(here, going)))


def _brought(
    parts: Parts, config: PipConfig, request: Request, packages: Sequence[LockedPackage]
) -> tuple[Distribution, ...]:
    asked = {canonicalize_name(one.name) for one in request.companions} | HOLDERS | ASKING
    index = None if request.offline else parts.index(config)
    read = [holder_of(parts.outside, index, package) for package in packages if package.name in asked]
    return tuple(holder for holder in read if holder.requires)


def _major(matrix: Matrix, request: Request) -> int:
    """The CUDA major of the newest release that the request names."""
    built = {
        release.version: release.built_with_cuda.major
        for release in matrix.releases
        if release.built_with_cuda
        and release.package == request.tf.package
        and request.tf.specifier.contains(release.version, prereleases=True)
    }
    return built[max(built)] if built else 12


def _alone(
    parts: Parts,
    here: Situation,
    request: Request,
    config: PipConfig,
    staying: Sequence[Distribution],
    major: int,
) -> Resolution:
    """The companions' own solution beside what stays: the newest without wheels whose files have the names of
    TensorFlow's, where there is one that still uses the GPU; else theirs as it is, and the rules say what is
    wrong with it.
    """
    resolver = parts.resolver(request.resolver, config)
    asked = [str(one) for one in request.companions]
    held = [f"{ask.name}{ask.specifier}" for ask in asks_of(staying)]
    refused: ResolutionFailed | None = None
    for more in [held, []] if held else [[]]:
        try:
            caps = [*kept_out(major), *more]
            found = resolver.resolve(asked, caps, here.target, config, offline=request.offline)
        except ResolutionFailed as problem:
            refused = problem
            continue
        # An old version may lack the extra that asks for the GPU, and is then found without one.
        if any(package.name.startswith("nvidia-") for package in found.packages):
            return found
    free = resolver.resolve(asked, [], here.target, config, offline=request.offline)
    if any(package.name in other_majors(major) for package in free.packages):
        return free
    if refused:
        raise refused
    return found
