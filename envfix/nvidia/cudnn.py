"""Which cuDNN wheel a release gets on a machine."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from envfix.model.machine import Machine
from envfix.model.matrix import Effect, Matrix, Release
from envfix.model.specifiers import allows
from envfix.model.versions import CudnnRelease
from envfix.nvidia.pins import Pin, are_held, exact, floor, is_for, requirement
from envfix.nvidia.support import cudnn_knows, known_capabilities


def cudnn_pin(release: Release, machine: Machine, matrix: Matrix, installed: Mapping[str, str]) -> Pin | None:
    """The cuDNN for the machine: exact where the release says so and no other package holds a newer one,
    else as `cudnn.yaml` prefers."""
    assert release.built_with_cuda is not None
    major = release.built_with_cuda.major
    name = f"nvidia-cudnn-cu{major}"
    named = [requirement(text) for text in release.and_cuda if text.startswith("nvidia-cudnn-")]
    pinned = exact(named[0], release) if named else None
    published = _published(machine, matrix, major)
    if not published and named:
        return pinned or Pin(name=name, version=floor(named[0]), because="the oldest that the release allows")
    # Any newer release with the same soname serves, so the major of the one built with is the upper limit.
    if named and not pinned:
        specifier = str(named[0].specifier)
    else:
        specifier = _same_soname(CudnnRelease(pinned.version) if pinned else release.built_with_cudnn)
    capabilities, troubled = known_capabilities(machine), _troubled_below(release, matrix, Effect.NO)
    fitting = [
        version
        for version in published
        if allows(specifier, str(version))
        and cudnn_knows(matrix, version, capabilities)
        and not (troubled and version < troubled)
    ]
    stays = _installed(name, fitting, release, matrix, installed)
    if pinned:
        return stays if stays and are_held(installed) else pinned
    if stays:
        return stays
    choice = next((row for row in matrix.cudnn.preferred if is_for(row.tf, release)), None)
    for version in choice.versions if choice else ():
        if version in fitting:
            return Pin(name=name, version=str(version), because=choice.because if choice else "")
    if fitting:
        return Pin(name=name, version=str(fitting[0]), because="the oldest cuDNN that fits this machine")
    # None fits; the rules say what is wrong with the one that is taken elsewhere.
    wished = str(choice.versions[0]) if choice else None
    return Pin(name=name, version=wished, because="no cuDNN fits this machine") if wished else None


def _same_soname(built: CudnnRelease | None) -> str:
    return f">={built},<{built.major + 1}" if built else ""


def _published(machine: Machine, matrix: Matrix, major: int) -> list[CudnnRelease]:
    """Ascending; those whose wheels need a newer C library than the machine's are left out."""
    glibc = machine.glibc
    rows = [row for row in matrix.cudnn.wheels if row.cuda_major == major]
    return sorted(version for row in rows if glibc is UNSET or row.glibc <= glibc for version in row.versions)


def _installed(
    name: str,
    fitting: list[CudnnRelease],
    release: Release,
    matrix: Matrix,
    installed: Mapping[str, str],
) -> Pin | None:
    """The installed cuDNN when it fits. One that nobody has tried stays only where torch or jax needs it."""
    version = next((version for version in fitting if str(version) == installed.get(name)), None)
    if version is None:
        return None
    untried = _troubled_below(release, matrix, Effect.UNKNOWN)
    if untried and version < untried and not are_held(installed):
        return None
    return Pin(name=name, version=str(version), because="installed, and it fits")


def _troubled_below(release: Release, matrix: Matrix, effect: Effect) -> CudnnRelease | None:
    """The release of cuDNN below which there is trouble of this kind, None where there is none."""
    below = [
        row.cudnn_below
        for row in matrix.known_bad
        if row.effect is effect and row.cudnn_below is not None and is_for(row.tf, release)
    ]
    return max(below, default=None)
