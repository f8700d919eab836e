"""Real TensorFlow in the kernel of a root like Colab's: install, restart, proof, with the image's pins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.hosted import Image, bare

pytestmark = pytest.mark.live
# As the image of 2026-05 has them; TensorFlow 2.20 wants a newer absl-py, and takes the others.
PINS = {"numpy": "2.0.2", "protobuf": "5.29.5"}
OLD = "absl-py==0.15.0"


@pytest.fixture
def colab(tmp_path: Path) -> Iterator[Image]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    made = bare(tmp_path / "colab", "colab", env)
    made.constrain(**PINS)
    made.install(os.environ, OLD, *(f"{name}=={version}" for name, version in PINS.items()))
    yield made
    shutil.rmtree(made.folder, ignore_errors=True)


def test_one_line_one_restart_and_the_proof_that_was_owed(colab: Image) -> None:
    before = colab.installed()
    install, back, works, checked = colab.run(
        "jupyter-server",
        "import absl.flags, numpy\n!envfix install --accelerator cpu --tf 2.20.0 --yes --restart auto",
        None,
        "%load_ext envfix",
        "import numpy, tensorflow as tf\n"
        "print(tf.__version__, numpy.__version__, float(tf.reduce_sum(tf.ones((3, 3)))))",
        "!pip check",
    )
    assert install["status"] == "dead" and "proof    cpu" in install["said"], install["said"]
    done, now = (install["said"].index(word) for word in ("done     tensorflow 2.20.0", "restart  now: "))
    assert done < now
    assert "the kernel was restarted after tensorflow 2.20.0 was installed: verifying" in back["said"]
    shown = back["shown"][0]["text/plain"]
    assert "restart  done: the kernel that held the old libraries has ended" in shown, shown
    assert works["said"].split() == ["2.20.0", PINS["numpy"], "9.0"]
    assert "No broken requirements found" in checked["said"]
    after = colab.installed()
    assert {name for name, version in before.items() if after.get(name) != version} == {"absl-py"}
