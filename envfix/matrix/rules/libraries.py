"""Rules 4 and 5: whether the libraries that TensorFlow would open know the GPU and suit the wheel."""

from __future__ import annotations

from msgspec import UNSET

from envfix.matrix.rules.case import Case
from envfix.matrix.system_cuda import judge_system_cuda
from envfix.model.decision import Fit, Verdict
from envfix.model.request import CudaSource
from envfix.nvidia.support import cuda_knows, cudnn_knows, cudnn_support, toolkit_support

# CUDA 12 dropped Kepler and CUDA 13 everything before 7.5; later GPUs need the CUDA that brought them.
ARCHITECTURES = (
    "https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html"
)
# TensorFlow refuses a cuDNN older than the one compiled against: "Loaded runtime CuDNN library: ... needs to
# have matching major version and equal or higher minor version" (cuda_dnn.cc).
CUDNN = "https://github.com/tensorflow/tensorflow/blob/v2.19.0/third_party/xla/xla/stream_executor/cuda/cuda_dnn.cc"


def judge_libraries(case: Case) -> Verdict:
    """The CUDA libraries and cuDNN have code for every GPU."""
    machine, matrix, chosen = case.machine, case.matrix, case.libraries
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


def judge_cudnn(case: Case) -> Verdict:
    """cuDNN has the major that the wheel opens and is not older than the one compiled against."""
    built, chosen = case.release.built_with_cudnn, case.libraries.cudnn
    if built is None:
        found = "the wheel's cuDNN not known"
        return Verdict(rule="cudnn", fit=Fit.UNKNOWN, wanted="cuDNN", found=found, source=CUDNN)
    wanted = f"cuDNN {built.major}.x >= {built}"
    if chosen is None:
        found = "no cuDNN known for this machine"
        return Verdict(rule="cudnn", fit=Fit.UNKNOWN, wanted=wanted, found=found, source=CUDNN)
    fits = chosen.major == built.major and chosen >= built
    return Verdict(
        rule="cudnn", fit=Fit.YES if fits else Fit.NO, wanted=wanted, found=f"cuDNN {chosen}", source=CUDNN
    )


def judge_system(case: Case) -> Verdict | None:
    """Rule 10: with `--cuda system`, the machine's own toolkit and cuDNN serve the release."""
    if case.cuda is not CudaSource.SYSTEM:
        return None
    return judge_system_cuda(case.release, case.machine, case.matrix)


def _verdict(fit: Fit, wanted: str, found: str, source: str = ARCHITECTURES) -> Verdict:
    return Verdict(rule="libraries", fit=fit, wanted=wanted, found=found, source=source)
