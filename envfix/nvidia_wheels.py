"""Which NVIDIA wheels a release gets on a machine: one exact version of each, so that nothing floats.

The matrix stage judges a release by these, and the resolve stage asks for them; neither imports the other, so
the choice is made here, from values alone.

A release's own exact pins hold (2.14 to 2.19). Where it names ranges (2.20 on) it gets their floors, which are what
it was built with; where it names nothing (up to 2.13), the set of `cuda.yaml` for its CUDA major. Upwards it goes only
for a GPU that these do not know, a known defect, or what is installed already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from msgspec import UNSET, Struct
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envfix.model.machine import Arch, Machine, Os, known
from envfix.model.matrix import CudaWheels, CudnnSupport, Effect, Matrix, Release, ToolkitSupport
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease

# Installed packages that pin NVIDIA wheels themselves, so that changing those breaks them.
_HOLDERS = frozenset({"torch", "jax-cuda12-plugin", "jax-cuda12-pjrt"})


class Pin(Struct, frozen=True, kw_only=True):
    """One wheel, `name` normalised, and why this version of it."""

    name: str
    version: str
    because: str


class CudaLibraries(Struct, frozen=True, kw_only=True):
    """The pins, sorted by name, and what they come to. None where the matrix does not say."""

    pins: tuple[Pin, ...] = ()
    cuda: CudaRelease | None = None
    cudnn: CudnnRelease | None = None


def libraries_for(
    release: Release, machine: Machine, matrix: Matrix, installed: Mapping[str, str]
) -> CudaLibraries:
    """The NVIDIA wheels of the release on this machine.

    `installed` maps normalised names to versions. Without pins where there are no such wheels to install
    (not Linux on x86_64, or no CUDA build): what the release was built with is given then.
    """
    built = CudaLibraries(cuda=release.built_with_cuda, cudnn=release.built_with_cudnn)
    if release.built_with_cuda is None or not _has_wheels(machine):
        return built
    capabilities = known_capabilities(machine)
    pins = _pins(release, capabilities, matrix, installed)
    if not pins:
        return built
    cudnn = _cudnn_pin(release, machine, matrix, installed)
    pins = [pin for pin in pins if "cudnn" not in pin.name] + ([cudnn] if cudnn else [])
    runtime = next((pin.version for pin in pins if "-cuda-runtime-" in pin.name), None)
    return CudaLibraries(
        pins=tuple(sorted(pins, key=lambda pin: pin.name)),
        cuda=CudaRelease(runtime).cut(2) if runtime else release.built_with_cuda,
        cudnn=CudnnRelease(cudnn.version) if cudnn else None,
    )


def toolkit_support(matrix: Matrix, cuda: CudaRelease) -> ToolkitSupport | None:
    """The row of `cuda.yaml` for a CUDA release: its own, or the last one before it."""
    rows = [row for row in matrix.cuda.releases if row.cuda <= cuda]
    return rows[-1] if rows else None


def cudnn_support(matrix: Matrix, cudnn: CudnnRelease) -> CudnnSupport | None:
    """The row of `cudnn.yaml` for a cuDNN release."""
    rows = [row for row in matrix.cudnn.releases if row.first <= cudnn]
    return rows[-1] if rows else None


def cuda_knows(matrix: Matrix, cuda: CudaRelease, capabilities: Iterable[ComputeCapability]) -> bool:
    row = toolkit_support(matrix, cuda)
    return row is not None and all(row.first <= capability <= row.last for capability in capabilities)


def cudnn_knows(matrix: Matrix, cudnn: CudnnRelease, capabilities: Iterable[ComputeCapability]) -> bool:
    row = cudnn_support(matrix, cudnn)
    return row is not None and all(row.oldest <= capability <= row.newest for capability in capabilities)


def known_capabilities(machine: Machine) -> tuple[ComputeCapability, ...]:
    """The compute capabilities of the machine's GPUs, those that are known."""
    found = [gpu.compute_capability for gpu in known(machine.gpus, ())]
    return tuple(capability for capability in found if capability is not UNSET)


def _has_wheels(machine: Machine) -> bool:
    """NVIDIA's wheels are for TensorFlow on Linux x86_64; an unknown machine is taken for that."""
    return known(machine.os, Os.LINUX) is Os.LINUX and known(machine.arch, Arch.X86_64) is Arch.X86_64


def _pins(
    release: Release,
    capabilities: tuple[ComputeCapability, ...],
    matrix: Matrix,
    installed: Mapping[str, str],
) -> list[Pin]:
    named = [_requirement(text) for text in release.and_cuda if text.startswith("nvidia-")]
    if not named:
        return _set_pins(release, capabilities, matrix, installed)
    pins = [_exact(requirement, release) for requirement in named]
    if all(pins):
        return [pin for pin in pins if pin]
    return _range_pins(named, release, capabilities, matrix, installed)


def _exact(requirement: Requirement, release: Release) -> Pin | None:
    parts = list(requirement.specifier)
    if len(parts) != 1 or parts[0].operator != "==":
        return None
    name = canonicalize_name(requirement.name)
    return Pin(name=name, version=parts[0].version, because=f"tensorflow {release.version} pins it")


def _set_pins(
    release: Release,
    capabilities: tuple[ComputeCapability, ...],
    matrix: Matrix,
    installed: Mapping[str, str],
) -> list[Pin]:
    """The set of the release's CUDA major: for wheels that know nothing of NVIDIA's."""
    assert release.built_with_cuda is not None
    chosen = _set_for(release.built_with_cuda, capabilities, matrix)
    if chosen is None:
        return []
    why = f"tensorflow {release.version} names none; CUDA {chosen.cuda} has the libraries of its CUDA {release.built_with_cuda}"
    return [
        _kept(name, SpecifierSet(f"=={version}"), installed) or Pin(name=name, version=version, because=why)
        for name, version in chosen.pins.items()
    ]


def _set_for(
    built: CudaRelease, capabilities: tuple[ComputeCapability, ...], matrix: Matrix
) -> CudaWheels | None:
    """The oldest set that fits; where none does the newest of the major, and the rules say what is wrong with it."""
    sets = _fitting_sets(built, capabilities, matrix) or _fitting_sets(built, (), matrix)[-1:]
    return sets[0] if sets else None


def _fitting_sets(
    built: CudaRelease, capabilities: tuple[ComputeCapability, ...], matrix: Matrix
) -> list[CudaWheels]:
    """The sets of the same CUDA major, not older than what was built with, that know the GPUs, ascending."""
    return [
        row
        for row in matrix.cuda.wheels
        if row.cuda.major == built.major
        and row.cuda >= built.cut(2)
        and cuda_knows(matrix, row.cuda, capabilities)
    ]


def _range_pins(
    named: list[Requirement],
    release: Release,
    capabilities: tuple[ComputeCapability, ...],
    matrix: Matrix,
    installed: Mapping[str, str],
) -> list[Pin]:
    assert release.built_with_cuda is not None
    built, raised = release.built_with_cuda, None
    if not cuda_knows(matrix, built, capabilities):
        raised = next(iter(_fitting_sets(built, capabilities, matrix)), None)
    pins = []
    for requirement in named:
        name = canonicalize_name(requirement.name)
        floor = Version(_floor(requirement))
        lowest = max(floor, Version(raised.pins[name])) if raised and name in raised.pins else floor
        kept = _kept(name, requirement.specifier & SpecifierSet(f">={lowest}"), installed)
        if kept:
            pins.append(kept)
        elif raised and lowest > floor:
            pins.append(
                Pin(
                    name=name,
                    version=str(lowest),
                    because=f"CUDA {raised.cuda} is the first that knows the GPU",
                )
            )
        else:
            because = f"what tensorflow {release.version} was built with, and not the newest that it allows"
            pins.append(Pin(name=name, version=str(lowest), because=because))
    return _with_matching_linker(pins, matrix)


def _with_matching_linker(pins: list[Pin], matrix: Matrix) -> list[Pin]:
    """nvjitlink not older than the libraries that call it: an installed cuSPARSE of 12.8 needs that of 12.8."""
    chosen = {pin.name: pin.version for pin in pins}
    linker = next((name for name in chosen if "-nvjitlink-" in name), None)
    if linker is None:
        return pins
    for row in reversed(matrix.cuda.wheels):
        users = [name for name in ("cusparse", "cusolver", "cufft", "cublas") if _is_at(row, chosen, name)]
        if users and linker in row.pins and Version(row.pins[linker]) > Version(chosen[linker]):
            pin = Pin(
                name=linker, version=row.pins[linker], because=f"{users[0]} of CUDA {row.cuda} is installed"
            )
            return [pin if old.name == linker else old for old in pins]
    return pins


def _is_at(row: CudaWheels, chosen: Mapping[str, str], part: str) -> bool:
    name = next((name for name in row.pins if f"nvidia-{part}-" in name), "")
    return name in chosen and chosen[name] == row.pins[name]


def _cudnn_pin(
    release: Release, machine: Machine, matrix: Matrix, installed: Mapping[str, str]
) -> Pin | None:
    """The cuDNN for the machine: exact where the release says so, else as `cudnn.yaml` prefers."""
    assert release.built_with_cuda is not None
    major = release.built_with_cuda.major
    name = f"nvidia-cudnn-cu{major}"
    named = [_requirement(text) for text in release.and_cuda if text.startswith("nvidia-cudnn-")]
    exact = _exact(named[0], release) if named else None
    if exact:
        return exact
    # Any newer release with the same soname serves, so the major of the one built with is the upper limit.
    specifier = named[0].specifier if named else _same_soname(release.built_with_cudnn)
    fitting = [
        version
        for version in _published(machine, matrix, major)
        if specifier.contains(str(version))
        and cudnn_knows(matrix, version, known_capabilities(machine))
        and not _troubled(release, version, matrix, Effect.NO)
    ]
    kept = _installed_cudnn(name, fitting, release, matrix, installed)
    if kept:
        return kept
    choice = next((row for row in matrix.cudnn.preferred if _is_for(row.tf, release)), None)
    for version in choice.versions if choice else ():
        if version in fitting:
            return Pin(name=name, version=str(version), because=choice.because if choice else "")
    if fitting:
        return Pin(name=name, version=str(fitting[0]), because="the oldest cuDNN that fits this machine")
    # None fits; the rules say what is wrong with the one that is taken elsewhere.
    wished = str(choice.versions[0]) if choice else _floor(named[0]) if named else None
    return Pin(name=name, version=wished, because="no cuDNN fits this machine") if wished else None


def _same_soname(built: CudnnRelease | None) -> SpecifierSet:
    return SpecifierSet(f">={built},<{built.major + 1}") if built else SpecifierSet()


def _published(machine: Machine, matrix: Matrix, major: int) -> list[CudnnRelease]:
    """Ascending; those whose wheels need a newer C library than the machine's are left out."""
    glibc = machine.glibc
    rows = [row for row in matrix.cudnn.wheels if row.cuda_major == major]
    return sorted(version for row in rows if glibc is UNSET or row.glibc <= glibc for version in row.versions)


def _installed_cudnn(
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
    if _troubled(release, version, matrix, Effect.UNKNOWN) and not _HOLDERS & set(installed):
        return None
    return Pin(name=name, version=str(version), because="installed, and it fits")


def _troubled(release: Release, cudnn: CudnnRelease, matrix: Matrix, effect: Effect) -> bool:
    return any(
        row.effect is effect
        and row.cudnn_below is not None
        and cudnn < row.cudnn_below
        and _is_for(row.tf, release)
        for row in matrix.known_bad
    )


def _kept(name: str, allowed: SpecifierSet, installed: Mapping[str, str]) -> Pin | None:
    version = installed.get(name)
    try:
        fits = version is not None and allowed.contains(Version(version))
    except InvalidVersion:
        return None
    return Pin(name=name, version=version, because="installed, and it fits") if version and fits else None


def _floor(requirement: Requirement) -> str:
    floors = [part.version for part in requirement.specifier if part.operator in (">=", "==", "~=")]
    return floors[0] if floors else "0"


@cache
def _requirement(text: str) -> Requirement:
    return Requirement(text)


def _is_for(specifier: str, release: Release) -> bool:
    return _specifier(specifier).contains(str(release.version), prereleases=True)


@cache
def _specifier(text: str) -> SpecifierSet:
    return SpecifierSet(text)
