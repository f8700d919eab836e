"""A kernel's environment with a small index beside it, and a Jupyter server on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.environments import UNAIDED, user, wheels
from tests.index_server import IndexServer, build_wheel, serving
from tests.notebook.hosts import run_cells

TOKEN = "b7d1f3-token-of-this-test"
ROOT = Path(__file__).parents[2]
# What a notebook holds that an install replaces.
OLD = build_wheel("absl-py", "2.0.0", modules={"absl/__init__.py": "", "absl/held.py": "it = 1\n"})


@dataclass
class Ground:
    """`python` is the kernel's interpreter, whose environment envfix changes; `env` what Jupyter runs in."""

    folder: Path
    python: Path
    env: dict[str, str]

    def install(self, *more: str) -> str:
        """The cell."""
        words = [sys.executable, "-m", "envfix", "install", "--machine", "colab-t4", "--yes", "--no-verify"]
        return "!" + " ".join([*words, "--tf", UNAIDED, "--python", str(self.python), *more])

    def run(self, host: str, *cells: str | None, **env: str) -> list[dict[str, Any]]:
        """The cells' answers, in the kernel under a host of that name."""
        return run_cells(self.folder, host, self.python, cells, self.env | env)

    def notebook(self, name: str, *cells: str) -> Path:
        made = {
            "cells": [
                {"cell_type": "code", "id": f"c{at}", "metadata": {}, "source": cell, "outputs": [],
                 "execution_count": None}
                for at, cell in enumerate(cells)
            ],
            "metadata": {"kernelspec": {"name": "changed", "display_name": "Changed", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }  # fmt: skip
        path = self.folder / name
        path.write_text(json.dumps(made))
        return path


@contextmanager
def ground(folder: Path, byte_code: Path) -> Iterator[Ground]:
    """A virtual environment that is a kernel, in which the old packages are; gone when the block ends."""
    with serving(*wheels(), OLD) as index:
        made = _made(folder, index, byte_code)
        try:
            yield made
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _made(folder: Path, index: IndexServer, byte_code: Path) -> Ground:
    env = user(folder, index, byte_code) | {
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": str(ROOT),
    }
    env.pop("JUPYTER_TOKEN", None)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "kernel"], check=True, timeout=60)
    python = folder / "kernel" / "bin" / "python"
    site = next((folder / "kernel").glob("lib/python*/site-packages"))
    # The kernel itself is that of the tests' own environment, found last: envfix is to change this one alone.
    own = next(path for path in sys.path if (Path(path) / "ipykernel").is_dir())
    (site / "kernel.pth").write_text(f"{own}\n")
    subprocess.run(
        ["uv", "pip", "install", "--python", python, "--no-deps", "absl-py==2.0.0"],
        check=True, env=env | {"UV_INDEX_URL": index.simple}, capture_output=True, timeout=60,
    )  # fmt: skip
    spec = folder / "data" / "kernels" / "changed"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Changed", "language": "python"})
    )
    return Ground(folder, python, env)


@contextmanager
def lab(ground: Ground, program: str = "jupyterlab") -> Iterator[str]:
    """The address of JupyterLab, or of Notebook 7 (`notebook`), without a token in it."""
    options = ["--ServerApp.base_url=/some/where/", "--LabApp.news_url="]
    with server(ground, program, *options, JUPYTER_TOKEN=TOKEN) as address:
        yield address


@contextmanager
def server(ground: Ground, program: str, *options: str, **env: str) -> Iterator[str]:
    """The address of a Jupyter server that is run as `python -m PROGRAM`."""
    log = (ground.folder / "server.log").open("wb")
    argv = [sys.executable, "-m", program, "--no-browser", "--allow-root"]
    argv += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", *options]
    server = subprocess.Popen(argv, cwd=ground.folder, env=ground.env | env, stdout=log, stderr=log)
    try:
        yield _address(ground, server)
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _address(ground: Ground, server: subprocess.Popen[bytes]) -> str:
    info = ground.folder / "runtime" / f"jpserver-{server.pid}.json"
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        if info.exists() and info.stat().st_size:
            url = str(json.loads(info.read_text())["url"])
            return url
        time.sleep(0.1)
    raise AssertionError((ground.folder / "server.log").read_text()[-3000:])


def kernels(folder: Path) -> set[int]:
    """The processes that run a kernel of the environment in the folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if command[0].startswith(str(folder)) and "ipykernel_launcher" in command:
                found.add(int(entry.name))
    return found - {os.getpid()}
