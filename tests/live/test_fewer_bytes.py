"""What need not be downloaded, on real wheels: with the machine's own CUDA, and without what is never opened.

Some 7 GB of disk, mostly linked from uv's cache, and 0.7 GB of download that is counted; all removed again.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import uv

from envfix.system.outside import RealOutside
from envfix.verify.stub import build as stub
from tests.environments import pins
from tests.pythons import python_of

pytestmark = pytest.mark.live

TF = "2.20.0"
ASKED = ("--tf", TF, "--yes")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


class Counting(socketserver.ThreadingTCPServer):
    """A proxy that passes connections through (CONNECT, RFC 9110) and counts the bytes that come back."""

    allow_reuse_address = daemon_threads = True
    received = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Tunnel(socketserver.StreamRequestHandler):
    server: Counting

    def handle(self) -> None:
        method, target, _ = self.rfile.readline().decode().split(" ", 2)
        while self.rfile.readline().strip():
            pass
        if method != "CONNECT":
            self.wfile.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with contextlib.suppress(ConnectionError):  # who has read enough of a file hangs up
                self.pass_on({self.connection: there, there: self.connection}, there)

    def pass_on(self, pairs: Mapping[socket.socket, socket.socket], there: socket.socket) -> None:
        while ready := select.select(list(pairs), [], [], 300)[0]:
            for one in ready:
                data = one.recv(1 << 16)
                if one is there:
                    self.server.received += len(data)
                if not data:
                    return
                pairs[one].sendall(data)


@pytest.fixture
def proxy() -> Iterator[Counting]:
    with Counting() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def run(folder: Path, *argv: str, **extra: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "envfix", *argv, "--json"],
        capture_output=True, text=True, cwd=folder, env={**os.environ, **extra}, timeout=1500,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


def with_cuda(folder: Path) -> dict[str, str]:
    """The variables of a machine with a T4, a toolkit and a cuDNN: NVIDIA's own libraries, headers and
    programs of CUDA 12.5, laid out as its installer does it."""
    wheels, cuda, cudnn = folder / "wheels", folder / "cuda-12.5", folder / "cudnn"
    argv = [uv.find_uv_bin(), "pip", "install", "-q", "--no-deps", "--target", str(wheels)]
    argv += ["--python", python_of("3.12"), *(f"{name}=={version}" for name, version in pins(TF).items())]
    subprocess.run(argv, check=True, timeout=900)
    for part in sorted(wheels.glob("nvidia/*")):
        if part.name != "nccl" and part.is_dir():  # NCCL is no part of a toolkit
            root = cudnn if part.name == "cudnn" else cuda
            lay_out(part / "lib", root / "lib64")
            lay_out(part / "include", root / "include")
    lay_out(wheels / "nvidia/cuda_nvcc/bin", cuda / "bin")
    (wheels / "nvidia/cuda_nvcc/nvvm").rename(cuda / "nvvm")
    shutil.rmtree(wheels)
    driver = stub.build(RealOutside(quiet=True))
    return {
        "CUDA_HOME": str(cuda),
        "LD_LIBRARY_PATH": f"{driver}:{cuda}/lib64:{cudnn}/lib64",
        "ENVFIX_STUB_GPUS": "Tesla T4|7.5|15360",
        "ENVFIX_STUB_DRIVER_RELEASE": "550.54.15",
    }


def lay_out(source: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*"):
        if path.is_file() and not (to / path.name).exists():
            path.rename(to / path.name)


def test_a_fitting_toolkit_spares_the_nvidia_wheels(folder: Path, proxy: Counting) -> None:
    machine = with_cuda(folder)
    code, answer, log = run(folder, "probe", **machine)
    assert code == 0, log
    assert answer["data"]["toolkit"] == {"version": "12.5", "path": machine["CUDA_HOME"]}
    assert answer["data"]["gpus"][0]["compute_capability"] == "7.5"
    counted = {"HTTPS_PROXY": proxy.url, "HTTP_PROXY": proxy.url, "UV_CACHE_DIR": str(folder / "uv-cache")}
    argv = ["install", "--cuda", "system", "--python", python_of("3.12"), "--venv", "env", *ASKED]
    # Not verified yet: here nothing could run the kernels of a proof on a GPU.
    code, answer, log = run(folder, *argv, "--no-verify", **machine, **counted)
    assert code == 0, log
    plan = answer["data"]["plan"]
    print(f"plan {plan['download_bytes']}, received {proxy.received}")
    assert not [one["name"] for one in plan["packages"] if one["name"].startswith("nvidia-")]
    assert plan["download_bytes"] < 800e6
    # Pages and certificates come on top of the files.
    assert plan["download_bytes"] <= proxy.received < plan["download_bytes"] * 1.1 + 20e6

    # Left to envfix, CUDA that is there and fits is used too.
    code, answer, log = run(folder, "install", *argv[3:], "--dry-run", "--upgrade", **machine, **counted)
    assert code == 0 and "nvidia" not in json.dumps(answer["data"]["plan"]), log

    code, answer, log = run(folder, "verify", "--machine", "colab-t4", "--venv", "env")
    assert code == 0 and answer["data"]["proof"] == "loader", log
    opened = {name: path for name, path in answer["data"]["libraries"].items() if "libcuda.so" not in name}
    assert {"libcudart.so.12", "libcublas.so.12", "libcusolver.so.11", "libcudnn.so.9"} <= opened.keys()
    strays = {name: path for name, path in opened.items() if not is_system(path, folder)}
    assert set(strays) <= {"libnvidia-ml.so.1"}, strays
    # The proof can fail: without envfix's library discovery nothing leads to that toolkit.
    code, answer, _ = run(folder, "verify", "--machine", "colab-t4", "--venv", "env", ENVFIX_LOADER="0")
    assert code == 6 and answer["data"]["proof"] is None


def is_system(path: str, folder: Path) -> bool:
    return path.startswith((f"{folder}/cuda-12.5/lib64/", f"{folder}/cudnn/lib64/"))


def nvidia(folder: Path) -> Sequence[str]:
    return sorted(
        path.name.split("-")[0] for path in folder.glob("lib/python3.12/site-packages/nvidia_*.dist-info")
    )


def test_a_minimal_environment_registers_the_gpu_and_a_plain_install_completes_it(folder: Path) -> None:
    argv = ["install", "--machine", "colab-t4", "--python", python_of("3.12"), "--venv", "env", *ASKED]
    code, answer, log = run(folder, *argv, "--minimal")
    assert code == 0 and answer["data"]["verification"]["proof"] == "loader", log
    left = {one["name"]: one for one in answer["data"]["plan"]["left_out"]}
    assert set(left) == {"nvidia-curand-cu12", "nvidia-nccl-cu12"}
    assert sum(one["size"] for one in left.values()) > 250e6
    assert not {"nvidia_curand_cu12", "nvidia_nccl_cu12"}.intersection(nvidia(folder / "env"))
    check = subprocess.run(
        [uv.find_uv_bin(), "pip", "check", "-p", "env"], cwd=folder, capture_output=True, text=True
    )
    assert check.returncode == 0, check.stderr
    code, answer, _ = run(folder, *argv, "--minimal", "--no-verify")
    assert code == 0 and answer["data"]["changed"] == []
    code, answer, log = run(folder, *argv)
    assert code == 0 and answer["data"]["verification"]["proof"] == "loader", log
    assert answer["data"]["changed"] == ["nvidia-curand-cu12", "nvidia-nccl-cu12"]
    # What is there is not taken away.
    code, answer, _ = run(folder, *argv, "--minimal", "--no-verify")
    assert code == 0 and answer["data"]["changed"] == [] and "left_out" not in answer["data"]["plan"]
