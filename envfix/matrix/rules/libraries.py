"""Rules 4 and 5: whether the libraries that envfix would install know the GPU and suit the wheel."""

from __future__ import annotations

from msgspec import UNSET

from envfix.model.decision import Fit, Verdict
from envfix.model.machine import Machine, known
from envfix.model.matrix import Matrix, Release
from envfix.nvidia.support import cuda_knows, cudnn_knows, cudnn_support, toolkit_support
from envfix.nvidia.wheels import CudaLibraries, libraries_for

# CUDA 12 dropped Kepler and CUDA 13 everything before 7.5; later GPUs need the CUDA that brought them.
ARCHITECTURES = (
    "https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html"
)
# TensorFlow refuses a cuDNN older than the one compiled against: "Loaded runtime CuDNN library: ... needs to
# have matching major version and equal or higher minor version" (cuda_dnn.cc).
CUDNN = "https://github.com/tensorflow/tensorflow/blob/v2.19.0/third_party/xla/xla/stream_executor/cuda/cuda_dnn.cc"


def planned(release: Release, machine: Machine, matrix: Matrix) -> CudaLibraries:
    """The libraries that envfix would have on the machine for the release."""
    return libraries_for(release, machine, matrix, known(machine.installed, {}))


def judge_libraries(release: Release, machine: Machine, matrix: Matrix) -> Verdict:
    """The CUDA libraries and cuDNN have code for every GPU."""
    chosen = planned(release, machine, matrix)
    if chosen.cuda is None or chosen.cudnn is None:
        return _verdict(Fit.UNKNOWN, "the libraries' CUDA and cuDNN", "not known")
    cuda, cudnn = toolkit_support(matrix, chosen.cuda), cudnn_support(matrix, chosen.cudnn)
    if cuda is None or cudnn is None:
        return _verdict(
            Fit.UNKNOWN, "GPUs of the libraries", f"CUDA {chosen.cuda}, cuDNN {chosen.cudnn}: not known"
        )
    first, last = max(cuda.first, cudnn.oldest), min(cuda.last, cudnn.newest)
    wanted = f"compute capability {first} to {last} (CUDA {chosen.cuda}, cuDNN {chosen.cudnn})"
    if machine.gpus is UNSET:
        return _verdict(Fit.UNKNOWN, wanted, "GPUs not known")
    capabilities = [gpu.compute_capability for gpu in machine.gpus]
    for capability in capabilities:
        if capability is UNSET:
            continue
        if not cuda_knows(matrix, chosen.cuda, [capability]):
            return _verdict(
                Fit.NO, wanted, f"{capability}, for which CUDA {chosen.cuda} has no code", cuda.source
            )
        if not cudnn_knows(matrix, chosen.cudnn, [capability]):
            return _verdict(
                Fit.NO, wanted, f"{capability}, for which cuDNN {chosen.cudnn} has no code", cudnn.source
            )
    if UNSET in capabilities or not capabilities:
        return _verdict(Fit.UNKNOWN, wanted, "compute capability not known")
    return _verdict(Fit.YES, wanted, ", ".join(sorted({str(capability) for capability in capabilities})))


def judge_cudnn(release: Release, machine: Machine, matrix: Matrix) -> Verdict:
    """cuDNN has the major that the wheel opens and is not older than the one compiled against."""
    built, chosen = release.built_with_cudnn, planned(release, machine, matrix).cudnn
    if built is None or chosen is None:
        found = "the wheel's cuDNN not known" if built is None else "no cuDNN wheel known for this machine"
        return Verdict(rule="cudnn", fit=Fit.UNKNOWN, wanted="cuDNN", found=found, source=CUDNN)
    fits = chosen.major == built.major and chosen >= built
    wanted = f"cuDNN {built.major}.x >= {built}"
    return Verdict(
        rule="cudnn", fit=Fit.YES if fits else Fit.NO, wanted=wanted, found=f"cuDNN {chosen}", source=CUDNN
    )


def _verdict(fit: Fit, wanted: str, found: str, source: str = ARCHITECTURES) -> Verdict:
    return Verdict(rule="libraries", fit=fit, wanted=wanted, found=found, source=source)
