"""Rule 2, and what the driver must know for JIT compilation."""

from __future__ import annotations

from functools import cache

from msgspec import UNSET, Struct

from envfix.matrix.rules.case import Case
from envfix.model.decision import Fit, Verdict
from envfix.model.machine import Gpu, Machine, Os, known
from envfix.model.matrix import DriverFloor, Matrix, PtxFloor, ToolkitSupport
from envfix.model.versions import ComputeCapability, CudaRelease, DriverRelease

RULE = "driver"
MINOR_VERSIONS = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"


class Floor(Struct, frozen=True, kw_only=True):
    """The least driver for something.

    `driver` is that of this machine's operating system, None where NVIDIA names none; `other` the other
    column's where it is not known whether this is WSL. `cuda` is the driver's CUDA that goes with it, and
    `met_by_cuda` says whether every driver of that CUDA reaches the floor.
    """

    driver: DriverRelease | None
    cuda: CudaRelease
    source: str
    other: DriverRelease | None = None
    met_by_cuda: bool = True

    @property
    def wanted(self) -> str:
        """What is needed, as in `driver >= 525.60.13`."""
        return f"driver >= {self.driver}" if self.driver else f"a driver for CUDA {self.cuda}"


def judge_driver(case: Case) -> Verdict:
    """The driver reaches the floor of the wheel's CUDA major (minor-version compatibility)."""
    release, machine, matrix = case.release, case.machine, case.matrix
    if release.built_with_cuda is None:
        return _verdict(Fit.UNKNOWN, "the wheel's CUDA", "not known", MINOR_VERSIONS)
    floor = major_floor(release.built_with_cuda, machine, matrix)
    if floor is None:
        wanted = f"a driver for CUDA {release.built_with_cuda.major}"
        return _verdict(Fit.UNKNOWN, wanted, "no floor known", MINOR_VERSIONS)
    wanted = f"{floor.wanted} for CUDA {release.built_with_cuda.major}.x"
    reached = reaches(machine, floor)
    first = first_for_gpus(machine, matrix)
    if reached is Fit.YES and first is not None and reaches(machine, first) is Fit.NO:
        sure = Fit.NO if gpus_are_known(machine) else Fit.UNKNOWN
        return _verdict(sure, f"{first.wanted}, the first for this GPU", shown(machine), first.source)
    return _verdict(reached, wanted, shown(machine), floor.source)


def first_for_gpus(machine: Machine, matrix: Matrix) -> Floor | None:
    """The first driver that knows every GPU of the machine, the newest kind where one is not known; None
    where they are older than the table."""
    capabilities = [known(gpu.compute_capability, None) for gpu in known(machine.gpus, (Gpu(),))]
    floors = [
        Floor(
            driver=DriverRelease(str(row.first_branch)), cuda=_cuda_for(row.since, matrix), source=row.source
        )
        for capability in capabilities
        for row in matrix.gpus.drivers_begin
        if capability is None or capability >= row.since
    ]
    return max(floors, key=lambda floor: floor.cuda.key, default=None)


def gpus_are_known(machine: Machine) -> bool:
    """Whether the compute capability of every GPU is known."""
    return all(gpu.compute_capability is not UNSET for gpu in known(machine.gpus, (Gpu(),)))


def _cuda_for(capability: ComputeCapability, matrix: Matrix) -> CudaRelease:
    """The CUDA of the first toolkit that knows the compute capability."""
    return next(
        row.cuda
        for row in matrix.cuda.releases
        if row.first <= capability <= row.last and capability not in row.without
    )


def major_floor(cuda: CudaRelease, machine: Machine, matrix: Matrix) -> Floor | None:
    """The floor of a CUDA major; it can lie above the first driver of that major (450.80.02 for 11.x)."""
    row = next((row for row in matrix.cuda.drivers if row.major == cuda.major), None)
    if row is None:
        return None
    first = next((toolkit for toolkit in matrix.cuda.releases if toolkit.cuda.major == cuda.major), None)
    met = first is not None and not _is_later(row, first, machine)
    return _floor(row, CudaRelease(f"{row.major}.0"), machine, met_by_cuda=met)


def reaches(machine: Machine, floor: Floor) -> Fit:
    """Whether the driver is at least the floor. The driver's CUDA tells it where the release is not known."""
    driver = machine.driver
    if driver is None:
        return Fit.NO
    if driver is UNSET:
        return Fit.UNKNOWN
    if driver.release is not UNSET and floor.driver is not None:
        reached = {driver.release >= least for least in (floor.driver, floor.other) if least}
        if len(reached) > 1:
            return Fit.UNKNOWN
        return Fit.YES if reached == {True} else Fit.NO
    if driver.cuda is not UNSET:
        found, wanted = driver.cuda.cut(2).key, floor.cuda.cut(2).key
        if found == wanted and not floor.met_by_cuda:
            return Fit.UNKNOWN
        return Fit.YES if found >= wanted else Fit.NO
    return Fit.UNKNOWN


def shown(machine: Machine) -> str:
    """The driver as a verdict names it: its release, or else the driver's CUDA, or that neither is known."""
    driver = machine.driver
    if driver is None:
        return "no driver"
    if driver is UNSET or (driver.release is UNSET and driver.cuda is UNSET):
        return "driver not known"
    if driver.release is UNSET:
        return f"driver's CUDA {driver.cuda}"
    return f"{driver.release}{' (Windows driver, WSL2)' if _is_wsl(machine) else ''}"


def floor_of(row: PtxFloor | ToolkitSupport, machine: Machine) -> Floor:
    """The driver that came with the row's CUDA."""
    return _floor(row, row.cuda, machine)


def _is_wsl(machine: Machine) -> bool:
    return machine.wsl is True


def _floor(
    row: DriverFloor | PtxFloor | ToolkitSupport,
    cuda: CudaRelease,
    machine: Machine,
    *,
    met_by_cuda: bool = True,
) -> Floor:
    """Under WSL2 `libcuda.so.1` is the Windows driver's (CUDA on WSL User Guide)."""
    linux, windows = _release(row.linux), _release(row.windows)
    wsl = True if machine.os is Os.WINDOWS else machine.wsl
    if machine.os is UNSET and wsl is False:
        wsl = UNSET  # no WSL, and so Linux's driver or that of Windows
    return Floor(
        driver=windows if wsl is True else linux,
        other=windows if wsl is UNSET else None,
        cuda=cuda,
        source=row.source,
        met_by_cuda=met_by_cuda,
    )


@cache
def _release(text: str | None) -> DriverRelease | None:
    return DriverRelease(text) if text else None


def _is_later(floor: DriverFloor, toolkit: ToolkitSupport, machine: Machine) -> bool:
    """Whether the floor lies above the toolkit's own driver, in a column that may be this machine's."""
    one, two = (_floor(row, toolkit.cuda, machine) for row in (floor, toolkit))
    pairs = ((one.driver, two.driver), (one.other, two.other))
    return any(least and own and least > own for least, own in pairs)


def _verdict(fit: Fit, wanted: str, found: str, source: str) -> Verdict:
    return Verdict(rule=RULE, fit=fit, wanted=wanted, found=found, source=source)
