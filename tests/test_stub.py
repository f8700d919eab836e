"""The driver stub: compiled for real, asked for real, and never willing to run anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from envfix.errors import ProofUnavailable
from envfix.ports import Ran
from envfix.system.outside import RealOutside
from envfix.verify.stub import build as stub
from tests.fakes import FakeOutside
from tests.stubs import compiled

ASK = """
import ctypes, json
cuda, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
number, text, pointer = ctypes.c_int(), ctypes.create_string_buffer(96), ctypes.c_void_p()
said = {"early": cuda.cuDeviceGetCount(ctypes.byref(number)), "init": cuda.cuInit(0)}
if said["init"]:
    name, words = ctypes.c_char_p(), ctypes.c_char_p()
    cuda.cuGetErrorName(said["init"], ctypes.byref(name))
    cuda.cuGetErrorString(said["init"], ctypes.byref(words))
    said["error"] = [str(value.value and value.value.decode()) for value in (name, words)]
cuda.cuDriverGetVersion(ctypes.byref(number)); said["driver_cuda"] = number.value
number.value = 0; cuda.cuDeviceGetCount(ctypes.byref(number)); said["count"] = number.value
said["gpus"] = []
for device in range(said["count"]):
    cuda.cuDeviceGetName(text, 96, device)
    values = []
    for attribute in (75, 76, 16):
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device); values.append(number.value)
    size = ctypes.c_size_t(); cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    said["gpus"].append([text.value.decode(), values, size.value >> 20])
said["invalid"] = cuda.cuDeviceGetName(text, 96, 99)
said["refused"] = [getattr(cuda, name)(None, None, None) for name in
    ("cuLaunchKernel", "cuMemAlloc_v2", "cuMemcpyHtoD_v2", "cuModuleLoadData", "cuLibraryLoadData")]
said["looked_up"] = [cuda.cuGetProcAddress(name, ctypes.byref(pointer), 12000, 0) for name in
    (b"cuDeviceTotalMem", b"cuLaunchKernel", b"cuNoSuchThing")]
said["nvml"] = [nvml.nvmlInit_v2(), nvml.nvmlSystemGetDriverVersion(text, 96), text.value.decode()]
nvml.nvmlDeviceGetCount_v2(ctypes.byref(number)); said["nvml_count"] = number.value
print(json.dumps(said))
"""
TWO = {"ENVFIX_STUB_GPUS": "Tesla T4|7.5|15360;NVIDIA H100 80GB HBM3|9.0|81559"}


class Counting(RealOutside):
    """The real outside, which counts what it runs."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.count = 0

    def run(self, argv: Sequence[str], **rest: Any) -> Ran:
        self.count += 1
        return super().run(argv, **rest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(tmp_path_factory.mktemp("cache"))


def ask(folder: str, **environ: str) -> dict[str, Any]:
    env = {"LD_LIBRARY_PATH": folder, "ENVFIX_STUB_DRIVER_RELEASE": "550.54.15", **environ}
    ran = RealOutside().run([sys.executable, "-c", ASK], timeout=30, env=env)
    assert ran.ok, ran.err
    answer: dict[str, Any] = json.loads(ran.out)
    return answer


def test_it_answers_for_the_described_gpus(folder: str) -> None:
    said = ask(folder, ENVFIX_STUB_DRIVER_CUDA="13000", **TWO)
    assert said["early"] == 3  # CUDA_ERROR_NOT_INITIALIZED, as the real one before cuInit
    assert said["init"] == 0
    assert said["driver_cuda"] == 13000
    assert said["gpus"] == [["Tesla T4", [7, 5, 40], 15360], ["NVIDIA H100 80GB HBM3", [9, 0, 132], 81559]]
    assert said["invalid"] == 101
    assert said["nvml"] == [0, 0, "550.54.15"]
    assert said["nvml_count"] == 2


def test_nothing_can_be_run_copied_or_loaded(folder: str) -> None:
    assert ask(folder, **TWO)["refused"] == [801] * 5


def test_functions_are_found_by_name_as_the_cuda_runtime_does_it(folder: str) -> None:
    assert ask(folder, **TWO)["looked_up"] == [0, 0, 500]


@pytest.mark.parametrize(("visible", "count"), [("1", 1), ("1,0", 2), ("0,7,1", 1), ("-1", 0), ("", 0)])
def test_cuda_visible_devices_is_obeyed(folder: str, visible: str, count: int) -> None:
    said = ask(folder, CUDA_VISIBLE_DEVICES=visible, **TWO)
    assert said["count"] == count
    assert said["init"] == (0 if count else 100)


@pytest.mark.parametrize(
    ("code", "name"),
    [("100", "CUDA_ERROR_NO_DEVICE"), ("803", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"), ("35", "None")],
)
def test_the_error_asked_for_is_given_with_the_drivers_words(folder: str, code: str, name: str) -> None:
    said = ask(folder, ENVFIX_STUB_CUINIT=code, **TWO)
    assert said["init"] == int(code)
    assert said["error"][0] == name
    assert said["count"] == 0


def test_any_function_can_be_made_to_fail(folder: str) -> None:
    failing = "cuModuleLoadData=222,cuMemAlloc=2,cuDeviceGetName=999,cuDriverGetVersion=34,cuGetErrorName=34"
    said = ask(folder, ENVFIX_STUB_FAIL=failing, **TWO)
    assert said["init"] == 0
    assert said["refused"] == [801, 2, 801, 222, 801]
    assert said["invalid"] == 999
    assert said["driver_cuda"] == 0


def test_a_stub_library_does_not_even_name_its_error(folder: str) -> None:
    failing = "cuGetErrorName=34,cuGetErrorString=34"
    assert ask(folder, ENVFIX_STUB_CUINIT="34", **TWO)["error"][0] == "CUDA_ERROR_STUB_LIBRARY"
    assert ask(folder, ENVFIX_STUB_CUINIT="34", ENVFIX_STUB_FAIL=failing, **TWO)["error"] == ["None", "None"]


def test_no_gpu_described_is_no_device(folder: str) -> None:
    assert ask(folder)["init"] == 100


def test_a_description_that_does_not_parse_is_said(folder: str) -> None:
    env = {"LD_LIBRARY_PATH": folder, "ENVFIX_STUB_GPUS": "Tesla T4 7.5"}
    ran = RealOutside().run([sys.executable, "-c", ASK], timeout=30, env=env)
    assert "ENVFIX_STUB_GPUS is not NAME|X.Y|MIB" in ran.err


def test_the_second_build_compiles_nothing(folder: str) -> None:
    outside = Counting()
    assert stub.build(outside, str(Path(folder).parent)) == folder
    assert outside.count == 0


def test_a_cache_that_cannot_be_written_costs_no_proof(folder: str, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    built = stub.build(RealOutside(quiet=True), str(blocked))
    assert ask(built, **TWO)["count"] == 2


def test_without_a_compiler_it_says_what_to_install() -> None:
    with pytest.raises(
        ProofUnavailable, match="`/env/bin/python -m ziglang cc`: could not be started"
    ) as caught:
        stub.build(_Sources(), "/cache", python="/env/bin/python")
    assert caught.value.hint and "envfix-tf[proof]" in caught.value.hint


def test_a_compiler_that_fails_is_quoted() -> None:
    outside = _Sources(
        programs={"cc": "/usr/bin/cc"}, answers={"cc": Ran(("cc",), 1, "", "cc: fatal: no as\nx")}
    )
    with pytest.raises(ProofUnavailable, match="`/usr/bin/cc`: cc: fatal: no as"):
        stub.build(outside, "/cache", python="/env/bin/python")


def test_ziglang_is_used_where_there_is_no_cc() -> None:
    made: list[Sequence[str]] = []

    def compile_with_zig(argv: Sequence[str], stdin: str | None) -> Ran:
        made.append(argv)
        outside.files[argv[argv.index("-o") + 1]] = b"\x7fELF"
        return Ran(tuple(argv), 0, "", "")

    outside = _Sources(answers={"python": compile_with_zig})
    folder = stub.build(outside, "/cache", python="/env/bin/python")
    assert [argv[:4] for argv in made] == [["/env/bin/python", "-m", "ziglang", "cc"]] * 2
    assert set(outside.written) == {f"{folder}/libcuda.so.1", f"{folder}/libnvidia-ml.so.1"}


class _Sources(FakeOutside):
    """A machine of dictionaries that has the stub's own sources."""

    def __init__(self, **rest: Any) -> None:
        here = Path(stub.__file__).parent
        sources: Mapping[str, bytes] = {str(here / name): (here / name).read_bytes() for name in stub.SOURCES}
        super().__init__(files=sources, **rest)
