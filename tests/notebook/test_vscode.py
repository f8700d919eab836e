"""A kernel as VS Code runs one: started by itself, without a server, watched, and not started again.

What a kernel that dies means there: it is said, and the next cell that is run asks whether to restart it
(github.com/microsoft/vscode-jupyter/issues/5487). So nothing may end the kernel but the user.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environments import TF, UNAIDED
from tests.notebook.lab import Ground, ground

pytestmark = pytest.mark.browser
CLICK = "click Restart above the notebook, then run the cells from the top"
PID = "import os; print(os.getpid())"
NOW = "import tensorflow; print(tensorflow.__version__)"
ENVFIX = f"!{sys.executable} -m envfix"


@pytest.fixture
def room(tmp_path_factory: pytest.TempPathFactory, byte_code: Path) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("code"), byte_code) as made:
        yield made


@pytest.mark.parametrize("where", ["desktop", "remote"])
def test_the_kernel_is_left_alive_and_what_is_owed_is_said_after_the_users_restart(
    room: Ground, where: str
) -> None:
    desktop = {"VSCODE_PID": "4711"} if where == "desktop" else {}
    probe, install, first, last, report, now = room.run(
        "node",
        f"{ENVFIX} probe",
        f"import absl.held\n{room.install('--restart', 'auto')}",
        PID,
        None,
        PID,
        f"{ENVFIX} report --offline --machine colab-t4 --python {room.python}",
        NOW,
        **desktop,
    )
    assert "platform   vscode" in probe["said"]
    said = install["said"]
    assert said.index(f"done     tensorflow {UNAIDED} in {room.python}") < said.index("restart  needed: ")
    assert CLICK in said and "not restarted by envfix: VS Code runs this kernel itself" in said
    assert "WARNING" not in said and "\x1b" not in said
    assert first["status"] == "ok" and first["said"] != last["said"]
    assert (
        f"the kernel was restarted after tensorflow {UNAIDED} was installed: `envfix verify --python "
        in report["said"]
    )
    assert now["said"].strip() == UNAIDED


def test_the_magic_stops_the_cell_refuses_to_end_the_kernel_and_goes_on_after_the_restart(
    room: Ground,
) -> None:
    install = f"%envfix install --machine colab-t4 --tf {TF} --yes --no-verify --restart auto"
    held, cell, refused, first, last, back, now = room.run(
        "node",
        f"import absl.held\n{room.install('--tf', '2.19.1')}\nimport tensorflow",
        f"%load_ext envfix\n{install}\nopen('ran', 'w')",
        "%envfix restart",
        PID,
        None,
        PID,
        "%load_ext envfix",
        NOW,
    )
    assert held["status"] == "ok", held
    assert cell["error"]["ename"] == "RestartNeeded" and not (room.folder / "ran").exists()
    assert CLICK in "\n".join(cell["error"]["traceback"]) and "%envfix restart" not in str(cell["error"])
    assert refused["status"] == "error" and "so the kernel is left running" in refused["error"]["evalue"]
    assert CLICK in "\n".join(refused["error"]["traceback"])
    assert first["status"] == "ok" and first["said"] != last["said"]
    assert f"the kernel was restarted after tensorflow {TF} was installed: verifying" in back["said"]
    assert now["said"].strip() == TF


def test_another_interpreter_than_the_kernels_is_said(room: Ground) -> None:
    (said,) = room.run("node", room.install("--venv", "demo").replace(f"--python {room.python} ", ""))
    other = room.folder / "demo/bin/python"
    assert f"WARNING  this notebook runs {room.python}, not {other}" in said["said"], said["said"]
    assert f"envfix install --python {room.python}" in said["said"]
