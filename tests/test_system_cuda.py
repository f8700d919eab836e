"""Whether the machine's own toolkit and cuDNN serve a release."""

from __future__ import annotations

import pytest
from msgspec import UNSET
from packaging.version import Version

from envfix.matrix.system_cuda import judge_system_cuda
from envfix.model.decision import Fit
from envfix.model.machine import Cudnn, Gpu, Machine, Toolkit
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease
from tests.shipped import matrix
from tests.values import T4, changed


def with_cuda(toolkit: str, cudnn: str, capability: str = "7.5") -> Machine:
    return changed(
        T4,
        toolkit=Toolkit(version=CudaRelease(toolkit), path="/usr/local/cuda"),
        cudnn=Cudnn(version=CudnnRelease(cudnn), path="/usr/lib/x86_64-linux-gnu"),
        gpus=(Gpu(name="GPU", compute_capability=ComputeCapability(capability)),),
    )


def fit(machine: Machine, version: str = "2.20.0") -> Fit:
    release = next(row for row in matrix().releases if row.version == Version(version))
    return judge_system_cuda(release, machine, matrix()).fit


@pytest.mark.parametrize(
    ("toolkit", "cudnn", "capability", "expected"),
    [
        ("12.8.1", "9.8.0.87", "7.5", Fit.YES),  # Colab's own, 2026
        ("12.5", "9.3.0.75", "7.5", Fit.YES),  # what it was built with
        ("12.5", "9.3.0", "7.5", Fit.YES),  # as its header and its file say
        ("12.5", "9.2.1", "7.5", Fit.NO),
        ("12.5", "9", "7.5", Fit.NO),
        ("12.2", "9.3.0.75", "7.5", Fit.UNKNOWN),  # may lack what the wheel calls
        ("13.0", "9.8.0.87", "7.5", Fit.NO),  # the trap: another major
        ("11.8", "8.9.7.29", "7.5", Fit.NO),
        ("12.5", "9.1.0", "7.5", Fit.NO),  # older than compiled against
        ("12.5", "8.9.7", "7.5", Fit.NO),
        ("12.8", "9.19.0.56", "6.0", Fit.NO),  # no code for Pascal since 9.11
        ("12.8", "9.10.2.21", "6.0", Fit.YES),
        ("12.5", "9.10.2.21", "12.0", Fit.NO),  # a toolkit from before Blackwell
    ],
)
def test_majors_floors_and_gpus(toolkit: str, cudnn: str, capability: str, expected: Fit) -> None:
    assert fit(with_cuda(toolkit, cudnn, capability)) is expected


def test_none_is_no_and_unknown_is_unknown() -> None:
    assert fit(changed(T4, toolkit=None)) is Fit.NO
    assert fit(changed(with_cuda("12.8", "9.8.0"), cudnn=UNSET)) is Fit.UNKNOWN
    assert fit(changed(with_cuda("12.8", "9.8.0"), gpus=(Gpu(name="GPU"),))) is Fit.UNKNOWN
