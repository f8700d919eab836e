"""nbclient and papermill start no kernel again: theirs is left alive, and that is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.lab import Ground, ground

pytestmark = pytest.mark.browser


@pytest.fixture
def room(tmp_path_factory: pytest.TempPathFactory, byte_code: Path) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("batch"), byte_code) as made:
        yield made


@pytest.mark.parametrize("program", ["papermill", "nbclient"])
def test_a_kernel_that_nobody_would_start_again_is_left_alive_and_that_is_said(
    room: Ground, program: str
) -> None:
    notebook = room.notebook(
        "run.ipynb",
        "import absl.held, os\nprint(os.getpid())",
        room.install("--restart", "auto"),
        "print(os.getpid())",
    )
    out = room.folder / "out.ipynb"
    argv = {
        "papermill": ["-m", "papermill", "--no-progress-bar", str(notebook), str(out)],
        "nbclient": [str(Path(sys.executable).with_name("jupyter-execute")), "--inplace", str(notebook)],
    }[program]
    done = subprocess.run(
        [sys.executable, *argv], env=room.env, cwd=room.folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((out if program == "papermill" else notebook).read_text())["cells"]
    first, said, last = ("".join("".join(o.get("text", "")) for o in cell["outputs"]) for cell in cells)
    assert first == last, "another kernel ran the last cell"
    assert "restart  needed: " in said and "not restarted by envfix: " in said
    assert "from start to end" in said.replace("\n", "") and "restart  now" not in said
