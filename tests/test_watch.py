"""`envfix watch`, through the compiled stub of NVML: what runs is the real command line."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from envfix.model.usage import GpuProcess, GpuUsage, Sample, activity
from envfix.probe import usage
from envfix.render.usage import gpu_lines, one_look
from envfix.system.outside import RealOutside
from tests.stubs import compiled

T4 = "Tesla T4|7.5|15360"
BUSY = {
    "ENVFIX_STUB_GPUS": T4,
    "ENVFIX_STUB_DRIVER_RELEASE": "550.54.15",
    "ENVFIX_STUB_UTILISATION": "0,50,100,50",
    "ENVFIX_STUB_USED_MIB": "3,812",
    "ENVFIX_STUB_TEMPERATURE": "41",
    "ENVFIX_STUB_MILLIWATTS": "27400",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(tmp_path_factory.mktemp("cache"))


def environ(folder: str, **extra: str) -> dict[str, str]:
    left_out = ("JPY_", "COLAB", "CUDA_VISIBLE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, **BUSY, "LD_LIBRARY_PATH": folder, "ENVFIX_STUB_PID": str(os.getpid()), **extra}


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "envfix", "watch", *argv]


def watch(folder: str, *argv: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*argv), capture_output=True, text=True, timeout=60, env=environ(folder, **extra)
    )


def test_a_line_for_each_look_and_what_it_came_to(folder: str) -> None:
    done = watch(folder, "--count", "4", "--interval", "0.1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6 and "\x1b" not in done.stdout
    assert re.search(r"0\.1 s  GPU 0  50 %  812 of 15360 MiB  41 C  27 of 70 W  \S+ \(\d+\) 3 MiB$", lines[1])
    assert lines[4].startswith(
        "watched  GPU 0 Tesla T4: 50 % on average, 100 % at most, 812 of 15360 MiB at most (4 looks"
    )
    assert "it idled in 25 % of the looks: does the input pipeline keep up?" in lines[5]


def test_json_is_one_object_with_every_look(folder: str) -> None:
    done = watch(folder, "--count", "3", "--interval", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) == {"envfix", "command", "status", "exit_code", "data", "errors"}
    looks = [sample["gpus"][0] for sample in answer["data"]["samples"]]
    assert [gpu["gpu_percent"] for gpu in looks] == [0, 50, 100]
    assert looks[0]["processes"][0]["pid"] == os.getpid()
    assert answer["data"]["gpus"][0]["mean_percent"] == 50.0


def test_several_gpus_and_what_nvml_does_not_tell(folder: str) -> None:
    quiet = {name: "" for name in BUSY if name.endswith(("UTILISATION", "TEMPERATURE", "MILLIWATTS"))}
    done = watch(folder, "--count", "1", ENVFIX_STUB_GPUS=f"{T4};{T4}", ENVFIX_STUB_PID="0", **quiet)
    look = done.stdout.splitlines()[0]
    assert look.endswith("GPU 0   - %  3 of 15360 MiB  no process; GPU 1   - %  3 of 15360 MiB  no process")
    assert "GPU 1 Tesla T4: NVML does not tell its utilisation" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_is_its_normal_end(folder: str, number: int) -> None:
    child = subprocess.Popen(
        command("--interval", "0.1"), stdout=subprocess.PIPE, text=True, env=environ(folder)
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    child.send_signal(number)
    rest = child.stdout.read()
    assert child.wait(20) == 0 and "GPU 0" in first and "watched  GPU 0 Tesla T4: " in rest
    assert "Traceback" not in rest


def test_it_ends_with_its_reader(folder: str) -> None:
    child = subprocess.Popen(
        command("--interval", "0.1"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ(folder),
    )  # fmt: skip
    assert child.stdout is not None and child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(20) == 0
    assert "Traceback" not in child.stderr.read()


def on_a_terminal(folder: str, *argv: str, **extra: str) -> str:
    master, slave = pty.openpty()
    child = subprocess.Popen(command(*argv), stdout=slave, stderr=slave, env=environ(folder, **extra))
    os.close(slave)
    said, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                said += os.read(master, 4096)
            except OSError:  # how a pty says that its other end is closed
                break
        elif child.poll() is not None:
            break
    assert child.wait(20) == 0
    os.close(master)
    return said.decode()


def test_a_terminal_shows_the_same_lines_again(folder: str) -> None:
    said = on_a_terminal(folder, "--count", "3", "--interval", "0.1", ENVFIX_STUB_GPUS=f"{T4};{T4}")
    assert said.count("\x1b[2A") == 2 and said.count("\x1b[2K") == 6
    # A wrapped line would be two, and the next look would go astray.
    drawn = [line for line in re.split(r"\r?\n", said) if "[#" in line or "[." in line]
    assert drawn and all(len(re.sub(r"\x1b\[\d*[AK]|\r", "", line)) < 80 for line in drawn)


def test_a_notebooks_cell_is_no_terminal(folder: str) -> None:
    """`!envfix watch` is started on a pseudo-terminal that draws nothing."""
    said = on_a_terminal(folder, "--count", "2", "--interval", "0.1", JPY_PARENT_PID="1")
    assert "\x1b" not in said and said.count("GPU 0  ") == 2


def test_without_a_gpu_it_says_where_one_is_to_be_had(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    outside = RealOutside(quiet=True)
    if outside.exists("/dev/nvidiactl"):
        pytest.skip("there is a GPU here")
    done = subprocess.run(command("--json"), capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert answer["errors"][0]["code"] == "nothing-fits"
    assert answer["errors"][0]["message"].startswith("this machine has no NVIDIA GPU (asked: nvml")
    hint = answer["errors"][0]["hint"]
    assert hint and "envfix install" not in hint, "nothing that watch could be of use for"


@pytest.mark.parametrize(
    "argv",
    [["--interval", "0"], ["--interval", "nan"], ["--count", "0"], ["--count", "-1"], ["--count", "x"]],
)
def test_a_wrong_number_is_a_usage_error(argv: list[str]) -> None:
    done = subprocess.run(command(*argv), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("error: ")


def test_nvml_that_stops_answering_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from envfix.errors import NothingFits

    silent = tmp_path / "usage.py"
    silent.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(usage, "CHILD", str(silent))
    monkeypatch.setattr(usage, "PATIENCE", 0.2)
    with pytest.raises(NothingFits, match=r"said nothing for 0\.3 s"):
        usage.follow(RealOutside(quiet=True), 0.1, 0, lambda sample: None)


def gpu(percent: int | None, **rest: Any) -> GpuUsage:
    return GpuUsage(index=0, name="T4", gpu_percent=percent, **rest)


def test_looks_without_a_figure_do_not_count_as_idle() -> None:
    seen = activity(
        [Sample(seconds=at, gpus=(gpu(percent),)) for at, percent in enumerate((None, 0, 100, 50))]
    )
    assert (seen[0].mean_percent, seen[0].max_percent, seen[0].idle_percent, seen[0].looks) == (
        50.0,
        100,
        33.3,
        4,
    )


def test_a_process_that_cannot_be_seen_has_its_number_alone() -> None:
    processes = (GpuProcess(pid=7), GpuProcess(pid=8, name="python", used_mib=20))
    sample = Sample(seconds=1.0, gpus=(gpu(3, processes=processes),))
    assert one_look(sample).endswith("process 7, python (8) 20 MiB")
    assert gpu_lines(sample)[0].startswith("GPU 0  [#...................]    3 %")
