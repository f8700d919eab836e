"""Which NVIDIA wheels a release gets on a machine: one exact version of each, so that nothing floats.

A release's own exact pins hold (2.14 to 2.19), unless torch or jax holds a newer wheel of the same CUDA
major: that serves as well, and changing it would break them. Where it names ranges (2.20 on) it gets their
floors, which are what it was built with; where it names nothing (up to 2.13), the set of `cuda.yaml` for its
CUDA major. Upwards it goes only for a GPU that these do not know, a known defect, or what is installed
already.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, UnsetType
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from envfix.model.machine import Arch, Gpu, Machine, Os, known
from envfix.model.matrix import CudaWheels, Matrix, Release
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease, GlibcRelease
from envfix.nvidia.cudnn import cudnn_pin
from envfix.nvidia.pins import Pin, are_held, exact, floor, kept, requirement
from envfix.nvidia.support import cuda_knows, known_capabilities


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
    cudnn = cudnn_pin(release, machine, matrix, installed)
    pins = [pin for pin in pins if "cudnn" not in pin.name] + ([cudnn] if cudnn else [])
    runtime = next((pin.version for pin in pins if pin.name.startswith("nvidia-cuda-runtime")), None)
    return CudaLibraries(
        pins=tuple(sorted(pins, key=lambda pin: pin.name)),
        cuda=CudaRelease(runtime).cut(2) if runtime else release.built_with_cuda,
        cudnn=CudnnRelease(cudnn.version) if cudnn else None,
    )


def proven_libraries(
    release: Release, matrix: Matrix, gpu: ComputeCapability | None, glibc: GlibcRelease | UnsetType
) -> CudaLibraries:
    """The NVIDIA wheels of a proof: those of an empty environment on Linux x86_64 with this GPU."""
    gpus = () if gpu is None else (Gpu(compute_capability=gpu),)
    machine = Machine(os=Os.LINUX, arch=Arch.X86_64, glibc=glibc, gpus=gpus)
    return libraries_for(release, machine, matrix, {})


def _has_wheels(machine: Machine) -> bool:
    """NVIDIA's wheels are for TensorFlow on Linux x86_64; an unknown machine is taken for that."""
    return known(machine.os, Os.LINUX) is Os.LINUX and known(machine.arch, Arch.X86_64) is Arch.X86_64


def _pins(
    release: Release,
    capabilities: tuple[ComputeCapability, ...],
    matrix: Matrix,
    installed: Mapping[str, str],
) -> list[Pin]:
    named = [requirement(text) for text in release.and_cuda if text.startswith("nvidia-")]
    if not named:
        return _set_pins(release, capabilities, matrix, installed)
    pins = [exact(one, release) for one in named]
    if all(pins):
        return _with_matching_linker([_not_downgraded(pin, installed) for pin in pins if pin], matrix)
    return _range_pins(named, release, capabilities, matrix, installed)


def _not_downgraded(pin: Pin, installed: Mapping[str, str]) -> Pin:
    """The pin, or what torch or jax holds where that is newer: the name says the CUDA major, within which
    NVIDIA keeps sonames and interfaces (CUDA compatibility guide, "Minor Version Compatibility")."""
    if not are_held(installed):
        return pin
    return kept(pin.name, SpecifierSet(f">={pin.version}"), installed) or pin


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
    why = f"{release.package} {release.version} names none; CUDA {chosen.cuda} has the libraries it opens"
    return [
        kept(name, SpecifierSet(f"=={version}"), installed) or Pin(name=name, version=version, because=why)
        for name, version in chosen.pins.items()
    ]


def _set_for(
    built: CudaRelease, capabilities: tuple[ComputeCapability, ...], matrix: Matrix
) -> CudaWheels | None:
    """The oldest set that fits; where none does the newest of the major, and the rules say what is wrong."""
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
    for one in named:
        name = canonicalize_name(one.name)
        least = Version(floor(one))
        lowest = max(least, Version(raised.pins[name])) if raised and name in raised.pins else least
        stays = kept(name, one.specifier & SpecifierSet(f">={lowest}"), installed)
        if stays:
            pins.append(stays)
        elif raised and lowest > least:
            pins.append(
                Pin(
                    name=name,
                    version=str(lowest),
                    because=f"CUDA {raised.cuda} is the first that knows the GPU",
                )
            )
        else:
            because = (
                f"what {release.package} {release.version} was built with, and not the newest that it allows"
            )
            pins.append(Pin(name=name, version=str(lowest), because=because))
    return _with_matching_linker(pins, matrix)


def _with_matching_linker(pins: list[Pin], matrix: Matrix) -> list[Pin]:
    """nvjitlink not older than what calls it: an installed cuSPARSE of CUDA 12.8 needs that of 12.8."""
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
