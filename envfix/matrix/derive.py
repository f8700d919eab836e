"""One release of TensorFlow read from its wheels: index page, METADATA, `build_info.py` and fat binaries.

A few range requests, some 5 MB, instead of the wheel. Facts that no wheel states, and kernels that were read
once, come from `wheels.yaml`; kernels that nobody has read yet cost 40 to 60 MB. `origin` says where each
value was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from msgspec import structs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from envfix.errors import InputError
from envfix.matrix import kernels
from envfix.matrix.build_info import MEMBER, BuildInfo, parse_build_info
from envfix.matrix.metadata import Requirements, read_requirements
from envfix.matrix.page import LINUX, Page, read_page
from envfix.matrix.wheel_tags import Platform
from envfix.matrix.write import to_yaml
from envfix.model.matrix import PtxFloor, Release, WheelFacts
from envfix.model.versions import CudaRelease, CudnnRelease, PtxIsa
from envfix.ports import Index, IndexFile

__all__ = ["derive", "derive_page", "facts_for", "to_yaml"]

# The component whose version names the CUDA release in its first two numbers, whatever the major.
_RUNTIME = (
    "nvidia-cuda-runtime-cu11",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-runtime-cu13",
    "nvidia-cuda-runtime",
)
_CUDNN = ("nvidia-cudnn-cu11", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
_REQUESTS_AT_ONCE = 4


def derive(
    index: Index,
    version: str,
    package: str = "tensorflow",
    facts: Iterable[WheelFacts] = (),
    ptx: Iterable[PtxFloor] = (),
) -> Release:
    """The release as its wheels describe it; `derive_page` says how.

    Raises InputError for a version that does not parse, does not exist (naming the nearest) or has no real
    TensorFlow in it, and IndexUnreachable.
    """
    return derive_page(index, read_page(package, _version(version), index.files(package)), facts, ptx)


def derive_page(
    index: Index,
    page: Page,
    facts: Iterable[WheelFacts] = (),
    ptx: Iterable[PtxFloor] = (),
    on_kernels: Callable[[WheelFacts], None] | None = None,
) -> Release:
    """The release of an index page as its wheels describe it.

    Where `facts` do not hold its kernels its fat binaries are read, and `on_kernels` is told what they hold.
    `ptx` tells the CUDA release by the PTX in them, where neither `build_info` nor the extra names one.
    Raises InputError where there is no real TensorFlow in the wheels, and IndexUnreachable.
    """
    package, wanted = page.release.key
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
        jobs = {name: pool.submit(_build, index, wheels[0].file) for name, wheels in page.platforms.items()}
        sample = page.sample
        texts = pool.map(lambda wheel: index.metadata(wheel.file), sample)
        builds = {platform: job.result() for platform, job in jobs.items()}
        if not any(builds.values()):
            raise InputError(f"`{package}` {wanted} holds no TensorFlow: no wheel of it has `{MEMBER}`")
        required = read_requirements({wheel.python: text for wheel, text in zip(sample, texts, strict=True)})
    fact = facts_for(facts, package, wanted)
    if fact.hand_written is None and LINUX in page.platforms and _may_have_kernels(builds[LINUX]):
        read = kernels.read_facts(index, page.platforms[LINUX][0].file, package, wanted)
        if read is not None:
            fact = structs.replace(fact, hand_written=read.hand_written, kernel_gen=read.kernel_gen)
            if on_kernels is not None:
                on_kernels(read)
    return _release(page, builds, required, fact, tuple(ptx))


def facts_for(facts: Iterable[WheelFacts], package: str, version: Version) -> WheelFacts:
    """What the rows of `wheels.yaml` say of a release together; the first that names a value holds."""
    whole = WheelFacts(tf=f"=={version}", package=package, source="")
    for row in facts:
        if row.package == package and SpecifierSet(row.tf).contains(version, prereleases=True):
            whole = structs.replace(
                whole,
                cudnn=whole.cudnn or row.cudnn,
                hand_written=whole.hand_written or row.hand_written,
                kernel_gen=whole.kernel_gen or row.kernel_gen,
            )
    return whole


def _release(
    page: Page,
    builds: dict[Platform, BuildInfo | None],
    required: Requirements,
    fact: WheelFacts,
    ptx: tuple[PtxFloor, ...],
) -> Release:
    has_kernels = {LINUX: fact.hand_written is not None}
    sets = tuple(
        structs.replace(wheels, cuda=_is_cuda(builds[platform], has_kernels.get(platform, False)))
        for wheels, platform in zip(page.release.wheels, sorted(page.platforms), strict=True)
    )
    cuda_sets = {Platform(wheels.os, wheels.arch) for wheels in sets if wheels.cuda}
    build = next((builds[platform] for platform in (LINUX, *builds) if platform in cuda_sets), None)
    release = structs.replace(
        page.release,
        wheels=sets,
        requires=required.plain,
        and_cuda=required.cuda,
        origin={"wheels": "index", "requires": "metadata"},
    )
    # Without a CUDA build there is no CUDA, no cuDNN and no kernel to name.
    return release if build is None else _with_build(release, build, fact, ptx)


def _is_cuda(build: BuildInfo | None, has_kernels: bool) -> bool:
    """Whether wheels are CUDA builds; kernels in them tell where `build_info` does not."""
    return bool(build and (has_kernels if build.is_cuda_build is None else build.is_cuda_build))


def _may_have_kernels(build: BuildInfo | None) -> bool:
    return build is not None and build.is_cuda_build is not False


def _version(text: str) -> Version:
    try:
        return Version(text)
    except ValueError:
        raise InputError(f"`{text}` is no version", "such as `2.20.0`") from None


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


def _with_build(release: Release, build: BuildInfo, fact: WheelFacts, ptx: tuple[PtxFloor, ...]) -> Release:
    """The release with CUDA, cuDNN and kernels, each with its origin."""
    hand_written, kernel_gen = fact.hand_written, fact.kernel_gen
    listed, capabilities_from = build.compute_capabilities, "build_info"
    if not listed:
        listed = kernels.listed_by(hand_written) if hand_written else ()
        capabilities_from = "fatbin" if listed else "unknown"
    kernels_from = "fatbin"
    if hand_written is None:
        hand_written, kernel_gen = kernels.implied(listed)
        kernels_from = "compute capabilities" if listed else "unknown"
    cuda, cuda_from = _cuda(release, build, fact, ptx)
    cudnn, cudnn_from = _cudnn(release, build, fact)
    return structs.replace(
        release,
        built_with_cuda=cuda,
        built_with_cudnn=cudnn,
        compute_capabilities=listed,
        hand_written=hand_written,
        kernel_gen=kernel_gen,
        origin={
            **release.origin,
            "built_with_cuda": cuda_from,
            "built_with_cudnn": cudnn_from,
            "compute_capabilities": capabilities_from,
            "kernels": kernels_from,
        },
    )


def _cuda(
    release: Release, build: BuildInfo, fact: WheelFacts, ptx: tuple[PtxFloor, ...]
) -> tuple[CudaRelease | None, str]:
    """From `build_info`, the extra's floor, or the newest PTX: each CUDA release writes one PTX ISA."""
    if build.cuda:
        return build.cuda, "build_info"
    floor = _floor((*release.and_cuda, *release.requires), _RUNTIME)
    if floor:
        return CudaRelease(floor).cut(2), "floor of the extra"
    groups = (fact.hand_written, fact.kernel_gen)
    isas: list[PtxIsa] = [group.ptx_isa for group in groups if group and group.ptx_isa]
    known = [row for row in ptx if isas and row.isa <= max(isas) and row.isa.major == max(isas).major]
    if known:
        return max(known, key=lambda row: row.isa).cuda, "fatbin"
    return None, "unknown"


def _cudnn(release: Release, build: BuildInfo, fact: WheelFacts) -> tuple[CudnnRelease | None, str]:
    """From the extra where its major is the one in `build_info`, else from the vendor's page."""
    floor = _floor((*release.and_cuda, *release.requires), _CUDNN)
    if floor and build.cudnn_major in (None, CudnnRelease(floor).major):
        return CudnnRelease(floor), "floor of the extra"
    return (fact.cudnn, "page") if fact.cudnn else (None, "unknown")


def _floor(requirements: Iterable[str], names: tuple[str, ...]) -> str | None:
    for text in requirements:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) in names:
            floors = [part.version for part in requirement.specifier if part.operator in ("==", ">=", "~=")]
            return floors[0] if floors else None
    return None
