"""The magic in a real kernel, over the kernel protocol: install, stop, restart, go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.environments import TF, user
from tests.index_server import IndexServer
from tests.notebook.hosts import run_cells

pytestmark = pytest.mark.browser

LOADED = "%load_ext envfix"
VERSION = "import tensorflow; tensorflow.__version__"


def install(version: str) -> str:
    return f"%envfix install --machine colab-t4 --tf {version} --no-verify --yes"


@pytest.fixture
def notebook(index: IndexServer, parsed: Path, byte_code: Path, tmp_path: Path) -> Any:
    """Runs cells in a kernel of an environment of its own, under a host of that name."""
    pytest.importorskip("ipykernel")
    kernel = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", kernel], check=True)
    site = next(kernel.glob("lib/python*/site-packages"))
    # What runs these tests is seen from the kernel, and is not the kernel's own.
    paths = [str(Path(__file__).parents[2]), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "seen.pth").write_text("\n".join(paths) + "\n")
    shutil.copytree(parsed, tmp_path / "cache")

    def run(host: str, *cells: str | None) -> list[dict[str, Any]]:
        env = {**user(tmp_path, index, byte_code), "IPYTHONDIR": str(tmp_path / "ipython")}
        return run_cells(tmp_path, host, kernel / "bin/python", cells, env)

    return run


def test_an_install_is_taken_at_once_and_the_next_one_stops_until_the_restart(notebook: Any) -> None:
    first, early, second, stopped, checks, restart, after = notebook(
        "jupyter-lab",
        f"{LOADED}\n{install('2.19.1')}",
        f"import sys; assert '_envfix_loader' in sys.modules; {VERSION}",
        install(TF),
        "_exit_code",
        "r = %envfix verify\n[one for one in r.checks if one['name'] == 'notebook kernel'][0]['observed']",
        "%envfix restart",
        None,
        VERSION,
    )
    assert first["status"] == "ok", first
    assert "resolving" in first["said"] and "not needed" in first["shown"][0]["text/plain"]
    assert "text/html" in first["shown"][0]
    assert early["shown"][0]["text/plain"] == "'2.19.1'"
    assert second["status"] == "error" and second["error"]["ename"] == "RestartNeeded", second
    told = "\n".join(second["error"]["traceback"])
    assert "restart the kernel before you go on" in told and "%envfix restart" in told
    assert f"tensorflow 2.19.1 ({TF} is installed)" in told and "Traceback" not in told
    assert stopped["shown"][0]["text/plain"] == "0"
    assert f"holds tensorflow 2.19.1 ({TF} is installed)" in checks["shown"][0]["text/plain"]
    assert restart["status"] == "ok" and "the kernel restarts" in restart["said"]
    assert after["shown"][0]["text/plain"] == f"'{TF}'"


def test_the_magic_restarts_the_kernel_itself_where_it_is_told_to(notebook: Any) -> None:
    first, _, second, after = notebook(
        "jupyter-lab",
        f"{LOADED}\n{install('2.19.1')}",
        VERSION,
        f"{install(TF)} --restart auto",
        None,
        VERSION,
    )
    assert first["status"] == "ok", first
    assert second["error"]["ename"] == "RestartNeeded" and "the kernel restarts" in second["error"]["evalue"]
    assert after["shown"][0]["text/plain"] == f"'{TF}'"


def test_what_another_notebook_has_replaced_stops_this_one_too(notebook: Any, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    again = f"-m envfix {install(TF).removeprefix('%envfix ')} --python"
    # By a program that is no child of this kernel any more, as another notebook's is none.
    elsewhere = [
        "import os, subprocess, sys, time",
        f"script = f'{{sys.executable}} {again} {{sys.executable}}; touch {ended}'",
        "subprocess.run(['env', '-u', 'JPY_PARENT_PID', 'setsid', '--fork', 'sh', '-c', script])",
        f"while not os.path.exists({str(ended)!r}): time.sleep(0.1)",
    ]
    first, _, _, stopped = notebook(
        "jupyter-lab", f"{LOADED}\n{install('2.19.1')}", VERSION, "\n".join(elsewhere), install(TF)
    )
    assert first["status"] == "ok", first
    assert stopped["error"] and stopped["error"]["ename"] == "RestartNeeded", stopped
    assert f"the kernel holds tensorflow 2.19.1 ({TF} is installed)" in stopped["error"]["evalue"]
    assert "nothing was changed" in stopped["shown"][0]["text/plain"]


def test_a_kernel_that_nothing_watches_is_left_alone(notebook: Any) -> None:
    refused, after = notebook("papermill", f"{LOADED}\nkept = 1\n%envfix restart", "kept")
    assert refused["status"] == "error" and "from start to end" in refused["error"]["evalue"]
    assert after["shown"][0]["text/plain"] == "1"


def test_an_interrupted_install_is_put_back(notebook: Any, index: IndexServer, tmp_path: Path) -> None:
    """The index stalls; the cell is interrupted as a notebook does it, by a signal to the kernel."""
    index.faults["tensorflow/"] = "stall"
    try:
        interrupt = (
            "import os, signal, threading; threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()"
        )
        cut, code = notebook("jupyter-lab", f"{LOADED}\n{interrupt}\n{install(TF)}", "_exit_code")
    finally:
        index.faults.clear()
    assert cut["error"]["traceback"] == ["error: interrupted"] and code["shown"][0]["text/plain"] == "130"
    assert not list(tmp_path.glob("env/lib/python*/site-packages/tensorflow*"))
