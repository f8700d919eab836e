"""Rule 2, and what the driver must know for JIT compilation."""

from __future__ import annotations

from msgspec import UNSET, Struct

from envfix.model.decision import Fit, Verdict
from envfix.model.machine import Machine, Os
from envfix.model.matrix import DriverFloor, Matrix, PtxFloor, Release, ToolkitSupport
from envfix.model.versions import CudaRelease, DriverRelease

RULE = "driver"
MINOR_VERSIONS = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"


class Floor(Struct, frozen=True, kw_only=True):
    """The least driver for something, on this machine's operating system; None where NVIDIA names none."""

    driver: DriverRelease | None
    cuda: CudaRelease
    source: str

    @property
    def wanted(self) -> str:
        return f"driver >= {self.driver}" if self.driver else f"a driver for CUDA {self.cuda}"


def judge_driver(release: Release, machine: Machine, matrix: Matrix) -> Verdict:
    """The driver reaches the floor of the wheel's CUDA major (minor-version compatibility)."""
    if release.built_with_cuda is None:
        return _verdict(Fit.UNKNOWN, "the wheel's CUDA", "not known", MINOR_VERSIONS)
    floor = major_floor(release.built_with_cuda, machine, matrix)
    if floor is None:
        wanted = f"a driver for CUDA {release.built_with_cuda.major}"
        return _verdict(Fit.UNKNOWN, wanted, "no floor known", MINOR_VERSIONS)
    wanted = f"{floor.wanted} for CUDA {release.built_with_cuda.major}.x"
    return _verdict(reaches(machine, floor), wanted, shown(machine), floor.source)


def major_floor(cuda: CudaRelease, machine: Machine, matrix: Matrix) -> Floor | None:
    row = next((row for row in matrix.cuda.drivers if row.major == cuda.major), None)
    return _floor(row, CudaRelease(f"{row.major}.0"), machine) if row else None


def reaches(machine: Machine, floor: Floor) -> Fit:
    """Whether the driver is at least the floor. The driver's CUDA tells it where the release is not known."""
    driver = machine.driver
    if driver is None:
        return Fit.NO
    if driver is UNSET:
        return Fit.UNKNOWN
    if driver.release is not UNSET and floor.driver is not None:
        return Fit.YES if driver.release >= floor.driver else Fit.NO
    if driver.cuda is not UNSET:
        return Fit.YES if driver.cuda.parts[:2] >= (floor.cuda.major, floor.cuda.minor) else Fit.NO
    return Fit.UNKNOWN


def shown(machine: Machine) -> str:
    driver = machine.driver
    if driver is None:
        return "no driver"
    if driver is UNSET or (driver.release is UNSET and driver.cuda is UNSET):
        return "driver not known"
    if driver.release is UNSET:
        return f"driver's CUDA {driver.cuda}"
    return f"{driver.release}{' (Windows driver, WSL2)' if _is_wsl(machine) else ''}"


def uses_windows_driver(machine: Machine) -> bool:
    """Under WSL2 `libcuda.so.1` is the Windows driver's (CUDA on WSL User Guide)."""
    return machine.os is Os.WINDOWS or _is_wsl(machine)


def _is_wsl(machine: Machine) -> bool:
    return machine.wsl is True


def floor_of(row: PtxFloor | ToolkitSupport, machine: Machine) -> Floor:
    return _floor(row, row.cuda, machine)


def _floor(row: DriverFloor | PtxFloor | ToolkitSupport, cuda: CudaRelease, machine: Machine) -> Floor:
    text = row.windows if uses_windows_driver(machine) else row.linux
    return Floor(driver=DriverRelease(text) if text else None, cuda=cuda, source=row.source)


def _verdict(fit: Fit, wanted: str, found: str, source: str) -> Verdict:
    return Verdict(rule=RULE, fit=fit, wanted=wanted, found=found, source=source)
