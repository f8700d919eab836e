"""What the dynamic loader writes of its searches, from a recording of TensorFlow 2.10.1 under the stub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from envfix.system.outside import RealOutside
from envfix.verify import loader_log
from envfix.verify.loader_log import Place
from tests.fakes import FakeOutside

TEXT = (Path(__file__).parent / "data" / "verify" / "loader-2.10.txt").read_text()
LINE = "     20860:\t"


def searches() -> dict[str, loader_log.Search]:
    return {search.soname: search for search in loader_log.parse(TEXT)}


def test_the_file_that_won_is_laid_to_what_led_to_it() -> None:
    found = searches()
    driver = found["libcuda.so.1"].place_of("/usr/lib64-nvidia/libcuda.so.1")
    assert driver == Place("LD_LIBRARY_PATH", ("/usr/lib64-nvidia",))
    cached = found["libm.so.6"].place_of("/lib/x86_64-linux-gnu/libm.so.6")
    assert str(cached) == "the loader's cache (/etc/ld.so.cache)"
    assert found["libm.so.6"].place_of("/opt/libm.so.6") is None


def test_every_place_that_was_searched_is_kept_in_order() -> None:
    assert [str(place) for place in searches()["libcudart.so.11.0"].places] == [
        "LD_LIBRARY_PATH",
        "the RUNPATH of python",
        "the loader's cache (/etc/ld.so.cache)",
        "the system's folders",
    ]


def test_folders_for_kinds_of_cpu_are_left_out() -> None:
    system = searches()["libcudart.so.11.0"].places[-1]
    assert system.folders == ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")


def test_paths_are_compared_without_their_detours() -> None:
    text = f"{LINE}find library=libcudnn.so.9 [0]; searching\n{LINE} search path=/e/tf/../nvidia/cudnn/lib"
    text += (
        f"\t\t(RUNPATH from file /e/tf/x.so)\n{LINE}  trying file=/e/tf/../nvidia/cudnn/lib/libcudnn.so.9\n"
    )
    (search,) = loader_log.parse(text)
    assert str(search.place_of("/e/nvidia/cudnn/lib/libcudnn.so.9")) == "the RUNPATH of x.so"


def test_the_process_that_searched_most_is_read() -> None:
    small = f"{LINE}find library=liba.so.1 [0]; searching\n"
    outside = FakeOutside(files={"/d/loader.7": TEXT, "/d/loader.8": small, "/d/other.9": TEXT + TEXT})
    assert loader_log.read(outside, "/d") == loader_log.parse(TEXT)
    assert loader_log.read(outside, "/nothing") == ()


@given(st.text())
def test_no_text_makes_the_parser_raise(text: str) -> None:
    loader_log.parse(text)
    loader_log.parse("".join(f"{LINE}{line}\n" for line in text.splitlines()))


def test_a_real_process_writes_what_is_read(tmp_path: Path) -> None:
    outside = RealOutside(quiet=True)
    (tmp_path / "libenvfixtest.so.1").touch()
    code = "import ctypes\ntry: ctypes.CDLL('libenvfixtest.so.1')\nexcept OSError: pass"
    env = {"LD_LIBRARY_PATH": str(tmp_path), **loader_log.environment(str(tmp_path))}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    found = [search for search in loader_log.read(outside, str(tmp_path)) if "envfixtest" in search.soname]
    assert str(found[0].place_of(str(tmp_path / "libenvfixtest.so.1"))) == "LD_LIBRARY_PATH"
