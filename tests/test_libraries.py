"""Which sonames a release needs, and where they are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs

from envfix.install import loader
from envfix.install.digests import digests
from envfix.install.libraries import (
    Damage,
    damages,
    find_libraries,
    lost_files,
    needed_sonames,
    system_folders,
    wheel_folders,
)
from envfix.model.machine import Cudnn, Toolkit
from envfix.model.target import Distribution
from envfix.model.versions import CudaRelease, CudnnRelease
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside
from tests.values import T4, TARGET, changed


def test_sonames_follow_the_major_and_not_the_toolkit() -> None:
    eleven = needed_sonames(CudaRelease("11.2"), CudnnRelease("8.1"))
    twelve = needed_sonames(CudaRelease("12.5.1"), CudnnRelease("9.3.0"))
    assert "libcudart.so.11.0" in eleven and "libcudnn.so.8" in eleven
    assert "libcudart.so.12" in twelve and "libcudnn.so.9" in twelve
    assert "libcusolver.so.11" in eleven and "libcusolver.so.11" in twelve
    assert needed_sonames(CudaRelease("99.0"), CudnnRelease("9.3.0")) == ()


def test_the_first_folder_wins_and_what_is_nowhere_is_missing() -> None:
    outside = FakeOutside(
        files={"/a/libcudart.so.12": b"", "/b/libcudart.so.12": b"", "/b/libcudnn.so.9": b""}
    )
    found = find_libraries(outside, ("libcudart.so.12", "libcudnn.so.9", "libcufft.so.11"), ("/a", "/b"))
    assert found.found == {"libcudart.so.12": "/a/libcudart.so.12", "libcudnn.so.9": "/b/libcudnn.so.9"}
    assert found.missing == ("libcufft.so.11",)


def test_wheel_folders_are_those_below_nvidia() -> None:
    outside = FakeOutside(files={"/s/nvidia/cudnn/lib/libcudnn.so.9": b"", "/s/other/lib/x.so": b""})
    assert wheel_folders(outside, ("/s", "/s")) == ("/s/nvidia/cudnn/lib",)


LIBRARY = "/s/nvidia/cudnn/lib/libcudnn.so.9"
WHOLE = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"  # SHA-256 of "test" in URL-safe base 64


def wheel(name: str, version: str, digest: str, size: int = 4) -> tuple[Distribution, dict[str, str]]:
    info = f"/s/{name.replace('-', '_')}-{version}.dist-info"
    row = f"nvidia/cudnn/lib/libcudnn.so.9,sha256={digest},{size}\nnvidia/cudnn/about.txt,,9\n"
    return Distribution(name=name, version=version, location=info), {f"{info}/RECORD": row}


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (b"test", None),
        (b"", "has 0 bytes, not 4"),
        (b"tes", "has 3 bytes, not 4"),
        (b"tesT", "has another content than in its RECORD"),
        (None, "is gone"),
    ],
)
def test_a_library_is_whole_by_its_content(content: bytes | None, how: str | None) -> None:
    dist, files = wheel("nvidia-cudnn-cu12", "9.3.0", WHOLE)
    outside = FakeOutside(files={**files, **({} if content is None else {LIBRARY: content})})
    target = structs.replace(TARGET, installed=(dist,), purelib="/s")
    expected = () if how is None else (Damage(package="nvidia-cudnn-cu12", path=LIBRARY, how=how),)
    assert damages(outside, target) == expected


def test_files_of_tensorflow_are_there_with_their_sizes() -> None:
    rows = (
        "tensorflow/a.py,sha256=x,4\ntensorflow/gone.so,sha256=x,4\ntensorflow/cut.py,sha256=x,4\n"
        "tensorflow/unsaid.py,sha256=x,\ntensorflow/__pycache__/a.pyc,,\n"
        "../bin/saved_model_cli,sha256=x,9\ntensorflow-2.20.0.dist-info/METADATA,sha256=x,9\n"
    )
    files = {f"/s/tensorflow/{name}": "text" for name in ("a.py", "unsaid.py")}
    files |= {"/s/tensorflow/cut.py": "tex", "/s/tensorflow-2.20.0.dist-info/RECORD": rows}
    dist = Distribution(name="tensorflow", version="2.20.0", location="/s/tensorflow-2.20.0.dist-info")
    target = structs.replace(TARGET, installed=(dist,), purelib="/s")
    found = lost_files(FakeOutside(files=files), target, ["tensorflow"])
    assert [(one.package, one.path, one.how) for one in found] == [
        ("tensorflow", "/s/tensorflow/gone.so", "is gone"),
        ("tensorflow", "/s/tensorflow/cut.py", "has 3 bytes, not 4"),
    ]
    assert lost_files(FakeOutside(files=files), target, ["numpy"]) == ()
    files["/s/tensorflow_cpu-2.20.0.dist-info/RECORD"] = "tensorflow/cut.py,sha256=x,3\n"
    other = Distribution(
        name="tensorflow-cpu", version="2.20.0", location="/s/tensorflow_cpu-2.20.0.dist-info"
    )
    both = structs.replace(target, installed=(dist, other))
    found = lost_files(FakeOutside(files=files), both, ["tensorflow", "tensorflow-cpu"])
    assert [one.path for one in found] == ["/s/tensorflow/gone.so"], "the file is that of the other"


def test_a_library_that_another_package_has_overwritten_is_said_to_be_its() -> None:
    """The wheels of cuDNN for CUDA 12 and 13 bring files of the same names."""
    mine, files = wheel("nvidia-cudnn-cu12", "9.3.0", "x" * 43)
    other, others = wheel("nvidia-cudnn-cu13", "9.12.0", WHOLE)
    target = structs.replace(TARGET, installed=(mine, other), purelib="/s")
    found = damages(FakeOutside(files={**files, **others, LIBRARY: b"test"}), target)
    assert [(one.package, one.how) for one in found] == [
        ("nvidia-cudnn-cu12", "is that of nvidia-cudnn-cu13 9.12.0")
    ]


def test_a_library_is_read_again_only_when_it_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read = []

    class Reading(RealOutside):
        def sha256(self, path: str) -> bytes:
            read.append(path)
            return super().sha256(path)

    file = tmp_path / "libcudnn.so.9"
    file.write_bytes(b"test")
    first = digests(Reading(), [str(file)])
    assert digests(Reading(), [str(file)]) == first and len(read) == 1
    stamp = file.stat()
    file.write_bytes(b"tesT")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert digests(Reading(), [str(file)]) != first and len(read) == 2
    (tmp_path / "cache/envfix/digests.json").write_bytes(b'{"half')
    assert digests(Reading(), [str(file), str(tmp_path / "gone")])[str(tmp_path / "gone")] is None
    assert len(read) == 4


def test_a_folder_may_hold_what_patterns_are_made_of(tmp_path: Path) -> None:
    """`python -m venv 'b[1]r'` makes an environment like any other."""
    site = str(tmp_path / "b[1]r/site-packages")
    dist = Distribution(name="nvidia-cudnn-cu12", version="9.3.0", location=site)
    lib, info = Path(site, "nvidia/cudnn/lib"), Path(site, "nvidia_cudnn_cu12-9.3.0.dist-info")
    lib.mkdir(parents=True)
    info.mkdir()
    (info / "RECORD").write_text("nvidia/cudnn/lib/libcudnn.so.9,,\n")
    Path(site, "envfix_loader-1.0.dist-info").mkdir()
    target = structs.replace(TARGET, installed=(dist,), purelib=site)
    assert wheel_folders(RealOutside(), (site,)) == (str(lib),)
    assert [one.how for one in damages(RealOutside(), target)] == ["is gone"]
    (lib / "libcudnn.so.9").touch()
    assert damages(RealOutside(), target) == ()
    assert loader.is_there(RealOutside(), target)


def test_a_relative_entry_of_ld_library_path_is_never_searched() -> None:
    outside = FakeOutside(environ={"LD_LIBRARY_PATH": ":.:evil:/usr/lib64-nvidia"})
    machine = changed(
        T4,
        toolkit=Toolkit(version=CudaRelease("12.5"), path="/usr/local/cuda"),
        cudnn=Cudnn(version=CudnnRelease("9.3.0"), path="/opt/cudnn"),
    )
    folders = system_folders(outside, machine)
    assert folders[0] == "/usr/lib64-nvidia"
    assert "/usr/local/cuda/lib64" in folders and "/opt/cudnn" in folders
    assert all(folder.startswith("/") for folder in folders)
