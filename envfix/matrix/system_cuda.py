"""Rule 10: whether the toolkit and cuDNN of the machine serve a release, so that nothing is downloaded."""

from __future__ import annotations

from msgspec import UNSET

from envfix.model.decision import Fit, Verdict
from envfix.model.machine import Gpu, Machine, known
from envfix.model.matrix import Matrix, Release
from envfix.model.versions import CudaRelease, CudnnRelease
from envfix.nvidia.support import cuda_knows, cudnn_knows

RULE = "system-cuda"
# Within a major NVIDIA keeps old interfaces and adds new ones: a library newer than the one built with will
# do, an older one may lack what the wheel calls.
SOURCE = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"


def judge_system_cuda(release: Release, machine: Machine, matrix: Matrix) -> Verdict:
    """Yes when toolkit and cuDNN are of the wheel's majors, not older than it needs, and know the GPUs.

    Unknown with a toolkit of an earlier minor: NVIDIA promises nothing of it.
    """
    built, cudnn_built = release.built_with_cuda, release.built_with_cudnn
    if built is None or cudnn_built is None:
        return _verdict(Fit.NO, "a CUDA build", "a release without one")
    # Its fourth number is of the build: headers and file names say three (`cudnn_version.h`).
    least = cudnn_built.cut(3)
    wanted = f"toolkit {built.major}.x >= {built.cut(2)} and cuDNN {least.major}.x >= {least}"
    toolkit, cudnn = machine.toolkit, machine.cudnn
    if toolkit is None or cudnn is None:
        return _verdict(Fit.NO, wanted, f"toolkit {_shown(toolkit)}, cuDNN {_shown(cudnn)}")
    if toolkit is UNSET or cudnn is UNSET or toolkit.version is UNSET or cudnn.version is UNSET:
        return _verdict(Fit.UNKNOWN, wanted, "toolkit or cuDNN not known")
    found = f"toolkit {toolkit.version}, cuDNN {cudnn.version}"
    right = (
        toolkit.version.major == built.major
        and cudnn.version.major == cudnn_built.major
        and cudnn.version >= least
    )
    if not right:
        return _verdict(Fit.NO, wanted, found)
    verdict = _judge_gpus(machine, matrix, toolkit.version, cudnn.version, wanted, found)
    if verdict.fit is Fit.YES and toolkit.version.cut(2) < built.cut(2):
        return _verdict(Fit.UNKNOWN, wanted, f"{found}, older than the wheel was built with")
    return verdict


def _judge_gpus(
    machine: Machine, matrix: Matrix, toolkit: CudaRelease, cudnn: CudnnRelease, wanted: str, found: str
) -> Verdict:
    for gpu in known(machine.gpus, (Gpu(),)):
        capability = gpu.compute_capability
        if capability is UNSET:
            return _verdict(Fit.UNKNOWN, wanted, f"{found}, a GPU of unknown compute capability")
        knows = cuda_knows(matrix, toolkit, [capability]) and cudnn_knows(matrix, cudnn, [capability])
        if not knows:
            return _verdict(Fit.NO, f"{wanted}, with code for {capability}", found)
    return _verdict(Fit.YES, wanted, found)


def _verdict(fit: Fit, wanted: str, found: str) -> Verdict:
    return Verdict(rule=RULE, fit=fit, wanted=wanted, found=found, source=SOURCE)


def _shown(thing: object) -> str:
    version = getattr(thing, "version", UNSET)
    return "none" if thing is None else "unknown" if version is UNSET else str(version)
