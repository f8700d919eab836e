"""Which sonames a release needs, and where they are looked for."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from envfix.install import loader
from envfix.install.libraries import (
    find_libraries,
    incomplete_distributions,
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


def test_a_library_that_was_cut_short_is_not_there() -> None:
    info = "/s/nvidia_cudnn_cu12-9.3.0.dist-info"
    record = "nvidia/cudnn/lib/libcudnn.so.9,sha256=x,4\nnvidia/cudnn/about.txt,,9\n"
    dist = Distribution(name="nvidia-cudnn-cu12", version="9.3.0", location=info)
    target = structs.replace(TARGET, installed=(dist,), purelib="/s")
    for content, wrong in ((b"ELF!", ()), (b"", ("nvidia-cudnn-cu12",)), (b"ELF", ("nvidia-cudnn-cu12",))):
        outside = FakeOutside(files={f"{info}/RECORD": record, "/s/nvidia/cudnn/lib/libcudnn.so.9": content})
        assert incomplete_distributions(outside, target) == wrong


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
    assert incomplete_distributions(RealOutside(), target) == ("nvidia-cudnn-cu12",)
    (lib / "libcudnn.so.9").touch()
    assert incomplete_distributions(RealOutside(), target) == ()
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
