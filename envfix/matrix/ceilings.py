"""What the driver, the GPUs and the release allow of CUDA and cuDNN, for the picture of a plan's bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import UNSET
from packaging.requirements import Requirement
from packaging.version import Version

from envfix.matrix.rules.driver import MINOR_VERSIONS, major_floor, reaches
from envfix.model.ceilings import Ceilings, Lane, Span, Subject
from envfix.model.decision import Bound, Fit
from envfix.model.machine import Driver, Machine, known
from envfix.model.matrix import Effect, Matrix, Release
from envfix.model.specifiers import requirement
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease
from envfix.nvidia.pins import is_for
from envfix.nvidia.support import cuda_knows, cudnn_knows, cudnn_support, toolkit_support

# Wheels whose version begins with the CUDA release that they are part of; the others count for themselves.
_LIKE_CUDA = ("cuda-runtime", "cuda-nvrtc", "cuda-nvcc", "cuda-cupti", "nvjitlink")


def ceilings(
    release: Release, machine: Machine, matrix: Matrix, bounds: Sequence[Bound]
) -> tuple[Ceilings, ...]:
    """One for CUDA and one for cuDNN, where the bounds hold wheels of them."""
    held = [parsed for bound in bounds if (parsed := requirement(bound.requirement)) is not None]
    wheels = [one for one in held if one.name.startswith("nvidia-") and "-nccl-" not in one.name]
    cudnn = next((one for one in wheels if one.name.startswith("nvidia-cudnn-")), None)
    toolkit = [one for one in wheels if one is not cudnn]
    found = [_of_cuda(release, machine, matrix, toolkit)] if toolkit else []
    return (*found, *([_of_cudnn(release, machine, matrix, cudnn)] if cudnn else []))


def _of_cuda(release: Release, machine: Machine, matrix: Matrix, wheels: Sequence[Requirement]) -> Ceilings:
    axis = [row.cuda for row in matrix.cuda.releases]
    gpus = _gpu_lanes(
        machine,
        axis,
        lambda cuda, capability: cuda_knows(matrix, cuda, (capability,)),
        lambda cuda: getattr(toolkit_support(matrix, cuda), "source", ""),
    )
    lanes = [_driver_lane(machine, matrix, axis), *gpus]
    if (built := release.built_with_cuda) is not None:
        lanes.append(
            Lane(
                subject=Subject.RELEASE,
                name=f"{release.package} {release.version}",
                allowed=_spans(
                    axis, [one for one in axis if built.cut(2) <= one and _same_major(one, built)]
                ),
                note=f"built with CUDA {built}; a later CUDA {built.major} has the same libraries",
                source=MINOR_VERSIONS,
            )
        )
    members = _members(matrix)
    lanes += [_wheel_lane(release, one, axis, members.get(one.name, {})) for one in wheels]
    return Ceilings(library="CUDA", axis=tuple(map(str, axis)), lanes=tuple(lanes))


def _driver_lane(machine: Machine, matrix: Matrix, axis: Sequence[CudaRelease]) -> Lane:
    """Up to the driver's CUDA everything works; above it in the same major what needs no newer driver."""
    driver = machine.driver
    if not isinstance(driver, Driver):
        allowed = () if driver is None else None
        return Lane(subject=Subject.DRIVER, name="driver", allowed=allowed)
    floors = {cuda: major_floor(cuda, machine, matrix) for cuda in axis}
    runs = [cuda for cuda, floor in floors.items() if floor and reaches(machine, floor) is Fit.YES]
    own = driver.cuda
    whole = [cuda for cuda in runs if own is not UNSET and cuda.key <= own.key]
    note = (
        f"driver's CUDA {own}; newer releases of its major by minor-version compatibility, without their PTX"
        if own is not UNSET
        else "driver's CUDA not known"
    )
    return Lane(
        subject=Subject.DRIVER,
        name=f"driver {known(driver.release, '?')}",
        allowed=_spans(axis, whole),
        limited=_spans(axis, [cuda for cuda in runs if cuda not in whole]),
        note=note,
        source=MINOR_VERSIONS,
    )


def _wheel_lane(
    release: Release, taken: Requirement, axis: Sequence[CudaRelease], members: dict[CudaRelease, Version]
) -> Lane:
    """The CUDA releases whose version of the wheel the release allows, and where the one taken stands."""
    version = _pinned(taken)
    asked = next((one for one in _asked(release) if one.name == taken.name), None)
    if any(part in taken.name for part in _LIKE_CUDA):
        members = {cuda: Version(f"{cuda}.99999") for cuda in axis}
        own = CudaRelease(str(version)).cut(2)
        at = own if own in axis else None
    else:
        at = next((cuda for cuda, one in members.items() if one == version and cuda in axis), None)
    built = release.built_with_cuda
    if asked is not None:
        fitting = [cuda for cuda, one in members.items() if asked.specifier.contains(one)]
        note = f"{release.package} {release.version} asks for {asked.specifier}"
    else:
        fitting = [cuda for cuda in axis if built and built.cut(2) <= cuda and _same_major(cuda, built)]
        note = f"{release.package} {release.version} names none"
    # What another package holds may stand outside of what the release asks for: then it is drawn so.
    fitting += [at] if at and (asked is None or asked.specifier.contains(version)) else []
    inside = [cuda for cuda in axis if fitting and min(fitting) <= cuda <= max(fitting)]
    return Lane(
        subject=Subject.WHEEL,
        name=f"{taken.name} {version}",
        allowed=_spans(axis, inside) if inside else None,
        at=str(at) if at else None,
        note=note if at else f"{note}; the matrix does not say of which CUDA this version is",
    )


def _members(matrix: Matrix) -> dict[str, dict[CudaRelease, Version]]:
    """The versions of wheels that belong to CUDA releases, as sets and releases with exact pins tell them."""
    found: dict[str, dict[CudaRelease, Version]] = {}
    for release in matrix.releases:
        if release.built_with_cuda is None:
            continue
        for one in _asked(release):
            parts = list(one.specifier)
            if len(parts) == 1 and parts[0].operator == "==":
                built = release.built_with_cuda.cut(2)
                found.setdefault(one.name, {})[built] = Version(parts[0].version)
    for row in matrix.cuda.wheels:
        for name, version in row.pins.items():
            found.setdefault(name, {})[row.cuda.cut(2)] = Version(version)
    return found


def _of_cudnn(release: Release, machine: Machine, matrix: Matrix, taken: Requirement) -> Ceilings:
    major = int(taken.name.rpartition("cu")[2])
    rows = [row for row in matrix.cudnn.wheels if row.cuda_major == major]
    minors = {version.cut(2): version for row in rows for version in sorted(row.versions)}
    version = CudnnRelease(str(_pinned(taken)))
    axis = sorted({*minors, version.cut(2)})
    newest = {minor: minors.get(minor, version) for minor in axis}
    lanes = list(
        _gpu_lanes(
            machine,
            axis,
            lambda minor, capability: cudnn_knows(matrix, newest[minor], (capability,)),
            lambda minor: getattr(cudnn_support(matrix, newest[minor]), "source", ""),
        )
    )
    built = release.built_with_cudnn
    serves = [one for one in axis if built and _same_major(one, built) and newest[one] >= built]
    lanes.append(_cudnn_of_release(release, matrix, serves, newest))
    asked = next((one for one in _asked(release) if one.name.startswith("nvidia-cudnn-")), None)
    fitting = [one for one in axis if asked.specifier.contains(str(newest[one]))] if asked else serves
    inside = {*fitting, version.cut(2)}
    names = f"asks for {asked.specifier}" if asked else "names none"
    lanes.append(
        Lane(
            subject=Subject.WHEEL,
            name=f"{taken.name} {version}",
            allowed=_spans(axis, inside),
            at=str(version.cut(2)),
            note=f"{release.package} {release.version} {names}",
        )
    )
    return Ceilings(library="cuDNN", axis=tuple(map(str, axis)), lanes=tuple(lanes))


def _cudnn_of_release(
    release: Release, matrix: Matrix, serves: Sequence[CudnnRelease], newest: dict[CudnnRelease, CudnnRelease]
) -> Lane:
    """The same major and not older than the one compiled against; below a known defect at its cost."""
    built = release.built_with_cudnn
    rows = [
        row
        for row in matrix.known_bad
        if row.cudnn_below and row.effect in (Effect.NO, Effect.UNKNOWN) and is_for(row.tf, release)
    ]
    troubled = [
        one for one in serves if any(row.cudnn_below and newest[one] < row.cudnn_below for row in rows)
    ]
    note = (
        f"compiled against cuDNN {built}; cuDNN {built.major} from that on serves" if built else "not known"
    )
    return Lane(
        subject=Subject.RELEASE,
        name=f"{release.package} {release.version}",
        allowed=_spans(newest, [one for one in serves if one not in troubled]) if built else None,
        limited=_spans(newest, troubled),
        note="; ".join([note, *(row.symptom for row in rows if troubled)]) if built else "",
        source=rows[0].source if rows else "",
    )


def _gpu_lanes(
    machine: Machine,
    axis: Sequence[CudaRelease] | Sequence[CudnnRelease],
    knows: Callable[..., bool],
    source: Callable[..., str],
) -> Iterator[Lane]:
    """A lane for each kind of GPU."""
    if machine.gpus is UNSET:
        yield Lane(subject=Subject.GPU, name="GPU", allowed=None)
        return
    kinds = dict.fromkeys((gpu.name, gpu.compute_capability) for gpu in machine.gpus)
    if not kinds:
        yield Lane(subject=Subject.GPU, name="GPU", allowed=())
    unknown = "its compute capability is not known"
    for name, capability in kinds:
        if not isinstance(capability, ComputeCapability):
            yield Lane(subject=Subject.GPU, name=known(name, "GPU"), allowed=None, note=unknown)
            continue
        fitting = [one for one in axis if knows(one, capability)]
        yield Lane(
            subject=Subject.GPU,
            name=known(name, "GPU"),
            allowed=_spans(axis, fitting),
            note=f"compute capability {capability}: the libraries have code for it",
            source=source(fitting[0]) if fitting else "",
        )


def _asked(release: Release) -> list[Requirement]:
    parsed = [requirement(line) for line in release.and_cuda]
    return [one for one in parsed if one is not None]


def _pinned(taken: Requirement) -> Version:
    return Version(next(iter(taken.specifier)).version)


def _same_major(one: CudaRelease | CudnnRelease, other: CudaRelease | CudnnRelease) -> bool:
    return one.major == other.major


def _spans(axis: Iterable[object], inside: Iterable[object]) -> tuple[Span, ...]:
    """The members as unbroken stretches of the axis."""
    wanted = set(inside)
    spans: list[Span] = []
    before = False
    for place in axis:
        here = place in wanted
        if here and before:
            spans[-1] = Span(spans[-1].first, str(place))
        elif here:
            spans.append(Span(str(place), str(place)))
        before = here
    return tuple(spans)
