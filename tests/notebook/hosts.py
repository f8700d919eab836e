"""Cells run in a kernel under a host of any name (`kernel_host`)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HOST = Path(__file__).with_name("kernel_host.py")


def run_cells(
    folder: Path, host: str, python: Path, cells: Sequence[str | None], env: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What each cell said and showed; `folder` is where the notebook is, and the host's program."""
    program = folder / host
    shutil.copy(HOST, program)
    done = subprocess.run(
        [sys.executable, program, python], input=json.dumps(cells), text=True, capture_output=True,
        timeout=500, env=env, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # A kernel that knows of no parent says first how to connect to it.
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers
