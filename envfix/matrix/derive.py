"""One release of TensorFlow read from its wheels: index page, METADATA and `build_info.py`.

A few range requests, some 3 MB for each platform, instead of the wheel. Facts that no wheel states come from
`wheels.yaml`. `origin` says where each value was read.
"""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from envfix.errors import InputError
from envfix.matrix.build_info import MEMBER, BuildInfo, parse_build_info
from envfix.matrix.nearest import nearest
from envfix.matrix.wheel_tags import Platform, TaggedWheel, by_platform
from envfix.matrix.write import to_yaml
from envfix.model.machine import Arch, Os
from envfix.model.matrix import Kernels, Release, WheelFacts, WheelSet
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease
from envfix.ports import Index, IndexFile

__all__ = ["derive", "stable_releases", "to_yaml"]

LINUX = Platform(Os.LINUX, Arch.X86_64)
# The component whose version names the CUDA release in its first two numbers, whatever the major.
_RUNTIME = (
    "nvidia-cuda-runtime-cu11",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-runtime-cu13",
    "nvidia-cuda-runtime",
)
_CUDNN = ("nvidia-cudnn-cu11", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")


def derive(
    index: Index, version: str, package: str = "tensorflow", facts: Iterable[WheelFacts] = ()
) -> Release:
    """The release as its wheels describe it.

    Raises InputError for a version that does not parse, does not exist (naming the nearest) or has no real
    TensorFlow in it, and IndexUnreachable.
    """
    wanted = _version(version)
    files = _files_of(index, package, wanted)
    platforms = by_platform(files)
    builds = {platform: _build(index, wheels[0].file) for platform, wheels in platforms.items()}
    if not any(builds.values()):
        raise InputError(f"`{package}` {wanted} holds no TensorFlow: no wheel of it has `{MEMBER}`")
    sample = next(iter(platforms[LINUX] if LINUX in platforms else next(iter(platforms.values()))))
    requires, and_cuda = _requirements(index.metadata(sample.file))
    fact = _fact(facts, wanted)
    values = _built_with(_cuda_build(builds), and_cuda, fact)
    dates = sorted(file.upload_time for file in files if file.upload_time)
    return Release(
        version=wanted,
        package=package,
        uploaded=dates[0][:10] if dates else "",
        yanked=all(file.yanked for file in files),
        wheels=tuple(
            _wheel_set(platform, platforms[platform], builds[platform]) for platform in sorted(platforms)
        ),
        requires=requires,
        and_cuda=and_cuda,
        **values,  # type: ignore[arg-type]
    )


def stable_releases(index: Index, package: str = "tensorflow", first: str = "2.4") -> tuple[Version, ...]:
    """Every release from `first` on that is no pre-release and has a wheel, ascending."""
    versions = {version for file in index.files(package) if (version := _wheel_version(file)) is not None}
    return tuple(sorted(v for v in versions if v >= Version(first) and not v.is_prerelease))


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise InputError(f"`{text}` is no version", "such as `2.20.0`") from None


def _files_of(index: Index, package: str, wanted: Version) -> tuple[IndexFile, ...]:
    pairs = [(_wheel_version(file), file) for file in index.files(package)]
    files = tuple(file for version, file in pairs if version == wanted)
    if files:
        return files
    available = [version for version, _ in pairs if version is not None]
    if not available:
        raise InputError(f"`{package}` has no wheels on the package index")
    named = ", ".join(str(version) for version in nearest(str(wanted), available))
    raise InputError(f"{package} {wanted} does not exist on the package index", f"the nearest: {named}")


def _wheel_version(file: IndexFile) -> Version | None:
    try:
        return parse_wheel_filename(file.filename)[1]
    except InvalidWheelFilename:
        return None  # a source archive, or a name from before wheels were standardised


def _build(index: Index, file: IndexFile) -> BuildInfo | None:
    """None for a wheel without TensorFlow in it, which only requires another distribution."""
    try:
        text = index.member(file, MEMBER).decode("utf-8", "replace")
    except KeyError:
        return None
    try:
        return parse_build_info(text)
    except ValueError as problem:
        raise InputError(f"{file.filename}: {MEMBER}: {problem}") from None


def _cuda_build(builds: dict[Platform, BuildInfo | None]) -> BuildInfo | None:
    linux = builds.get(LINUX)
    if linux and linux.is_cuda_build:
        return linux
    return next((build for build in builds.values() if build and build.is_cuda_build), None)


def _wheel_set(platform: Platform, wheels: tuple[TaggedWheel, ...], build: BuildInfo | None) -> WheelSet:
    floors = [wheel.glibc for wheel in wheels if wheel.glibc is not None]
    return WheelSet(
        os=platform.os,
        arch=platform.arch,
        python=tuple(sorted({wheel.python for wheel in wheels})),
        cuda=bool(build and build.is_cuda_build),
        size=max(wheel.file.size or 0 for wheel in wheels),
        glibc=max(floors) if floors else None,
    )


def _requirements(metadata: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The plain requirements and those of the extra `and-cuda`, the latter without their markers."""
    plain: list[str] = []
    cuda: list[str] = []
    for line in metadata.partition("\n\n")[0].splitlines():
        if not line.startswith("Requires-Dist:"):
            continue
        text = line.partition(":")[2].strip()
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # METADATA of old wheels may hold what no installer reads either
        marker = str(requirement.marker or "")
        if "extra ==" not in marker:
            plain.append(str(requirement))
        elif "and-cuda" in marker:
            cuda.append(f"{canonicalize_name(requirement.name)}{requirement.specifier}")
    return tuple(plain), tuple(sorted(cuda))


def _fact(facts: Iterable[WheelFacts], version: Version) -> WheelFacts | None:
    return next((fact for fact in facts if SpecifierSet(fact.tf).contains(version, prereleases=True)), None)


def _built_with(
    build: BuildInfo | None, and_cuda: tuple[str, ...], fact: WheelFacts | None
) -> dict[str, object]:
    """What the CUDA build was made with, and the origin of each value. Empty for a release without one."""
    origin = {"wheels": "index", "requires": "metadata"}
    if build is None:
        return {"origin": origin}
    cuda, origin["built_with_cuda"] = build.cuda, "build_info"
    if cuda is None:
        cuda = _cuda_of_extra(and_cuda)
        origin["built_with_cuda"] = "floor of the extra" if cuda else "unknown"
    cudnn, origin["built_with_cudnn"] = _cudnn_of_extra(and_cuda), "floor of the extra"
    if cudnn is None or build.cudnn_major not in (None, cudnn.major):
        cudnn = fact.cudnn if fact else None
        origin["built_with_cudnn"] = "page" if cudnn else "unknown"
    listed, origin["compute_capabilities"] = build.compute_capabilities, "build_info"
    if not listed:
        listed = fact.compute_capabilities if fact else ()
        origin["compute_capabilities"] = "fatbin" if listed else "unknown"
    hand_written, kernel_gen = _kernels(listed, fact)
    origin["kernels"] = "fatbin" if fact and fact.kernel_gen_isa else "compute capabilities"
    return {
        "built_with_cuda": cuda,
        "built_with_cudnn": cudnn,
        "compute_capabilities": listed,
        "hand_written": hand_written,
        "kernel_gen": kernel_gen,
        "origin": origin,
    }


def _floor(requirements: Iterable[str], names: tuple[str, ...]) -> str | None:
    for text in requirements:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) in names:
            floors = [part.version for part in requirement.specifier if part.operator in ("==", ">=", "~=")]
            return floors[0] if floors else None
    return None


def _cuda_of_extra(and_cuda: tuple[str, ...]) -> CudaRelease | None:
    floor = _floor(and_cuda, _RUNTIME)
    return CudaRelease(floor).cut(2) if floor else None


def _cudnn_of_extra(and_cuda: tuple[str, ...]) -> CudnnRelease | None:
    floor = _floor(and_cuda, _CUDNN)
    return CudnnRelease(floor) if floor else None


def _kernels(listed: tuple[str, ...], fact: WheelFacts | None) -> tuple[Kernels | None, Kernels | None]:
    """Both groups. `compute_XY` means SASS and PTX for hand-written kernels, PTX alone for generated ones."""
    if not listed:
        return None, None
    sass = tuple(ComputeCapability.from_arch(name) for name in listed if name.startswith("sm_"))
    ptx = [ComputeCapability.from_arch(name) for name in listed if name.startswith("compute_")]
    top = max(ptx) if ptx else None
    return (
        Kernels(sass=(*sass, *ptx), ptx=top, ptx_isa=fact.hand_written_isa if fact and top else None),
        Kernels(
            sass=sass,
            ptx=top,
            ptx_isa=fact.kernel_gen_isa if fact and top else None,
            portable=fact.portable if fact and top else True,
        ),
    )
