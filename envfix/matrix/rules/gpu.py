"""Rule 3: whether the GPU runs the wheel's code, for both groups of kernels."""

from __future__ import annotations

from msgspec import UNSET, Struct

from envfix.matrix.rules import driver
from envfix.matrix.rules.case import Case
from envfix.matrix.rules.match import Match, matches
from envfix.model.decision import Code, Fit, Verdict
from envfix.model.machine import Gpu, Machine, known
from envfix.model.matrix import Kernels, KnownBad, Matrix, Release
from envfix.model.versions import ComputeCapability, PtxIsa

RULE = "gpu-code"
# SASS runs on the same major and an equal or later minor; PTX on any later GPU, save for `sm_90a` and such.
PORTABILITY = "https://docs.nvidia.com/cuda/cuda-c-programming-guide/#application-compatibility"
# What PTX a driver compiles is told by its ISA; minor-version compatibility does not cover it.
PTX = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html#application-considerations"
# From the worst to the best, as they decide among several GPUs.
_WORST_FIRST = (Code.NONE, Code.BROKEN, Code.UNKNOWN, Code.PARTIAL, Code.JIT, Code.NATIVE_JIT, Code.NATIVE)
_JIT = (Code.JIT, Code.NATIVE_JIT, Code.PARTIAL)


class GpuCode(Struct, frozen=True, kw_only=True):
    """How one GPU runs a release, and the PTX ISA that its driver must know (None: no PTX, or not known).

    `source` says who reported it, empty where it follows from the wheel's bytes, and `works` what alone does
    where the code is partial.
    """

    gpu: Gpu
    code: Code
    isa: PtxIsa | None = None
    source: str = ""
    works: str = ""


def judge_gpu(case: Case) -> Verdict:
    """There is an NVIDIA GPU."""
    machine = case.machine
    source = "https://www.tensorflow.org/install/pip#hardware-requirements"
    wanted = "an NVIDIA GPU with a driver"
    if machine.has_no_gpu:
        found = "no driver" if machine.driver is None else "no GPU"
        return Verdict(rule="gpu", fit=Fit.NO, wanted=wanted, found=found, source=source)
    if machine.gpus is UNSET:
        return Verdict(rule="gpu", fit=Fit.UNKNOWN, wanted=wanted, found="GPUs not known", source=source)
    names = ", ".join(_name(gpu) for gpu in machine.gpus)
    return Verdict(rule="gpu", fit=Fit.YES, wanted=wanted, found=names, source=source)


def code_of(release: Release, machine: Machine, matrix: Matrix) -> Code:
    """How the machine's GPUs run the release: the worst of them decides."""
    codes = _codes(release, machine, matrix)
    return codes[0].code if codes else Code.UNKNOWN


def judge_gpu_code(case: Case) -> Verdict:
    """SASS or portable PTX for every GPU, and a driver that compiles the PTX where it is needed."""
    release, machine, matrix = case.release, case.machine, case.matrix
    wanted = _wanted(release)
    codes = _codes(release, machine, matrix)
    if not codes:
        return _verdict(Fit.UNKNOWN, wanted, "compute capability not known")
    verdicts = [_judge_one(one, release, machine, matrix, wanted) for one in codes]
    return next((v for fit in (Fit.NO, Fit.UNKNOWN, Fit.YES) for v in verdicts if v.fit is fit), verdicts[0])


def jit_floor(release: Release, machine: Machine, matrix: Matrix) -> driver.Floor | None:
    """The least driver that compiles the PTX that the machine's GPUs need; None where they need none."""
    for one in _codes(release, machine, matrix):
        if one.code in _JIT:
            return _floor(one, release, machine, matrix)
    return None


def _codes(release: Release, machine: Machine, matrix: Matrix) -> list[GpuCode]:
    """Every GPU's code, the worst first; empty where the GPUs are not known."""
    found = [_code(release, gpu, machine, matrix) for gpu in known(machine.gpus, ())]
    return sorted(found, key=lambda one: _WORST_FIRST.index(one.code))


def _code(release: Release, gpu: Gpu, machine: Machine, matrix: Matrix) -> GpuCode:
    capability = gpu.compute_capability
    if capability is UNSET or release.hand_written is None or release.kernel_gen is None:
        return GpuCode(gpu=gpu, code=Code.UNKNOWN)
    groups = (release.hand_written, release.kernel_gen)
    ways = tuple(_way(group, capability) for group in groups)
    isas = [group.ptx_isa for group, way in zip(groups, ways, strict=True) if way is Code.JIT]
    isa = max((isa for isa in isas if isa), default=None) if all(isas) else None
    row = _reported(release, machine, matrix, capability)
    if row is not None:
        return GpuCode(gpu=gpu, code=Code(row.code), isa=isa, source=row.source, works=row.works)
    return GpuCode(gpu=gpu, code=_together(ways), isa=isa)


def _reported(release: Release, machine: Machine, matrix: Matrix, gpu: ComputeCapability) -> KnownBad | None:
    """What `known_bad.yaml` says of the kernels on this GPU: it goes before what follows from the bytes."""
    for row in matrix.known_bad:
        if row.code and matches(row, release, machine, gpu=gpu) is Match.YES:
            return row
    return None


def _together(ways: tuple[Code, ...]) -> Code:
    for code in (Code.NONE, Code.BROKEN):
        if code in ways:
            return code
    if Code.JIT not in ways:
        return Code.NATIVE
    return Code.NATIVE_JIT if Code.NATIVE in ways else Code.JIT


def _way(kernels: Kernels, capability: ComputeCapability) -> Code:
    """How one group of kernels runs: native, jit, broken or none."""
    if any(sass.major == capability.major and sass <= capability for sass in kernels.sass):
        return Code.NATIVE
    if kernels.ptx is None or kernels.ptx > capability:
        return Code.NONE
    return Code.JIT if kernels.portable or kernels.ptx == capability else Code.BROKEN


def _judge_one(one: GpuCode, release: Release, machine: Machine, matrix: Matrix, wanted: str) -> Verdict:
    found = f"{_name(one.gpu)}: {one.code.value}"
    if one.code in (Code.NONE, Code.BROKEN):
        return _verdict(Fit.NO, wanted, found, one.source or PORTABILITY)
    if one.code is Code.UNKNOWN:
        return _verdict(Fit.UNKNOWN, wanted, found)
    if one.code is Code.NATIVE:
        return _verdict(Fit.YES, wanted, found)
    floor = _floor(one, release, machine, matrix)
    if floor is None:
        return _verdict(Fit.UNKNOWN, wanted, f"{found}, PTX ISA not known")
    fit = driver.reaches(machine, floor)
    if one.isa is None and fit is Fit.NO:
        fit = Fit.UNKNOWN  # the floor is only an upper limit: the PTX may be older than the toolkit
    if one.code is Code.PARTIAL and fit is Fit.YES:
        # The driver is no longer what decides.
        every = f"all ops on compute capability {one.gpu.compute_capability}"
        return _verdict(Fit.UNKNOWN, every, f"{found}, {one.works}", one.source)
    ptx = f"PTX ISA {one.isa}" if one.isa else f"PTX of CUDA {floor.cuda} at most"
    return _verdict(fit, f"{floor.wanted} ({ptx})", f"{found}, {driver.shown(machine)}", PTX)


def _floor(one: GpuCode, release: Release, machine: Machine, matrix: Matrix) -> driver.Floor | None:
    if one.isa is not None:
        row = next((row for row in matrix.cuda.ptx if row.isa >= one.isa), None)
        return driver.floor_of(row, machine) if row else None
    # Not read in the wheel: no toolkit writes PTX newer than itself.
    built = release.built_with_cuda
    toolkit = next((row for row in matrix.cuda.releases if built and row.cuda == built.cut(2)), None)
    return driver.floor_of(toolkit, machine) if toolkit else None


def _wanted(release: Release) -> str:
    kernels = release.kernel_gen
    if kernels is None:
        return "the wheel's compute capabilities"
    sass = ", ".join(str(capability) for capability in kernels.sass)
    ptx = f", PTX {kernels.ptx}{'' if kernels.portable else ' for that GPU alone'}" if kernels.ptx else ""
    return f"a GPU for SASS {sass}{ptx}"


def _name(gpu: Gpu) -> str:
    capability = (
        "compute capability not known" if gpu.compute_capability is UNSET else str(gpu.compute_capability)
    )
    return f"{known(gpu.name, 'GPU')} ({capability})"


def _verdict(fit: Fit, wanted: str, found: str, source: str = PORTABILITY) -> Verdict:
    return Verdict(rule=RULE, fit=fit, wanted=wanted, found=found, source=source)
