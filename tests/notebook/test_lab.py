"""JupyterLab and Notebook 7: the cell restarts the kernel, and what is behind it does not run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import UNAIDED
from tests.notebook.lab import TOKEN, Ground, ground, kernels, lab

pytestmark = pytest.mark.browser
WAIT = 60_000  # milliseconds


@pytest.fixture
def room(tmp_path_factory: pytest.TempPathFactory, byte_code: Path) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("lab"), byte_code) as made:
        yield made


@pytest.fixture(params=["jupyterlab", "notebook"])
def page(request: pytest.FixtureRequest, chromium: Any, room: Ground) -> Iterator[Any]:
    with lab(room, request.param) as address:
        context = chromium.new_context(viewport={"width": 1280, "height": 1000})
        shown = context.new_page()
        shown.set_default_timeout(WAIT)
        shown.program = request.param
        shown.notebooks = f"{address}{'lab/tree' if request.param == 'jupyterlab' else 'notebooks'}"
        yield shown
        context.close()


def open_notebook(page: Any, name: str) -> None:
    page.goto(f"{page.notebooks}/{name}?token={TOKEN}&reset")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.locator(".jp-Toolbar-kernelName", has_text="Changed").wait_for()
    # Behind this, JupyterLab is ready to run a cell.
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()


def menu(page: Any, *names: str) -> None:
    page.locator(".lm-MenuBar-itemLabel", has_text=names[0]).first.click()
    page.locator(".lm-Menu-itemLabel", has_text=names[1]).first.click()


def output(page: Any, at: int) -> str:
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(at)
    return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts())


def shoot(page: Any, name: str) -> None:
    folder = os.environ.get("ENVFIX_SHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")


def test_run_all_stops_at_the_cell_and_the_next_kernel_has_the_new_packages(page: Any, room: Ground) -> None:
    room.notebook(
        "work.ipynb",
        "import absl.held, os\nprint('first', os.getpid())",
        room.install("--restart", "auto"),
        "open('ran', 'a').write('x')\nimport tensorflow\nprint('now', tensorflow.__version__)",
    )
    open_notebook(page, "work.ipynb")
    menu(page, "Run", "Run All Cells")
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(1)
    cell.get_by_text("the Jupyter server starts the kernel anew").wait_for()
    before = kernels(room.folder)
    until_changed(page, room, before)
    # JupyterLab has taken back what it had queued: no cell waits for ever.
    page.locator(".jp-Dialog", has_text="Kernel Restarting").locator(".jp-mod-accept").click()
    shoot(page, f"{page.program}-restarted")
    assert page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts() == ["[1]:", "[ ]:", "[ ]:"]
    said = output(page, 1)
    assert f"tensorflow {UNAIDED}" in said and "run the cells from the top" in said
    assert said.index("done     ") < said.index("restart  now: ")
    assert TOKEN not in said and "\x1b" not in said and "Traceback" not in said
    assert not (room.folder / "ran").exists(), "the cell behind it ran with the old kernel"

    run_until(page, 2, f"now {UNAIDED}")
    shoot(page, f"{page.program}-after")


def test_nothing_behind_the_magics_restart_runs_in_the_kernel_that_ends(page: Any, room: Ground) -> None:
    behind = "open('ran', 'a').write('x')"
    room.notebook("restart.ipynb", "%load_ext envfix\nprint('loaded')", "%envfix restart", behind, behind)
    open_notebook(page, "restart.ipynb")
    before = kernels(room.folder)
    menu(page, "Run", "Run All Cells")
    until_changed(page, room, before)
    page.locator(".jp-Dialog", has_text="Kernel Restarting").locator(".jp-mod-accept").click()
    assert "the kernel restarts" in output(page, 1) and not (room.folder / "ran").exists()
    assert page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()[2:] == ["[ ]:", "[ ]:"]


def run_until(page: Any, at: int, text: str) -> None:
    """Run a cell until it shows `text`: JupyterLab drops what it is asked before it finds the new kernel."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(at)
    for _ in range(12):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        for _ in range(50):
            if text in output(page, at):
                return
            page.wait_for_timeout(100)
    raise AssertionError(f"cell {at} shows {output(page, at)!r} and not {text!r}")


def until_changed(page: Any, room: Ground, before: set[int]) -> None:
    for _ in range(300):
        now = kernels(room.folder)
        if now and not now & before:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the kernel was not restarted: {before}")
