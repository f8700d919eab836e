"""The whole survey: on real processes that hang, crash and lie, and on machines made of transcripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import UNSET

from envfix.model.machine import Driver, Gpu, Machine, Outcome, Platform, known
from envfix.model.versions import DriverCuda, DriverRelease
from envfix.ports import Ran
from envfix.probe import driver_api, nvidia_smi, nvml
from envfix.probe.evidence import gather, read_file
from envfix.probe.survey import survey
from envfix.reading import to_plain
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside
from tests.values import TARGET

DATA = Path(__file__).parent / "data" / "probe"
CC = shutil.which("cc")
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler here")


def transcript(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def outcomes(machine: Machine, source: str) -> set[Outcome]:
    return {one.outcome for one in known(machine.evidence, ()) if one.source == source}


# -- machines of transcripts

NOT_FOUND = "{library}: cannot open shared object file: No such file or directory"


def no_libraries(argv: Sequence[str], stdin: str | None) -> Ran:
    """The children's answer on a machine without the driver's libraries."""
    child = Path(argv[4]).name
    mark, library = {
        "nvml.py": (nvml.MARK, "libnvidia-ml.so.1"),
        "driver_api.py": (driver_api.MARK, "libcuda.so.1"),
    }[child]
    answer = {"status": "not-loaded", "text": NOT_FOUND.format(library=library)}
    return Ran(tuple(argv), 0, mark + json.dumps(answer) + "\n", "")


PYTHON = Path(sys.executable).name
COLAB_CPU = {
    "/proc/cpuinfo": transcript("cpuinfo_skylake.txt"),
    "/.dockerenv": "",
    "/proc/sys/kernel/osrelease": "6.1.85+\n",
}


def test_a_machine_without_anything_has_no_gpu_and_says_who_was_asked() -> None:
    machine = survey(FakeOutside(files=COLAB_CPU, answers={PYTHON: no_libraries}), TARGET)
    assert machine.driver is None and machine.gpus == () and machine.has_no_gpu
    assert (machine.toolkit, machine.cudnn) == (None, None)
    asked = {
        one.source for one in known(machine.evidence, ()) if one.fact.split(".")[0] in ("driver", "gpus")
    }
    assert asked >= {
        *("nvml", "cuda-driver-api", "nvidia-smi", "nvidia-smi --query-gpu", "/proc/driver/nvidia/version"),
        *("/sys/module/nvidia/version", "/proc/driver/nvidia/gpus", "/sys/bus/pci/devices"),
    }


def test_the_targets_facts_are_the_machines() -> None:
    machine = survey(FakeOutside(files=COLAB_CPU, answers={PYTHON: no_libraries}), TARGET)
    assert (machine.os, machine.arch, machine.glibc) == (TARGET.os, TARGET.arch, TARGET.glibc)
    assert machine.python == TARGET.feature
    assert machine.installed == {dist.name: dist.version for dist in TARGET.installed}


def test_nvidia_smi_alone_tells_driver_and_gpu() -> None:
    def smi(argv: Sequence[str], stdin: str | None) -> Ran:
        out = transcript("query_t4.csv" if len(argv) > 1 else "smi_535_t4.txt")
        return Ran(tuple(argv), 0, out, "")

    outside = FakeOutside(
        files=COLAB_CPU | {"/opt/bin/nvidia-smi": ""},
        answers={PYTHON: no_libraries, "nvidia-smi": smi},
        environ={"COLAB_RELEASE_TAG": "x"},
    )
    machine = survey(outside, TARGET)
    assert machine.driver == Driver(release=DriverRelease("535.104.05"), cuda=DriverCuda("12.2"))
    [gpu] = known(machine.gpus, ())
    assert (gpu.name, str(gpu.compute_capability), gpu.memory_mib) == ("Tesla T4", "7.5", 15360)
    assert machine.platform is Platform.COLAB


@pytest.mark.parametrize(
    ("code", "out", "none"),
    [(9, "", True), (12, "", True), (0, "", True), (15, "", False), (1, "", False), (0, "<html>", False)],
)
def test_an_nvidia_smi_without_a_driver_is_no_gpu_where_nothing_contradicts(
    code: int, out: str, none: bool
) -> None:
    def smi(argv: Sequence[str], stdin: str | None) -> Ran:
        return Ran(tuple(argv), code, out, "")

    programs = {"nvidia-smi": "/usr/bin/nvidia-smi"}
    alone = FakeOutside(files=COLAB_CPU, programs=programs, answers={PYTHON: no_libraries, "nvidia-smi": smi})
    machine = survey(alone, TARGET)
    assert machine.has_no_gpu is none
    assert none or (machine.driver is UNSET and machine.gpus is UNSET)
    # A kernel module that runs contradicts it: there is a driver.
    files = COLAB_CPU | {"/sys/module/nvidia/version": "550.54.15\n"}
    module = FakeOutside(files=files, programs=programs, answers={PYTHON: no_libraries, "nvidia-smi": smi})
    assert survey(module, TARGET).driver == Driver(release=DriverRelease("550.54.15"))


def test_a_toolkit_without_a_driver_plans_for_nothing() -> None:
    """A CUDA 13.0 toolkit says nothing about what a driver can run: there is none."""
    files = COLAB_CPU | {"/usr/local/cuda-13.0/include/cuda.h": "#define CUDA_VERSION 13000\n"}
    machine = survey(FakeOutside(files=files, answers={PYTHON: no_libraries}), TARGET)
    assert machine.driver is None and machine.gpus == ()
    assert machine.toolkit is not None and machine.toolkit is not UNSET
    assert str(machine.toolkit.version) == "13.0"


@pytest.mark.parametrize(
    ("name", "code", "driver"),
    [
        ("smi_no_driver.txt", 9, None),
        ("smi_mismatch.txt", 18, UNSET),
        ("rubbish.txt", 0, UNSET),
        ("smi_unknown_error.txt", 255, UNSET),
    ],
)
def test_what_nvidia_smi_refuses_with_decides_between_none_and_unknown(
    name: str, code: int, driver: object
) -> None:
    outside = FakeOutside(
        files=COLAB_CPU | {"/usr/bin/nvidia-smi": ""},
        answers={PYTHON: no_libraries, "nvidia-smi": Ran(("nvidia-smi",), code, transcript(name), "")},
    )
    machine = survey(outside, TARGET)
    assert machine.driver is driver
    assert machine.gpus == (() if driver is None else UNSET)


def test_the_survey_can_be_written_and_read_back() -> None:
    from envfix.probe.machine_file import parse_machine

    machine = survey(FakeOutside(files=COLAB_CPU, answers={PYTHON: no_libraries}), TARGET)
    assert parse_machine(to_plain(machine), "probe.json") == machine


def test_hidden_devices_and_other_facts_of_the_session_are_in_the_evidence() -> None:
    outside = FakeOutside(
        files=COLAB_CPU, answers={PYTHON: no_libraries}, environ={"CUDA_VISIBLE_DEVICES": "-1"}
    )
    machine = survey(outside, TARGET)
    assert machine.environment == {"CUDA_VISIBLE_DEVICES": "-1"}
    facts = {one.fact for one in known(machine.evidence, ())}
    assert facts >= {
        "gpus.visible",
        "gpus.pci",
        "platform",
        "wsl",
        "container",
        "cpu_flags",
        "toolkit",
        "cudnn",
    }


def test_an_unreadable_own_interpreter_is_evidence() -> None:
    machine = survey(FakeOutside(files=COLAB_CPU, answers={}), None)
    assert machine.python is UNSET and machine.driver is UNSET
    assert any(one.fact == "python" and one.outcome is Outcome.FAILED for one in known(machine.evidence, ()))


def test_every_file_denied_is_evidence_and_no_crash() -> None:
    denied = PermissionError(13, "Permission denied")
    files = dict.fromkeys(["/proc/cpuinfo", "/proc/driver/nvidia/version", "/proc/self/stat"], denied)
    machine = survey(FakeOutside(files=files, answers={PYTHON: no_libraries}), TARGET)
    assert machine.cpu_flags is UNSET and machine.driver is UNSET


# -- this machine, whatever it is


def test_this_machine_is_read_fast_and_whole() -> None:
    outside = RealOutside(quiet=True)
    best = 9.0
    for _ in range(3):
        # Work, not waiting: processor time of ours and of the children, whatever else this machine does.
        start = sum(os.times()[:4])
        machine = survey(outside, TARGET)
        best = min(best, sum(os.times()[:4]) - start)
    assert best < 0.3 or not machine.has_no_gpu
    assert machine.platform is not UNSET and machine.environment is not UNSET
    assert machine.cpu_flags, "a Linux machine has flags"


def test_nothing_of_cuda_is_loaded_into_our_own_process() -> None:
    code = (
        "import sys\n"
        "from envfix.probe.survey import survey\n"
        "from envfix.system.outside import RealOutside\n"
        "survey(RealOutside(), None)\n"
        "bad = [name for name in sys.modules if name.split('.')[0] in ('pynvml', 'tensorflow', 'torch')]\n"
        "maps = open('/proc/self/maps').read()\n"
        "assert not bad and 'libcuda' not in maps and 'libnvidia' not in maps, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- real children that hang and crash


def limit(outcome: Outcome) -> float:
    """Seconds: short where the end is to be seen, long where a busy machine must not change the outcome."""
    return 0.5 if outcome is Outcome.TIMEOUT else 30.0


def library(folder: Path, soname: str, body: str) -> None:
    """A library that misbehaves, compiled for this machine."""
    source = folder / f"{soname}.c"
    source.write_text(f"#include <stdlib.h>\n#include <unistd.h>\n{body}\n")
    output = folder / soname
    subprocess.run([str(CC), "-shared", "-fPIC", "-o", str(output), str(source)], check=True)


VERSION = "int cuDriverGetVersion(int *v) { *v = 12040; return 0; }\n"
BAD_CUDA = {
    "sleeps": (VERSION + "int cuInit(unsigned f) { sleep(60); return 0; }", Outcome.TIMEOUT, "timed out"),
    "aborts": (VERSION + "int cuInit(unsigned f) { abort(); }", Outcome.FAILED, "SIGABRT"),
    "crashes": (VERSION + "int cuInit(unsigned f) { return *(volatile int *)0; }", Outcome.FAILED, "SIGSEGV"),
    "crashes on load": (
        "__attribute__((constructor)) static void start(void) { *(volatile int *)0 = 1; }",
        Outcome.FAILED,
        "SIGSEGV",
    ),
    "sleeps on load": (
        "__attribute__((constructor)) static void start(void) { sleep(60); }",
        Outcome.TIMEOUT,
        "timed out",
    ),
    "exits": (VERSION + "int cuInit(unsigned f) { _exit(0); }", Outcome.FAILED, "exit 0"),
    "lacks a function": (VERSION, Outcome.FAILED, "cuInit"),
    "finds nothing": (VERSION + "int cuInit(unsigned f) { return 100; }", Outcome.ABSENT, "NO_DEVICE"),
    "mismatches": (VERSION + "int cuInit(unsigned f) { return 803; }", Outcome.FAILED, "DRIVER_MISMATCH"),
}


@needs_cc
@pytest.mark.parametrize("kind", BAD_CUDA)
def test_a_libcuda_that_misbehaves_is_evidence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, outcome, words = BAD_CUDA[kind]
    library(tmp_path, "libcuda.so.1", body)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    reading = driver_api.read_driver_api(RealOutside(quiet=True), limit(outcome))
    [piece] = reading.evidence
    assert not reading.runs and piece.outcome is outcome
    assert words in piece.detail


@needs_cc
def test_a_library_for_another_machine_or_cut_short_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    outside = RealOutside(quiet=True)
    (tmp_path / "libcuda.so.1").write_bytes(b"")
    assert driver_api.read_driver_api(outside, 5).is_absent
    (tmp_path / "libcuda.so.1").write_bytes(b"not an ELF file at all, " * 100)
    assert driver_api.read_driver_api(outside, 5).has_failed


NVML = """
int nvmlInitWithFlags(unsigned f) { return %(init)s; }
int nvmlInit_v2(void) { return %(init)s; }
const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "other"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { __builtin_strcpy(text, "550.54.15"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 12040; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { %(count)s; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = device; return 0; }
int nvmlDeviceGetName(void *device, char *text, unsigned size) { __builtin_strcpy(text, "Odd"); return 0; }
int nvmlDeviceGetMemoryInfo(void *device, void *memory) { return 3; }
"""
BAD_NVML = {
    "mismatch": ({"init": "18", "count": "*count = 0"}, Outcome.FAILED, "nvmlInit returned 18: "),
    "hang": ({"init": "sleep(60)", "count": "*count = 0"}, Outcome.TIMEOUT, "timed out"),
    "crash": ({"init": "0", "count": "abort()"}, Outcome.FAILED, "SIGABRT"),
}


@needs_cc
@pytest.mark.parametrize("kind", BAD_NVML)
def test_an_nvml_that_misbehaves_is_evidence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real nvidia-ml-py, in a real child."""
    parts, outcome, words = BAD_NVML[kind]
    library(tmp_path, "libnvidia-ml.so.1", NVML % parts)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    [piece] = nvml.read_nvml(RealOutside(quiet=True), limit(outcome)).evidence
    assert piece.outcome is outcome and words in piece.detail


@needs_cc
def test_nvml_that_answers_is_read_through_the_real_bindings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(tmp_path, "libnvidia-ml.so.1", NVML % {"init": "0", "count": "*count = 0"})
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    reading = nvml.read_nvml(RealOutside(quiet=True), 10.0)
    assert (reading.release, reading.cuda) == (DriverRelease("550.54.15"), DriverCuda("12.4"))
    assert reading.gpus == ()


@needs_cc
def test_nvml_that_cannot_tell_everything_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is refused with NVML_ERROR_NOT_SUPPORTED, and this library has no compute capability to tell."""
    library(tmp_path, "libnvidia-ml.so.1", NVML % {"init": "0", "count": "*count = 1"})
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    reading = nvml.read_nvml(RealOutside(quiet=True), 10.0)
    assert reading.gpus == (Gpu(name="Odd"),)
    missed = {one.fact: one.detail for one in reading.evidence if one.outcome is Outcome.FAILED}
    assert list(missed) == ["gpus[0].memory_mib", "gpus[0].compute_capability"]
    assert missed["gpus[0].memory_mib"] == "nvmlDeviceGetMemoryInfo: Not Supported"
    assert "Function Not Found" in missed["gpus[0].compute_capability"]


OLD_BINDINGS = """
class NVMLError(Exception):
    value = 1
class Memory:
    total = 16160 << 20
def nvmlInit(): pass
def nvmlSystemGetDriverVersion(): return {text!r}
def nvmlSystemGetCudaDriverVersion(): return 12040
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetMemoryInfo(handle): return Memory
def nvmlDeviceGetName(handle): return {name!r}
"""


@needs_cc
@pytest.mark.parametrize(("text", "name"), [(b"450.80.02", b"Tesla V100"), ("450.80.02", "Tesla V100")])
def test_bindings_that_return_bytes_and_ones_that_return_text(
    text: object, name: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nvidia-ml-py before 11.515 returned bytes, and had neither _v2 nor compute capability."""
    library(tmp_path, "libnvidia-ml.so.1", "int nothing;")
    (tmp_path / "pynvml.py").write_text(OLD_BINDINGS.format(text=text, name=name))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setattr(nvml, "bindings", lambda: str(tmp_path))
    reading = nvml.read_nvml(RealOutside(quiet=True), 10.0)
    assert (reading.release, reading.cuda) == (DriverRelease("450.80.02"), DriverCuda("12.4"))
    assert reading.gpus is not None
    assert [(gpu.name, gpu.memory_mib, gpu.compute_capability) for gpu in reading.gpus] == [
        ("Tesla V100", 16160, UNSET)
    ]


def program(folder: Path, text: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "outcome", "words"),
    [
        ("sleep 60", Outcome.TIMEOUT, "timed out"),
        ("kill -SEGV $$", Outcome.FAILED, "SIGSEGV"),
        ("head -c 20000 /dev/urandom", Outcome.FAILED, "not"),
        ("exit 0", Outcome.ABSENT, "says nothing: exit 0"),
        ("exit 9", Outcome.ABSENT, "no driver is loaded: exit 9"),
        ("sleep 60 & exit 0", Outcome.TIMEOUT, "timed out"),
    ],
)
def test_a_real_nvidia_smi_that_misbehaves_is_evidence(
    text: str, outcome: Outcome, words: str, tmp_path: Path
) -> None:
    outside = RealOutside(quiet=True)
    for read in (nvidia_smi.read_query, nvidia_smi.read_table):
        [piece] = read(outside, program(tmp_path, text), limit(outcome)).evidence
        assert piece.outcome is outcome and words in piece.detail


@needs_cc
def test_a_survey_whose_every_source_hangs_ends_in_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "sleep 60")
    library(tmp_path, "libcuda.so.1", BAD_CUDA["sleeps on load"][0])
    library(tmp_path, "libnvidia-ml.so.1", BAD_CUDA["sleeps on load"][0])
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    start = time.monotonic()
    machine = survey(RealOutside(quiet=True), TARGET, budget=1.0)
    assert time.monotonic() - start < 30  # each of them sleeps for a minute
    assert machine.driver is UNSET and machine.gpus is UNSET and not machine.has_no_gpu
    for source in ("nvml", "cuda-driver-api", "nvidia-smi", "nvidia-smi --query-gpu"):
        assert outcomes(machine, source) == {Outcome.TIMEOUT}


# -- side by side


def test_a_job_that_hangs_is_left_behind() -> None:
    release = threading.Event()
    start = time.monotonic()
    answers = gather({"quick": lambda: 1, "stuck": lambda: release.wait(30)}, 0.2)
    release.set()
    assert answers == {"quick": 1, "stuck": None} and time.monotonic() - start < 20


def test_a_bug_in_a_job_is_not_swallowed() -> None:
    def bug() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gather({"bug": bug}, 1.0)


def test_a_hanging_proc_file_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that holds its lock makes a read of /proc/driver/nvidia/version wait for ever."""
    release = threading.Event()

    class Stuck(FakeOutside):
        def read_bytes(self, path: str, limit: int = 16 << 20) -> bytes:
            if path == "/proc/driver/nvidia/version":
                release.wait(30)
            return super().read_bytes(path, limit)

    monkeypatch.setattr("envfix.probe.survey.GRACE", 0.2)
    start = time.monotonic()
    try:
        machine = survey(Stuck(files=COLAB_CPU, answers={PYTHON: no_libraries}), TARGET, budget=0.3)
    finally:
        release.set()
    assert time.monotonic() - start < 20
    assert outcomes(machine, "/proc/driver/nvidia/version") == {Outcome.TIMEOUT}
    assert machine.driver is UNSET


def test_a_missing_file_and_a_forbidden_one_are_told_apart() -> None:
    outside = FakeOutside(files={"/a": PermissionError(13, "Permission denied")})
    assert read_file(outside, "/a").outcome is Outcome.FAILED
    assert read_file(outside, "/b").outcome is Outcome.ABSENT
