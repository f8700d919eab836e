"""Small values that tests start from: a T4 machine, a target, a release."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from packaging.version import Version

from envfix.model.machine import Arch, Driver, Gpu, Machine, Os, Platform
from envfix.model.matrix import Release, WheelSet
from envfix.model.target import Distribution, Target
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    DriverCuda,
    DriverRelease,
    GlibcRelease,
    PythonRelease,
)

T4 = Machine(
    name="t4",
    platform=Platform.TERMINAL,
    os=Os.LINUX,
    wsl=False,
    arch=Arch.X86_64,
    glibc=GlibcRelease("2.35"),
    python=PythonRelease("3.12"),
    driver=Driver(release=DriverRelease("550.54.15"), cuda=DriverCuda("12.4")),
    gpus=(Gpu(name="Tesla T4", compute_capability=ComputeCapability("7.5"), memory_mib=15360),),
    cpu_flags=("avx", "avx2", "fma"),
    toolkit=None,
    cudnn=None,
    installed={},
    environment={},
)

TARGET = Target(
    executable="/env/bin/python",
    python=PythonRelease("3.12.1"),
    implementation="cpython",
    os=Os.LINUX,
    arch=Arch.X86_64,
    glibc=GlibcRelease("2.35"),
    prefix="/env",
    base_prefix="/usr",
    purelib="/env/lib/python3.12/site-packages",
    platlib="/env/lib/python3.12/site-packages",
    virtual=True,
    externally_managed="",
    installed=(),
)

RELEASE = Release(
    version=Version("2.20.0"),
    wheels=(
        WheelSet(
            os=Os.LINUX,
            arch=Arch.X86_64,
            python=(PythonRelease("3.12"),),
            cuda=True,
            size=620_000_000,
            glibc=GlibcRelease("2.17"),
        ),
    ),
    built_with_cuda=CudaRelease("12.5.1"),
    built_with_cudnn=CudnnRelease("9.3.0"),
)


def with_installed(**versions: str) -> Target:
    """TARGET with distributions; underscores in names stand for dashes."""
    dists = tuple(
        Distribution(name=name.replace("_", "-"), version=version) for name, version in versions.items()
    )
    return structs.replace(TARGET, installed=dists)


def changed(machine: Machine, **facts: Any) -> Machine:
    return structs.replace(machine, **facts)
