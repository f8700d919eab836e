"""Which NVIDIA wheels a release gets on a machine, and the caps that old releases need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs
from packaging.requirements import Requirement
from packaging.version import Version

from envfix.model.decision import Fit
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease, GlibcRelease
from envfix.resolve.bounds import bounds
from tests.shipped import judged, machine, matrix

GPUS = {"K80": "3.7", "P100": "6.0", "V100": "7.0", "T4": "7.5", "L4": "8.9", "H100": "9.0", "5090": "12.0"}
HOST = {
    "os": "linux",
    "wsl": False,
    "arch": "x86_64",
    "glibc": "2.35",
    "python": "3.12",
    "cpu_flags": ["avx"],
}


def held(version: str, gpu: str, installed: Mapping[str, str] | None = None, **facts: Any) -> dict[str, str]:
    """Package to what it is held at."""
    here = machine(HOST | {"gpus": [{"compute_capability": GPUS[gpu]}]} | facts)
    row = next(row for row in matrix().releases if row.version == Version(version))
    found = bounds(row, here, matrix(), installed or {})
    assert all(bound.because for bound in found)
    parsed = [Requirement(bound.requirement) for bound in found]
    return {requirement.name: str(requirement.specifier) for requirement in parsed}


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("row", [row for row in matrix().releases if row.version >= Version("2.10")], ids=str)
def test_nothing_floats_and_tensorrt_is_never_wanted(row: Any, gpu: str) -> None:
    wheels = {name: spec for name, spec in held(str(row.version), gpu).items() if name.startswith("nvidia-")}
    parts = {name.removeprefix("nvidia-").rpartition("-")[0] for name in wheels}
    needed = {
        "cublas",
        "cuda-cupti",
        "cuda-nvcc",
        "cuda-runtime",
        "cudnn",
        "cufft",
        "curand",
        "cusolver",
        "cusparse",
        "nccl",
    }
    assert set(needed) <= parts
    assert all(spec.startswith("==") and "*" not in spec and "," not in spec for spec in wheels.values())
    assert not any("tensorrt" in name for name in held(str(row.version), gpu))


@pytest.mark.parametrize(
    ("version", "gpu", "cudnn"),
    [
        ("2.20.0", "P100", "9.10.2.21"),
        ("2.20.0", "T4", "9.10.2.21"),
        ("2.21.0", "T4", "9.24.0.43"),
        ("2.21.0", "H100", "9.24.0.43"),
        ("2.21.0", "P100", "9.10.2.21"),
        ("2.21.0", "V100", "9.10.2.21"),
        ("2.19.1", "T4", "9.3.0.75"),
        ("2.14.1", "T4", "8.7.0.84"),
        ("2.13.1", "T4", "8.9.6.50"),
        ("2.13.1", "K80", "8.7.0.84"),
        ("2.10.1", "K80", "8.7.0.84"),
    ],
)
def test_cudnn_is_the_one_that_the_gpu_and_the_release_need(version: str, gpu: str, cudnn: str) -> None:
    wheels = held(version, gpu)
    assert [spec for name, spec in wheels.items() if "cudnn" in name] == [f"=={cudnn}"]


def test_every_cudnn_that_is_taken_is_published_for_the_machines_glibc() -> None:
    for glibc in ("2.17", "2.27", "2.35"):
        published = {
            str(version)
            for row in matrix().cudnn.wheels
            if row.glibc <= GlibcRelease(glibc)
            for version in row.versions
        }
        for version in ("2.10.1", "2.20.0"):
            wheels = held(version, "T4", glibc=glibc)
            taken = next(spec for name, spec in wheels.items() if "cudnn" in name)
            assert taken.removeprefix("==") in published


def test_ranges_are_held_at_what_the_release_was_built_with() -> None:
    wheels = held("2.21.0", "T4")
    assert wheels["nvidia-cublas-cu12"] == "==12.5.3.2"
    assert wheels["nvidia-cuda-runtime-cu12"] == "==12.5.82"
    assert wheels["nvidia-nccl-cu12"] == "==2.27.7"
    assert wheels["nvidia-nvjitlink-cu12"] == "==12.5.82"


def test_a_gpu_that_these_do_not_know_raises_them() -> None:
    wheels = held("2.21.0", "5090")
    assert wheels["nvidia-cublas-cu12"] == "==12.8.4.1"
    assert wheels["nvidia-cuda-nvcc-cu12"] == "==12.8.93"
    assert wheels["nvidia-nccl-cu12"] == "==2.27.7"


def test_exact_pins_of_a_release_are_taken_as_they_are() -> None:
    wheels = held("2.15.1", "5090", {"nvidia-cublas-cu12": "12.8.4.1"})
    assert wheels["nvidia-cublas-cu12"] == "==12.2.5.6"
    assert wheels["nvidia-cudnn-cu12"] == "==8.9.4.25"


def test_releases_that_know_nothing_of_nvidia_wheels_get_the_set_of_their_cuda_major() -> None:
    wheels = held("2.10.1", "T4")
    assert wheels["nvidia-cuda-runtime-cu11"] == "==11.8.89"
    assert wheels["nvidia-cuda-nvcc-cu11"] == "==11.8.89"
    assert wheels["nvidia-cuda-cupti-cu11"] == "==11.8.87"
    # cuDNN 8.9.6.50 requires it.
    assert wheels["nvidia-cuda-nvrtc-cu11"] == "==11.8.89"


def test_a_release_of_a_cuda_major_that_the_matrix_has_no_wheels_for_is_held_at_its_floors() -> None:
    row = structs.replace(
        matrix().releases[-1],
        version=Version("2.30.0"),
        built_with_cuda=CudaRelease("13.1"),
        built_with_cudnn=CudnnRelease("9.28"),
        and_cuda=(
            "nvidia-cublas<14,>=13.1.0.3",
            "nvidia-cuda-runtime<14,>=13.1.80",
            "nvidia-cudnn-cu13<10,>=9.28.1.4",
        ),
    )
    here = machine(HOST | {"gpus": [{"compute_capability": "7.5"}]})
    pinned = [bound.requirement for bound in bounds(row, here, matrix(), {})]
    assert pinned == [
        "nvidia-cublas==13.1.0.3",
        "nvidia-cuda-runtime==13.1.80",
        "nvidia-cudnn-cu13==9.28.1.4",
    ]


def test_what_is_installed_and_fits_stays() -> None:
    torch = {
        "torch": "2.11.0",
        "nvidia-cublas-cu12": "12.8.4.1",
        "nvidia-cusparse-cu12": "12.5.8.93",
        "nvidia-cudnn-cu12": "9.19.0.56",
        "nvidia-nccl-cu12": "2.28.9",
    }
    wheels = held("2.20.0", "T4", torch)
    assert wheels["nvidia-cublas-cu12"] == "==12.8.4.1"
    assert wheels["nvidia-cudnn-cu12"] == "==9.19.0.56"
    assert wheels["nvidia-nccl-cu12"] == "==2.28.9"
    assert wheels["nvidia-cuda-nvcc-cu12"] == "==12.5.82"
    # cuSPARSE of 12.8 is linked with the nvjitlink of 12.8.
    assert wheels["nvidia-nvjitlink-cu12"] == "==12.8.93"


@pytest.mark.parametrize(
    ("version", "gpu", "installed", "expected"),
    [
        # No code for Pascal: replaced.
        ("2.20.0", "P100", {"nvidia-cudnn-cu12": "9.28.0.42"}, "9.10.2.21"),
        # Below the range.
        ("2.20.0", "T4", {"nvidia-cudnn-cu12": "9.1.0.70"}, "9.10.2.21"),
        ("2.20.0", "T4", {"nvidia-cudnn-cu12": "8.9.7.29"}, "9.10.2.21"),
        # Known to fail with 2.21.
        ("2.21.0", "T4", {"nvidia-cudnn-cu12": "9.5.1.17", "torch": "2.7.0"}, "9.24.0.43"),
        # Nobody has tried it with 2.21: it stays for torch's sake alone.
        ("2.21.0", "T4", {"nvidia-cudnn-cu12": "9.10.2.21"}, "9.24.0.43"),
        ("2.21.0", "T4", {"nvidia-cudnn-cu12": "9.10.2.21", "torch": "2.8.0"}, "9.10.2.21"),
        ("2.21.0", "T4", {"nvidia-cudnn-cu12": "9.28.0.42"}, "9.28.0.42"),
        ("2.20.0", "T4", {"nvidia-cudnn-cu12": "no version"}, "9.10.2.21"),
    ],
)
def test_an_installed_cudnn_stays_only_where_it_fits(
    version: str, gpu: str, installed: dict[str, str], expected: str
) -> None:
    assert held(version, gpu, installed)["nvidia-cudnn-cu12"] == f"=={expected}"


def test_a_foreign_version_of_a_wheel_is_no_error() -> None:
    assert held("2.20.0", "T4", {"nvidia-cublas-cu12": "not a version"})["nvidia-cublas-cu12"] == "==12.5.3.2"


@pytest.mark.parametrize(
    "facts", [{"os": "windows"}, {"os": "macos", "arch": "aarch64"}, {"arch": "aarch64"}]
)
def test_where_there_are_no_such_wheels_none_are_asked_for(facts: dict[str, str]) -> None:
    assert not [name for name in held("2.10.1", "T4", **facts) if name.startswith("nvidia-")]


@pytest.mark.parametrize(
    ("version", "caps"),
    [
        ("2.4.4", {"protobuf": "<3.21", "setuptools": "<82"}),
        ("2.6.0", {"keras": "<2.7", "tensorflow-estimator": "<2.7", "numpy": None}),
        ("2.10.1", {"numpy": "<2", "setuptools": "<82", "protobuf": None}),
        ("2.14.0", {"numpy": "<2"}),
        ("2.14.1", {"numpy": None, "setuptools": "<82"}),
        ("2.20.0", {"setuptools": "<82", "numpy": None}),
        ("2.21.0", {"setuptools": None}),
    ],
)
def test_the_caps_that_an_import_needs_are_held(version: str, caps: dict[str, str | None]) -> None:
    found = held(version, "T4")
    assert {name: found.get(name) for name in caps} == caps


@pytest.mark.parametrize("gpu", ["P100", "V100", "T4", "L4", "H100"])
def test_where_the_rules_say_yes_the_libraries_know_the_gpu(gpu: str) -> None:
    """The rules judge what is asked for: no release that fits gets a cuDNN without code for the GPU."""
    here = machine(
        HOST
        | {
            "gpus": [{"compute_capability": GPUS[gpu]}],
            "driver": {"release": "580.65.06", "cuda": "13.0"},
            "installed": {},
        }
    )
    for row in matrix().releases:
        if judged(here, str(row.version)).fit is not Fit.YES:
            continue
        cudnn = next(spec for name, spec in held(str(row.version), gpu).items() if "cudnn" in name)
        support = [r for r in matrix().cudnn.releases if r.first <= CudnnRelease(cudnn.removeprefix("=="))][
            -1
        ]
        assert support.oldest <= ComputeCapability(GPUS[gpu]) <= support.newest


# torch 2.8.0+cu126 pins these (its METADATA).
TORCH = {
    "nvidia-cublas-cu12": "12.6.4.1",
    "nvidia-cudnn-cu12": "9.10.2.21",
    "nvidia-cusparse-cu12": "12.5.4.2",
    "nvidia-nccl-cu12": "2.27.3",
    "nvidia-nvjitlink-cu12": "12.6.85",
}


def test_exact_pins_do_not_pull_down_what_torch_has_installed() -> None:
    wheels = held("2.19.1", "T4", TORCH | {"torch": "2.8.0+cu126"})
    assert {name: wheels[name] for name in TORCH} == {name: f"=={pin}" for name, pin in TORCH.items()}
    assert wheels["nvidia-cufft-cu12"] == "==11.2.3.61"


@pytest.mark.parametrize(("gpu", "found"), [("P100", "9.11.0.98"), ("T4", "8.9.7.29"), ("T4", "9.1.0.70")])
def test_exact_pins_replace_a_cudnn_that_does_not_serve(gpu: str, found: str) -> None:
    assert (
        held("2.19.1", gpu, {"nvidia-cudnn-cu12": found, "torch": "2.4.0"})["nvidia-cudnn-cu12"]
        == "==9.3.0.75"
    )


@pytest.mark.parametrize(
    ("asked", "version", "held_to"),
    [
        ("tensorflow-probability", "2.15.1", ["tensorflow-probability==0.23.*"]),
        ("tensorflow-probability<0.23", "2.15.1", ["tensorflow-probability==0.22.*"]),
        ("tensorflow_probability[tf]", "2.17.1", ["tensorflow-probability==0.24.*"]),
        ("tensorflow-probability", "2.21.0", ["tensorflow-probability==0.25.*"]),
        ("tensorflow-text", "2.20.0", []),  # its METADATA says it
        ("torch", "2.20.0", []),
    ],
)
def test_a_companion_that_does_not_say_its_tensorflow_is_held_to_what_goes_with_it(
    asked: str, version: str, held_to: list[str]
) -> None:
    here = machine(HOST | {"gpus": [{"compute_capability": "7.5"}]})
    row = next(row for row in matrix().releases if row.version == Version(version))
    plain = bounds(row, here, matrix(), {})
    more = bounds(row, here, matrix(), {}, companions=[Requirement(asked)])
    assert [bound.requirement for bound in more if bound not in plain] == held_to
