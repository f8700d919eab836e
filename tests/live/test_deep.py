"""A real training step, measured on the CPU: the newest release, one of the middle, and the oldest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envfix.probe import usage
from envfix.system.outside import RealOutside
from envfix.verify import deep, transcript
from envfix.verify.deep_answer import CHECKS
from envfix.verify.stub import build as stub
from tests.pythons import python_of

pytestmark = pytest.mark.live

RELEASES = (("2.21.0", "3.12"), ("2.10.1", "3.10"), ("2.4.4", "3.8"))
OF_GPUS = {"GPU kernels", "device and host time", "GPU utilisation", "GPU memory"}


def envfix(folder: Path, *argv: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "envfix", *argv, "--json"],
        capture_output=True, text=True, cwd=folder, env=dict(os.environ), timeout=1500,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture(params=RELEASES, ids=lambda pair: pair[0])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    release, feature = request.param
    code, _, log = envfix(
        tmp_path, "install", "--machine", "no-gpu", "--accelerator", "cpu", "--tf", release,
        "--python", python_of(feature), "--venv", "env", "--yes", "--no-verify",
    )  # fmt: skip
    assert code == 0, log
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_the_step_is_run_and_measured_on_the_cpu(folder: Path) -> None:
    code, answer, log = envfix(folder, "verify", "--deep", "--venv", "env", "--accelerator", "cpu")
    data = answer["data"]
    assert code == 0, (log, data)
    ran = {check["name"]: check["status"] for check in data["checks"]}
    assert {name for name in CHECKS if ran[name] == "skipped"} == OF_GPUS
    assert all(ran[name] == "passed" for name in set(CHECKS) - OF_GPUS)
    measured = data["measured"]
    assert measured["placement"]["Conv2D"] == {"CPU:0": 2}
    assert measured["step"]["last_loss"] < measured["step"]["first_loss"]
    waits = {way: figures["waiting"] for way, figures in measured["pipeline"].items() if way != "cpus"}
    assert set(waits) == {"neither", "batch", "prefetch", "parallel"}
    # What fetching ahead is for. Both have the same CPU, so nothing is said of the throughput.
    assert waits["prefetch"] < waits["batch"]

    # The looks at a GPU that are taken beside it, with NVML's stub.
    outside = RealOutside(quiet=True)
    environ = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": stub.build(outside)}
    environ |= {"ENVFIX_STUB_GPUS": "Tesla T4|7.5|15360", "ENVFIX_STUB_UTILISATION": "10,20"}
    argv = [str(folder / "env/bin/python"), deep.CHILD, "cpu", json.dumps(usage.sampler(0.2))]
    heard = transcript.read(outside.run(argv, timeout=180, env=environ), deep=True)
    looks = heard.answer["done"]["training"]["samples"]
    assert len(looks) >= 10 and {look["gpus"][0]["gpu_percent"] for look in looks} == {10, 20}
