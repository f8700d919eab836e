"""One release read from its wheels, on a fake index of recorded names, METADATA and build_info texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from packaging.version import Version

from envfix.errors import InputError
from envfix.matrix import load, write
from envfix.matrix.build_info import MEMBER, parse_build_info
from envfix.matrix.derive import derive, derive_page
from envfix.matrix.nearest import nearest
from envfix.matrix.page import read_page, releases_on
from envfix.matrix.wheel_tags import read_tags
from envfix.model.machine import Arch, Os
from envfix.model.matrix import Kernels, PtxFloor, Release, WheelFacts
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    GlibcRelease,
    PtxIsa,
    PythonRelease,
)
from envfix.ports import Index, IndexFile
from envfix.reading import convert, parse_yaml

CUDA_2_20 = """\
import collections

build_info = collections.OrderedDict([('cpu_compiler', 'clang 18'), ('cuda_compute_capabilities', ['sm_60', \
'sm_70', 'sm_80', 'sm_89', 'compute_90']), ('cuda_version', '12.5.1'), ('cudnn_version', '9'), \
('is_cuda_build', True), ('is_rocm_build', False), ('is_tensorrt_build', False)])
"""
CPU = "build_info = {'is_cuda_build': False, 'is_rocm_build': False}\n"
# 2.22.0rc0 names neither CUDA nor cuDNN nor capabilities.
CUDA_UNNAMED = "import collections\n\nbuild_info = collections.OrderedDict([('is_cuda_build', True)])\n"
WINDOWS = """\
build_info = collections.OrderedDict([('cuda_compute_capabilities', ['sm_35', 'compute_80']), \
('cuda_version', '64_112'), ('cudnn_version', '64_8'), ('is_cuda_build', True)])
"""
METADATA = """\
Metadata-Version: 2.1
Name: tensorflow
Requires-Dist: numpy>=1.26.0
Requires-Dist: tensorflow-io-gcs-filesystem>=0.23.1; python_version < "3.12"
Provides-Extra: and-cuda
Requires-Dist: nvidia-cuda-runtime-cu12<13.0,>=12.5.82; extra == "and-cuda"
Requires-Dist: nvidia_cudnn_cu12<10.0,>=9.3.0.75; extra == "and-cuda"
Provides-Extra: gcs-filesystem
Requires-Dist: something-else>=1; extra == "gcs-filesystem"

Requires-Dist: not-a-requirement-but-the-description
"""
LINUX = "tensorflow-2.20.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
FATBINS = Path(__file__).parent / "data" / "matrix" / "fatbins"
LIBRARY = "tensorflow/libtensorflow_cc.so.2"


def capabilities(*texts: str) -> tuple[ComputeCapability, ...]:
    return tuple(ComputeCapability(text) for text in texts)


NINETY = ComputeCapability("9.0")
PASCAL_TO_ADA = capabilities("6.0", "7.0", "8.0", "8.9")
FACTS = (
    WheelFacts(
        tf="==2.20.0",
        source="fatbin",
        hand_written=Kernels(sass=(*PASCAL_TO_ADA, NINETY), ptx=NINETY, ptx_isa=PtxIsa("8.3")),
        kernel_gen=Kernels(sass=PASCAL_TO_ADA, ptx=NINETY, ptx_isa=PtxIsa("8.5"), portable=False),
    ),
    WheelFacts(tf=">=2.5,<2.12", source="page", cudnn=CudnnRelease("8.1")),
    WheelFacts(
        tf="==2.10.1", source="fatbin", hand_written=Kernels(sass=capabilities("3.5", "8.0")), kernel_gen=None
    ),
    WheelFacts(
        tf="==2.22.0rc0",
        source="fatbin",
        hand_written=Kernels(sass=capabilities("6.0", "9.0"), ptx=NINETY),
        kernel_gen=Kernels(sass=capabilities("6.0"), ptx=NINETY),
    ),
)


class RecordedIndex(Index):
    """A page of file names; the wheels hold the texts that are given for parts of their names."""

    def __init__(self, names: list[str], build_info: Mapping[str, str], metadata: str = METADATA) -> None:
        self.names, self.build_info, self.text = names, build_info, metadata
        self.yanked = False
        self.looked_into: list[str] = []
        self.metadata_of: dict[str, str] = {}
        self.libraries: dict[str, bytes] = {}
        self.streamed = 0

    def files(self, project: str) -> tuple[IndexFile, ...]:
        if project != "tensorflow":
            return ()
        return tuple(
            IndexFile(
                filename=name,
                url=f"https://files.example/{name}",
                sha256="0" * 64,
                size=1000 + number,
                requires_python=None,
                upload_time=f"2025-08-{13 + number}T10:00:00Z",
                yanked=self.yanked,
            )
            for number, name in enumerate(self.names)
        )

    def metadata(self, file: IndexFile) -> str:
        return next((text for part, text in self.metadata_of.items() if part in file.filename), self.text)

    def members(self, file: IndexFile) -> Mapping[str, int]:
        assert "x86_64" in file.filename and "linux" in file.filename, "kernels are read in Linux's wheels"
        return {MEMBER: 1000} | {name: len(data) for name, data in self.libraries.items()}

    def stream(self, file: IndexFile, name: str) -> Iterator[bytes]:
        for start in range(0, len(self.libraries[name]), 1000):
            self.streamed += 1
            yield self.libraries[name][start : start + 1000]

    def member(self, file: IndexFile, name: str) -> bytes:
        self.looked_into.append(file.filename)
        for part, text in self.build_info.items():
            if part in file.filename and name == MEMBER:
                return text.encode()
        raise KeyError(name)


def release_2_20() -> RecordedIndex:
    return RecordedIndex(
        [
            LINUX,
            LINUX.replace("cp312", "cp39"),
            LINUX.replace("cp312-cp312", "cp313-cp313t"),
            "tensorflow-2.20.0-cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
            "tensorflow-2.20.0-cp312-cp312-macosx_12_0_arm64.whl",
            "tensorflow-2.20.0-cp312-cp312-win_amd64.whl",
            "tensorflow-2.20.0.tar.gz",
            "tensorflow-2.19.1-cp312-cp312-win_amd64.whl",
        ],
        {"manylinux_2_17_x86_64": CUDA_2_20, "aarch64": CPU, "macosx": CPU},
    )


def test_a_release_is_what_its_page_its_metadata_and_its_build_info_say() -> None:
    release = derive(release_2_20(), "2.20.0", facts=FACTS)
    assert (str(release.version), release.package, release.uploaded) == ("2.20.0", "tensorflow", "2025-08-13")
    linux = next(w for w in release.wheels if (w.os, w.arch) == (Os.LINUX, Arch.X86_64))
    assert (linux.cuda, linux.glibc, linux.size) == (True, GlibcRelease("2.17"), 1001)
    assert linux.python == (PythonRelease("3.9"), PythonRelease("3.12"))
    assert {(w.os, w.arch): w.cuda for w in release.wheels} == {
        (Os.LINUX, Arch.X86_64): True,
        (Os.LINUX, Arch.AARCH64): False,
        (Os.MACOS, Arch.AARCH64): False,
        # It has no TensorFlow in it and only requires another distribution, as on Windows from 2.11 to 2.18.
        (Os.WINDOWS, Arch.X86_64): False,
    }
    assert (release.built_with_cuda, release.built_with_cudnn) == (
        CudaRelease("12.5.1"),
        CudnnRelease("9.3.0.75"),
    )
    assert release.requires == (
        "numpy>=1.26.0",
        'tensorflow-io-gcs-filesystem>=0.23.1; python_version < "3.12"',
    )
    assert release.and_cuda == (
        "nvidia-cuda-runtime-cu12<13.0,>=12.5.82",
        "nvidia-cudnn-cu12<10.0,>=9.3.0.75",
    )


def test_one_wheel_of_each_platform_is_looked_into_that_of_the_newest_python() -> None:
    index = release_2_20()
    derive(index, "2.20.0")
    assert len(index.looked_into) == 4 and LINUX in index.looked_into


def test_the_two_groups_of_kernels_differ_in_the_compute_entry() -> None:
    release = derive(release_2_20(), "2.20.0", facts=FACTS)
    assert release.hand_written and release.kernel_gen
    assert NINETY in release.hand_written.sass and NINETY not in release.kernel_gen.sass
    assert release.hand_written.ptx == release.kernel_gen.ptx == NINETY
    assert (release.hand_written.portable, release.kernel_gen.portable) == (True, False)
    assert (str(release.hand_written.ptx_isa), str(release.kernel_gen.ptx_isa)) == ("8.3", "8.5")


def test_every_value_says_where_it_was_read() -> None:
    origin = derive(release_2_20(), "2.20.0", facts=FACTS).origin
    assert origin == {
        "wheels": "index",
        "requires": "metadata",
        "built_with_cuda": "build_info",
        "built_with_cudnn": "floor of the extra",
        "compute_capabilities": "build_info",
        "kernels": "fatbin",
    }


def release_2_22(metadata: str = METADATA) -> RecordedIndex:
    name = "tensorflow-2.22.0rc0-cp312-cp312-manylinux_2_27_x86_64.whl"
    return RecordedIndex([name], {"x86_64": CUDA_UNNAMED}, metadata)


def test_a_build_info_that_no_longer_names_cuda_is_no_cpu_build() -> None:
    release = derive(release_2_22(), "2.22.0rc0", facts=FACTS)
    assert release.wheels[0].cuda
    assert (release.built_with_cuda, release.origin["built_with_cuda"]) == (
        CudaRelease("12.5"),
        "floor of the extra",
    )
    assert (release.compute_capabilities, release.origin["compute_capabilities"]) == (
        ("sm_60", "compute_90"),
        "fatbin",
    )


def test_kernels_that_nobody_has_read_are_read_in_the_largest_library() -> None:
    index = release_2_22()
    hand, generated = ((FATBINS / f"{name}.fatbin").read_bytes() for name in ("hand_written", "kernel_gen"))
    index.libraries = {
        LIBRARY: b"code" * 500 + generated * 70 + hand * 70 + bytes(10_000_000),
        "tensorflow/libtensorflow_framework.so.2": b"never read" * 2_000_000,
    }
    told: list[WheelFacts] = []
    page = read_page("tensorflow", Version("2.22.0rc0"), index.files("tensorflow"))
    release = derive_page(index, page, on_kernels=told.append)
    assert release.hand_written and release.kernel_gen
    assert (release.hand_written.sass, release.kernel_gen.sass) == (
        capabilities("8.0", "9.0"),
        capabilities("8.0"),
    )
    assert (release.kernel_gen.ptx, release.kernel_gen.portable) == (NINETY, False)
    assert release.compute_capabilities == ("sm_80", "compute_90")
    assert release.origin["kernels"] == release.origin["compute_capabilities"] == "fatbin"
    # Reading stops when enough of both kinds were seen: 16 of each.
    assert index.streamed < 250
    assert [(fact.tf, fact.kernel_gen) for fact in told] == [("==2.22.0rc0", release.kernel_gen)]
    assert "16 and 70 of its fat binaries" in told[0].source


def test_cuda_is_told_by_the_ptx_where_neither_build_info_nor_an_extra_names_it() -> None:
    index = release_2_22("Name: tensorflow\n")
    index.libraries = {LIBRARY: (FATBINS / "hand_written.fatbin").read_bytes()}
    floors = [
        PtxFloor(isa=PtxIsa(isa), cuda=CudaRelease(cuda), linux="1", windows=None, source="")
        for isa, cuda in (("8.5", "12.5"), ("9.0", "13.0"), ("9.1", "13.1"))
    ]
    release = derive(index, "2.22.0rc0", ptx=floors)
    assert (release.built_with_cuda, release.origin["built_with_cuda"]) == (CudaRelease("13.0"), "fatbin")
    # PTX of a major that the table does not know yet says nothing.
    release = derive(index, "2.22.0rc0", ptx=floors[:1])
    assert (release.built_with_cuda, release.origin["built_with_cuda"]) == (None, "unknown")


def test_what_nobody_says_is_unknown_and_not_left_out() -> None:
    index = RecordedIndex([LINUX], {"x86_64": CUDA_UNNAMED}, "Name: tensorflow\n")
    release = derive(index, "2.20.0")
    assert release.wheels[0].cuda and release.built_with_cuda is None and release.hand_written is None
    keys = ("built_with_cuda", "built_with_cudnn", "compute_capabilities", "kernels")
    assert {release.origin[key] for key in keys} == {"unknown"}


def test_a_build_info_that_does_not_even_say_cuda_is_decided_by_the_kernels() -> None:
    index = RecordedIndex([LINUX], {"x86_64": "build_info = {}\n"})
    assert not derive(index, "2.20.0").wheels[0].cuda
    index.libraries = {LIBRARY: (FATBINS / "hand_written.fatbin").read_bytes()}
    release = derive(index, "2.20.0")
    assert release.wheels[0].cuda and release.built_with_cuda == CudaRelease("12.5")


def test_requirements_that_differ_by_python_are_joined_from_one_wheel_of_each() -> None:
    index = release_2_20()
    index.metadata_of["cp39-cp39"] = METADATA.replace("numpy>=1.26.0", "numpy<2")
    release = derive(index, "2.20.0", facts=FACTS)
    assert release.requires[:2] == (
        'numpy<2; python_version < "3.12"',
        'numpy>=1.26.0; python_version >= "3.12"',
    )


def test_cudnn_of_an_old_release_comes_from_the_page_and_says_so() -> None:
    name = "tensorflow-2.10.1-cp310-cp310-win_amd64.whl"
    release = derive(RecordedIndex([name], {"win": WINDOWS}, "Name: tensorflow\n"), "2.10.1", facts=FACTS)
    assert release.wheels[0].cuda
    assert (str(release.built_with_cuda), str(release.built_with_cudnn)) == ("11.2", "8.1")
    assert release.origin["built_with_cudnn"] == "page"


@pytest.mark.parametrize(
    ("version", "package", "message", "hint"),
    [
        ("2.20.9", "tensorflow", "tensorflow 2.20.9 does not exist", "2.20.0"),
        ("9.9", "tensorflow", "does not exist", "2.19.1, 2.20.0"),
        ("2.20.*", "tensorflow", "`2.20.*` is no version", "2.20.0"),
        ("1.0", "no-such-package", "has no wheels", ""),
    ],
)
def test_a_release_that_does_not_exist_is_an_input_error_that_names_the_nearest(
    version: str, package: str, message: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        derive(release_2_20(), version, package)
    assert message in caught.value.message and hint in (caught.value.hint or "")


def test_an_empty_name_reservation_is_no_release() -> None:
    with pytest.raises(InputError, match="holds no TensorFlow: no wheel of it has"):
        derive(RecordedIndex([LINUX], {}), "2.20.0")
    with pytest.raises(
        InputError,
        match=r"`tensorflow` 0\.0\.1rc1 holds no TensorFlow: no wheel for any platform, only "
        r"tensorflow-0\.0\.1rc1-py3-none-any\.whl of 1000 bytes",
    ):
        derive(RecordedIndex(["tensorflow-0.0.1rc1-py3-none-any.whl"], {}), "0.0.1rc1")


def test_package_and_version_together_are_the_key() -> None:
    release = derive(release_2_20(), "2.20.0", facts=FACTS)
    assert release.key == ("tensorflow", Version("2.20.0"))
    other = [structs.replace(fact, package="tensorflow-cuda13") for fact in FACTS]
    assert derive(release_2_20(), "2.20.0", facts=other).origin["kernels"] == "compute capabilities"


def test_the_digest_of_the_files_is_theirs_and_nothing_elses() -> None:
    index = release_2_20()
    first = derive(index, "2.20.0", facts=FACTS).files
    index.names.append("tensorflow-2.19.1-cp311-cp311-win_amd64.whl")
    index.yanked = True
    assert derive(index, "2.20.0", facts=FACTS).files == first
    index.names.append("tensorflow-2.20.0-cp311-cp311-win_amd64.whl")
    assert derive(index, "2.20.0", facts=FACTS).files != first


def test_a_build_info_that_is_not_one_names_the_wheel() -> None:
    with pytest.raises(
        InputError, match=r"^tensorflow-2\.20\.0-cp312.*build_info\.py: no `build_info` in it"
    ):
        derive(RecordedIndex([LINUX], {"x86_64": "import os\n"}), "2.20.0")


def test_a_release_is_yanked_when_all_its_files_are() -> None:
    index = release_2_20()
    assert not derive(index, "2.20.0").yanked
    index.yanked = True
    assert derive(index, "2.20.0").yanked


def test_releases_on_a_page_are_those_that_have_a_wheel() -> None:
    names = [LINUX.replace("2.20.0", version) for version in ("2.4.0", "2.10.0", "2.9.1", "2.22.0rc0")]
    files = RecordedIndex([*names, "tensorflow-2.30.0.tar.gz"], {}).files("tensorflow")
    assert [str(version) for version in releases_on(files)] == ["2.4.0", "2.9.1", "2.10.0", "2.22.0rc0"]
    assert read_page("tensorflow", Version("2.10.0"), files).release.uploaded == "2025-08-14"


def test_a_row_is_read_back_as_it_was_written_and_the_same_bytes_each_time() -> None:
    release = derive(release_2_20(), "2.20.0", facts=FACTS)
    text = write.file_text("2026-11-22", [release])
    again = convert(parse_yaml(text, "tensorflow.yaml"), load.ReleaseTable, "tensorflow.yaml")
    assert again.releases == (release,)
    assert write.file_text("2026-11-22", again.releases) == text
    assert isinstance(again.releases[0], Release)


def test_nothing_of_build_info_is_run() -> None:
    with pytest.raises(ValueError, match="no table of plain values"):
        parse_build_info("build_info = __import__('os').environ.copy()\n")
    with pytest.raises(ValueError, match="no table of plain values"):
        parse_build_info("build_info = {'is_cuda_build': open('/etc/passwd').read()}\n")


@given(st.text())
def test_any_text_is_a_build_info_or_a_value_error(text: str) -> None:
    for source in (text, f"build_info = {text}", f"build_info = dict({text})"):
        try:
            parse_build_info(source)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("name", "glibc", "python"),
    [
        ("tensorflow-2.4.0-cp38-cp38-manylinux2010_x86_64.whl", "2.12", "3.8"),
        ("tensorflow-2.4.0-cp36-cp36m-manylinux1_x86_64.whl", "2.5", "3.6"),
        ("tensorflow-2.19.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "2.17", "3.12"),
        ("tensorflow-2.21.0-cp310-cp310-manylinux_2_27_x86_64.whl", "2.27", "3.10"),
        ("tensorflow-2.21.0-cp310-cp310-win_amd64.whl", None, "3.10"),
        # Either tag is enough for an installer, so the lower one is the floor.
        ("tensorflow-2.23.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "2.27", "3.12"),
    ],
)
def test_tags_say_the_python_and_the_least_c_library(name: str, glibc: str | None, python: str) -> None:
    (file,) = RecordedIndex([name], {}).files("tensorflow")
    wheel = read_tags(file)
    assert wheel and (str(wheel.glibc) if wheel.glibc else None, str(wheel.python)) == (glibc, python)


@pytest.mark.parametrize(
    "tag", ["cp313-cp313t-win_amd64", "pp310-pypy310_pp73-win_amd64", "cp312-cp312-win32", "py3-none-any"]
)
def test_wheels_for_other_interpreters_and_platforms_are_left_out(tag: str) -> None:
    (file,) = RecordedIndex([f"tensorflow-2.20.0-{tag}.whl"], {}).files("tensorflow")
    assert read_tags(file) is None


@given(st.text(max_size=20), st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True))
def test_nearest_names_some_of_what_there_is(wanted: str, minors: list[int]) -> None:
    available = [Version(f"2.{minor}.0") for minor in minors]
    named = nearest(wanted, available)
    assert named and set(named) <= set(available) and list(named) == sorted(named) and len(named) <= 3
