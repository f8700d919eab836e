"""Where CUDA comes from: the machine's own only where every rule says so of it."""

from __future__ import annotations

import pytest
from msgspec import structs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from envfix.choosing import choice_of_lock, choose
from envfix.deciding import decide
from envfix.errors import LockMismatch
from envfix.model.machine import Cudnn, Machine, Toolkit
from envfix.model.plan import Floors, Lock, Resolution
from envfix.model.request import ANY, CudaSource, Request, TensorFlowRequest
from envfix.model.target import Distribution
from envfix.model.versions import CudaRelease, CudnnRelease
from envfix.situation import Parts, Situation
from envfix.system.outside import RealOutside
from tests.shipped import matrix
from tests.values import T4, TARGET, changed

PARTS = Parts(outside=RealOutside(quiet=True), matrix_dir="", index=None, resolver=None)  # type: ignore[arg-type]


def with_system(cuda: str, cudnn: str) -> Machine:
    return changed(
        T4,
        toolkit=Toolkit(version=CudaRelease(cuda), path="/usr/local/cuda"),
        cudnn=Cudnn(version=CudnnRelease(cudnn), path="/usr/lib"),
    )


def chosen(machine: Machine, tf: str = "", beside: tuple[Distribution, ...] = ()) -> CudaSource:
    asked = TensorFlowRequest(specifier=SpecifierSet(f"=={tf}"), text=tf) if tf else ANY
    companions = tuple(Requirement(one.name) for one in beside)
    here = Situation(target=TARGET, machine=machine, named=True, beside=beside)
    request = Request(tf=asked, companions=companions)
    return choose(PARTS, here, matrix(), request, decide(here, matrix(), request)).cuda


def test_the_systems_cuda_is_used_where_every_rule_says_yes_of_it() -> None:
    assert chosen(with_system("12.5", "9.24.0.43")) is CudaSource.SYSTEM
    assert chosen(T4) is CudaSource.WHEELS


@pytest.mark.parametrize("cudnn", ["9.5.1.17", "9.10.2.21"])
def test_a_cudnn_that_fails_or_is_untried_with_the_release_is_not_used(cudnn: str) -> None:
    """2.21 fails in its autotuner with the first; nobody has tried the second. 2.20 goes with both."""
    assert chosen(with_system("12.5", cudnn), "2.21.0") is CudaSource.WHEELS
    assert chosen(with_system("12.5", cudnn), "2.20.0") is CudaSource.SYSTEM


def test_beside_torch_the_wheels_come_anyway() -> None:
    torch = Distribution(name="torch", version="2.10.0", requires=("nvidia-cublas-cu12==12.8.4.1",))
    assert chosen(with_system("12.5", "9.24.0.43"), "2.20.0", (torch,)) is CudaSource.WHEELS


def test_a_lock_that_uses_the_systems_cuda_does_not_fit_where_there_is_none() -> None:
    lock = Lock(
        tensorflow="2.20.0",
        requirements=(),
        resolution=Resolution(packages=(), resolver="uv"),
        floors=Floors(python="3.12", os="linux", arch="x86_64"),
        matrix_digest=matrix().digest,
        cuda="system",
    )
    here = Situation(target=TARGET, machine=with_system("12.5", "9.24.0.43"), named=True)
    assert choice_of_lock(PARTS, here, matrix(), lock).cuda is CudaSource.SYSTEM
    for machine in (changed(T4, toolkit=None, cudnn=None), with_system("11.8", "8.9")):
        with pytest.raises(LockMismatch, match="toolkit"):
            choice_of_lock(PARTS, structs.replace(here, machine=machine), matrix(), lock)
