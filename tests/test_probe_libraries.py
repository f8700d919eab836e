"""Toolkit and cuDNN: which ones are there, what their versions were read from, and which a loader takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs

from envfix.model.machine import Cudnn, Outcome, Toolkit
from envfix.model.target import Distribution
from envfix.model.versions import CudaRelease, CudnnRelease
from envfix.ports import Ran
from envfix.probe import cudnn, toolkit
from envfix.probe.loader_cache import LoaderCache, library_path, parse_loader_cache, read_loader_cache
from tests.fakes import FakeOutside
from tests.values import TARGET

DATA = Path(__file__).parent / "data" / "probe"
EMPTY = LoaderCache(())
CUDA_H = "/* comment */\n#define __cuda_cuda_h__\n#define CUDA_VERSION 13000\n"


def transcript(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def ran(out: str, code: int | None = 0, timed_out: bool = False) -> Ran:
    return Ran(("program",), code, out, "", timed_out, "timed out after 5 s" if timed_out else "")


# -- the loader's cache


def test_the_cache_keeps_64_bit_libraries_in_order() -> None:
    entries = parse_loader_cache(transcript("ldconfig_colab.txt"))
    cache = LoaderCache(entries)
    assert cache.paths("libcudart.so.") == ("/usr/local/cuda/targets/x86_64-linux/lib/libcudart.so.12",)
    assert cache.paths("libcudnn.so.") == ("/lib/x86_64-linux-gnu/libcudnn.so.9",)
    assert ("libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6") in entries
    assert len(parse_loader_cache(transcript("ldconfig_aarch64.txt"))) == 2


def test_no_ldconfig_is_an_empty_cache_and_a_broken_one_says_why() -> None:
    assert read_loader_cache(FakeOutside(), 5) == EMPTY
    for answer, outcome in ((ran("", 1), Outcome.FAILED), (ran("", None, True), Outcome.TIMEOUT)):
        outside = FakeOutside(files={"/sbin/ldconfig": ""}, answers={"ldconfig": answer})
        cache = read_loader_cache(outside, 5)
        assert cache.entries == () and cache.trouble[0].outcome is outcome


def test_library_path_takes_absolute_folders_once() -> None:
    outside = FakeOutside(environ={"LD_LIBRARY_PATH": "/a/:/b::relative:/a"})
    assert library_path(outside) == ("/a", "/b")


# -- the toolkit


def find(
    files: dict[str, str], environ: dict[str, str] | None = None, cache: LoaderCache = EMPTY, **more: object
) -> tuple[Toolkit | None, list[tuple[str, Outcome, str]]]:
    outside = FakeOutside(files=files, environ=environ, **more)  # type: ignore[arg-type]
    used, evidence = toolkit.read_toolkits(outside, cache, (), 5)
    return used, [(one.source, one.outcome, one.detail) for one in evidence]


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"version.json": transcript("version_1251.json")}, "12.5.1"),
        ({"version.txt": "CUDA Version 10.1.243\n"}, "10.1.243"),
        ({"include/cuda.h": CUDA_H, "bin/nvcc": ""}, "13.0"),
        ({"lib64/libcudart.so.12": "", "lib64/libcudart.so.12.5.82": ""}, "12.5"),
        # cudart 12.10 is newer than 12.9, whatever a comparison of strings or floats says.
        ({"lib64/libcudart.so.12.9.79": "", "lib64/libcudart.so.12.10.11": ""}, "12.10"),
        ({"targets/x86_64-linux/lib/libcudart.so.11.8.89": ""}, "11.8"),
        ({"lib/libcudart.so.13": ""}, "13"),
    ],
)
def test_version_of_a_toolkit(files: dict[str, str], version: str) -> None:
    used, evidence = find({f"/usr/local/cuda/{name}": text for name, text in files.items()})
    assert used is not None and str(used.version) == version and used.path == "/usr/local/cuda"
    assert evidence[0][1] is Outcome.FOUND and version in evidence[0][2]


def test_three_numbers_are_not_taken_for_two() -> None:
    """`float("12.5.1")` fails, and code that swallows it finds no conflict."""
    used, _ = find({"/usr/local/cuda/version.json": transcript("version_1251.json")})
    assert used is not None and used.version is not UNSET
    assert used.version > CudaRelease("12.5") and used.version.minor == 5


def test_nvcc_is_asked_only_where_no_file_tells() -> None:
    outside = FakeOutside(files={"/opt/cuda/bin/nvcc": ""}, answers={"nvcc": ran(transcript("nvcc_125.txt"))})
    used, _ = toolkit.read_toolkits(outside, EMPTY, (), 5)
    assert used == Toolkit(version=CudaRelease("12.5"), path="/opt/cuda")


def test_a_toolkit_is_no_driver_and_where_there_is_none_it_is_said() -> None:
    used, evidence = find({"/usr/bin/python3": ""})
    assert used is None
    assert evidence == [("every usual place", Outcome.ABSENT, "no nvcc and no libcudart")]


def test_cuda_home_wins_then_the_loader_and_all_are_evidence() -> None:
    files = {
        "/opt/mine/version.json": '{"cuda": {"version": "12.2.2"}}',
        "/usr/local/cuda-12.8/version.json": '{"cuda": {"version": "12.8.1"}}',
        "/usr/local/cuda-12.8/lib64/libcudart.so.12": "",
        "/usr/local/cuda-12.10/version.json": '{"cuda": {"version": "12.10.0"}}',
        "/usr/local/cuda-12.9/version.json": '{"cuda": {"version": "12.9.1"}}',
    }
    cache = LoaderCache((("libcudart.so.12", "/usr/local/cuda-12.8/lib64/libcudart.so.12"),))
    used, evidence = find(files, {"CUDA_HOME": "/opt/mine/"}, cache)
    assert used == Toolkit(version=CudaRelease("12.2.2"), path="/opt/mine")
    assert [(source, detail.split()[0]) for source, _, detail in evidence] == [
        ("CUDA_HOME", "12.2.2"),
        ("ldconfig -p", "12.8.1"),
        ("/usr/local/cuda-12.10", "12.10.0"),
        ("/usr/local/cuda-12.9", "12.9.1"),
    ]
    without, _ = find(files, {}, cache)
    assert without == Toolkit(version=CudaRelease("12.8.1"), path="/usr/local/cuda-12.8")


def test_the_same_toolkit_under_two_names_is_one() -> None:
    used, evidence = find(
        {"/usr/local/cuda-13.0/include/cuda.h": CUDA_H},
        cache=LoaderCache((("libcudart.so.13", "/usr/local/cuda-13.0/lib/libcudart.so.13"),)),
        links={"/usr/local/cuda": "/usr/local/cuda-13.0"},
    )
    assert used is not None and str(used.version) == "13.0" and len(evidence) == 1


def test_a_cuda_home_without_a_toolkit_is_said_and_passed_over() -> None:
    used, evidence = find(
        {"/usr/local/cuda/version.txt": "CUDA Version 10.1.243\n"},
        {"CUDA_HOME": "/gone", "CUDA_PATH": "relative"},
    )
    assert used is not None and used.path == "/usr/local/cuda"
    assert evidence[0] == ("CUDA_HOME", Outcome.ABSENT, "/gone holds no toolkit")


def test_an_nvcc_on_path_that_is_a_script_or_a_link_leads_to_its_toolkit() -> None:
    files = {
        "/usr/local/bin/nvcc": '#!/bin/sh\nexec /srv/cuda-13.0/bin/nvcc "$@"\n',
        "/srv/cuda-13.0/include/cuda.h": CUDA_H,
    }
    used, _ = find(files, programs={"nvcc": "/usr/local/bin/nvcc"})
    assert used is not None and used.path == "/srv/cuda-13.0"
    linked, _ = find(
        {"/srv/cuda-13.0/include/cuda.h": CUDA_H, "/srv/cuda-13.0/bin/nvcc": "\x7fELF"},
        programs={"nvcc": "/usr/bin/nvcc"},
        links={"/usr/bin/nvcc": "/srv/cuda-13.0/bin/nvcc"},
    )
    assert linked is not None and linked.path == "/srv/cuda-13.0"


def test_conda_and_debian_packages_are_toolkits() -> None:
    outside = FakeOutside(
        files={"/conda/lib/libcudart.so.11.8.89": "", "/usr/lib/nvidia-cuda-toolkit/bin/nvcc": ""}
    )
    outside.answers["nvcc"] = ran("Cuda compilation tools, release 11.5, V11.5.119\n")
    used, evidence = toolkit.read_toolkits(outside, EMPTY, ("/conda",), 5)
    assert used == Toolkit(version=CudaRelease("11.8"), path="/conda")
    assert evidence[1].detail.startswith("11.5 in /usr/lib/nvidia-cuda-toolkit")


def test_library_path_comes_before_the_cache() -> None:
    files = {
        "/mine/lib64/libcudart.so.12.1.55": "",
        "/usr/local/cuda-13.0/include/cuda.h": CUDA_H,
    }
    cache = LoaderCache((("libcudart.so.13", "/usr/local/cuda-13.0/lib/libcudart.so.13"),))
    used, _ = find(files, {"LD_LIBRARY_PATH": "/mine/lib64"}, cache)
    assert used == Toolkit(version=CudaRelease("12.1"), path="/mine")


# -- cuDNN


def test_cudnn_version_comes_from_the_name_of_the_file_behind_the_soname() -> None:
    outside = FakeOutside(
        files={"/lib/x86_64-linux-gnu/libcudnn.so.9.8.0": ""},
        links={"/lib/x86_64-linux-gnu/libcudnn.so.9": "/lib/x86_64-linux-gnu/libcudnn.so.9.8.0"},
    )
    cache = LoaderCache(parse_loader_cache(transcript("ldconfig_colab.txt")))
    found, evidence = cudnn.read_cudnn(outside, cache, None, None)
    assert found == Cudnn(version=CudnnRelease("9.8.0"), path="/lib/x86_64-linux-gnu")
    assert evidence[0].source == "ldconfig -p"


def test_cudnn_version_comes_from_the_header_where_the_name_tells_only_the_major() -> None:
    files = {
        "/usr/local/cuda/lib64/libcudnn.so.9": "",
        "/usr/local/cuda/include/cudnn_version.h": transcript("cudnn_version_980.h"),
    }
    found, _ = cudnn.read_cudnn(FakeOutside(files=files), EMPTY, Toolkit(path="/usr/local/cuda"), None)
    assert found is not None and str(found.version) == "9.8.0"


def test_a_header_of_another_major_is_not_believed() -> None:
    files = {
        "/usr/local/cuda/lib64/libcudnn.so.8": "",
        "/usr/local/cuda/include/cudnn_version.h": transcript("cudnn_version_980.h"),
    }
    found, evidence = cudnn.read_cudnn(FakeOutside(files=files), EMPTY, Toolkit(path="/usr/local/cuda"), None)
    assert found is not None and str(found.version) == "8" and "major only" in evidence[0].detail


def test_library_path_wins_and_all_cudnns_are_evidence() -> None:
    outside = FakeOutside(
        files={"/mine/libcudnn.so.8.9.7": "", "/mine/libcudnn.so.8": "", "/usr/lib/libcudnn.so.9.1.0": ""},
        environ={"LD_LIBRARY_PATH": "/mine"},
        links={"/mine/libcudnn.so.8": "/mine/libcudnn.so.8.9.7"},
    )
    cache = LoaderCache((("libcudnn.so.9", "/usr/lib/libcudnn.so.9.1.0"),))
    found, evidence = cudnn.read_cudnn(outside, cache, None, None)
    assert found == Cudnn(version=CudnnRelease("8.9.7"), path="/mine")
    assert [one.detail.split()[0] for one in evidence] == ["8.9.7", "9.1.0"]


def test_the_wheel_in_the_environment_is_evidence_and_not_the_machines_cudnn() -> None:
    wheel = Distribution(name="nvidia-cudnn-cu12", version="9.10.2.21", location="/env")
    found, evidence = cudnn.read_cudnn(
        FakeOutside(), EMPTY, None, structs.replace(TARGET, installed=(wheel,))
    )
    assert found is None
    assert [one.fact for one in evidence] == ["cudnn", "installed.nvidia-cudnn-cu12"]
    assert evidence[1].detail == "9.10.2.21 in /env"


# -- whatever is thrown at the parsers

WORDS = (
    *(
        "libcudart.so.",
        "12",
        ".",
        "8",
        "#define ",
        "CUDA_VERSION ",
        "CUDNN_MAJOR ",
        "CUDA Version ",
        "release ",
    ),
    *(", V", '{"cuda": {"version": "', '"}}', "\n", " (libc6,x86-64) => /", "libcudnn.so.", "99999999999"),
)
TEXTS = st.text() | st.lists(st.sampled_from(WORDS)).map("".join)


@given(TEXTS)
def test_no_text_makes_a_parser_raise(text: str) -> None:
    for parse in (
        toolkit.parse_version_json,
        toolkit.parse_version_txt,
        toolkit.parse_cuda_h,
        toolkit.parse_nvcc,
        cudnn.parse_header,
        cudnn.parse_name,
    ):
        parse(text)
    toolkit.newest_in_names([text])
    assert all(soname and path.startswith("/") for soname, path in parse_loader_cache(text))


@given(st.tuples(st.integers(9, 20), st.integers(0, 12)))
def test_cuda_h_is_decoded_as_the_toolkit_encodes_it(pair: tuple[int, int]) -> None:
    text = f"#define CUDA_VERSION {1000 * pair[0] + 10 * pair[1]}\n"
    assert toolkit.parse_cuda_h(text) == CudaRelease(f"{pair[0]}.{pair[1]}")
