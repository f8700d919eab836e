"""`envfix` in a kernel of a root like Colab's or Kaggle's: the image's packages stay as they are, and a
kernel is ended only where another one comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environments import TF, UNAIDED
from tests.notebook.hosted import CONSTRAINTS, IMAGE_TF, SECRET, Image, hosted

pytestmark = pytest.mark.browser
INSTALL = "!envfix install --machine colab-t4 --yes --no-verify"
HELD = "import os, tensorflow; print(os.getpid(), tensorflow.__version__)"
INTERACTIVE, BATCH = ({"KAGGLE_KERNEL_RUN_TYPE": kind} for kind in ("Interactive", "Batch"))


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory, byte_code: Path) -> Iterator[Image]:
    with hosted(tmp_path_factory.mktemp("colab"), "colab", byte_code) as made:
        yield made


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory, byte_code: Path) -> Iterator[Image]:
    with hosted(tmp_path_factory.mktemp("kaggle"), "kaggle", byte_code) as made:
        yield made


def another(root: Image) -> tuple[str, str]:
    """The TensorFlow that is there, and one to install: tests that share a root take what they find."""
    there = root.installed()["tensorflow"]
    return there, next(one for one in (TF, UNAIDED) if one != there)


def moved(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """What was changed, but for TensorFlow's NVIDIA wheels."""
    both = {name: (before.get(name), after.get(name)) for name in {*before, *after}}
    return {name: pair for name, pair in both.items() if len({*pair}) > 1 and not name.startswith("nvidia-")}


def ends_well(said: str, *lines: str) -> None:
    """The last lines are the outcome, then the restart."""
    assert "\x1b" not in said and "Traceback" not in said and SECRET not in said
    last = [line.strip() for line in said.splitlines() if line.strip()][-len(lines) :]
    assert all(one.startswith(want) for one, want in zip(last, lines, strict=True)), said


def test_colab_the_kernel_is_ended_a_new_one_comes_and_no_pin_of_the_image_has_moved(colab: Image) -> None:
    before, (old, new) = colab.installed(), another(colab)
    held, install, now, checked, again = colab.run(
        "jupyter-server",
        HELD,
        f"{INSTALL} --tf {new} --with astunparse --restart auto",
        None,
        HELD,
        "!pip check",
        f"{INSTALL} --tf {new} --restart auto",
    )
    assert held["said"].split()[1] == old
    assert install["status"] == "dead"
    done = f"done     tensorflow {new} in {colab.python}: "
    ends_well(install["said"], done, "restart  now: ", "the kernel is ended, and another one comes up")
    assert now["said"].split()[1] == new and now["said"].split()[0] != held["said"].split()[0]
    assert "No broken requirements found" in checked["said"]
    # gast came new, in the version that the image's constraints allow, and not in its newest.
    come = {"tensorflow": (old, new), "astunparse": (None, "1.6.3"), "gast": (None, CONSTRAINTS["gast"])}
    assert moved(before, colab.installed()) == come
    assert colab.packages.match("usr/local/lib/python3.*/dist-packages")
    assert (colab.packages / f"tensorflow-{new}.dist-info").is_dir()
    kept = f"keep     tensorflow {new}"
    ends_well(again["said"], kept, "restart  not needed: the kernel that held", "envfix verify")


def test_colab_what_contradicts_the_images_constraints_is_named_and_nothing_is_changed(colab: Image) -> None:
    before, (old, new) = colab.installed(), another(colab)
    file = colab.constrain(tensorflow=IMAGE_TF)
    conflict, kernels, unchanged, absent = colab.run(
        "jupyter-server",
        f"{INSTALL} --tf {new}",
        f"{INSTALL} --tf {new} --with ipykernel==1.0",
        "import importlib.metadata; print(importlib.metadata.version('tensorflow'))",
        # As Colab's own variables were for some weeks.
        f"!UV_CONSTRAINT=/nowhere/a UV_BUILD_CONSTRAINT=/nowhere/b PIP_CONSTRAINT= {INSTALL[1:]} --tf {new}",
    )
    colab.constrain()
    said = conflict["said"]
    assert f"`tensorflow=={IMAGE_TF}` stands in the constraints file `{file}`" in said
    assert "begin the command with: PIP_CONSTRAINT= UV_CONSTRAINT=" in said
    assert "keeps the notebook's kernel alive, so that an install never changes it" in kernels["said"]
    assert unchanged["said"].strip() == old
    assert "warning: UV_CONSTRAINT: no file `/nowhere/a` is here" in absent["said"]
    assert f"done     tensorflow {new}" in absent["said"]
    assert moved(before, colab.installed()) == {"tensorflow": (old, new)}


def test_kaggle_ends_the_kernel_of_its_editor_and_the_magic_goes_on(kaggle: Image) -> None:
    before, (old, new) = kaggle.installed(), another(kaggle)
    held, install, now, magic, last, back = kaggle.run(
        "jupyter-lab",
        HELD,
        f"{INSTALL} --tf {new} --restart auto",
        None,
        HELD,
        f"%load_ext envfix\n%{INSTALL[1:]} --tf {IMAGE_TF} --restart auto\nopen('ran', 'w')",
        None,
        HELD,
        "%load_ext envfix",
        **INTERACTIVE,
    )
    assert install["status"] == "dead"
    done = f"done     tensorflow {new} in {kaggle.python}: "
    ends_well(install["said"], done, "restart  now: ", "the kernel is ended, and another one comes up")
    assert magic["error"]["ename"] == "RestartNeeded", magic
    assert "the kernel restarts" in magic["error"]["evalue"]
    assert f"tensorflow {new} ({IMAGE_TF} is installed)" in magic["error"]["evalue"]
    assert not (kaggle.work / "ran").exists() and SECRET not in str(magic)
    assert [one["said"].split()[1] for one in (held, now, last)] == [old, new, IMAGE_TF]
    assert len({one["said"].split()[0] for one in (held, now, last)}) == 3
    assert f"the kernel was restarted after tensorflow {IMAGE_TF} was installed: verifying" in back["said"]
    assert set(moved(before, kaggle.installed())) <= {"tensorflow"}
    assert list((kaggle.folder / "kaggle/input").iterdir()) == []


def test_kaggle_leaves_the_kernel_of_a_run_from_start_to_end_alive(kaggle: Image) -> None:
    _, new = another(kaggle)
    # The program behind a batch is not known: even under a server the run would end with its kernel.
    held, install, magic, now = kaggle.run(
        "jupyter-lab",
        HELD,
        f"{INSTALL} --tf {new} --restart auto",
        "%load_ext envfix\n%envfix restart",
        HELD,
        **BATCH,
    )
    assert install["status"] == "ok" and now["said"] == held["said"]
    done = f"done     tensorflow {new} in {kaggle.python}: "
    why = "not restarted by envfix: Kaggle runs this notebook from start to end, and a kernel that"
    assert (
        done in install["said"] and "`%envfix install` in the first cell need no restart" in install["said"]
    )
    ends_well(install["said"], why, *(["the cells behind"] if "restart  needed" in install["said"] else []))
    assert "Kaggle runs this notebook from start to end" in magic["error"]["evalue"]
