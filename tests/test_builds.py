"""What a text tells against what the TensorFlow release it names was built with."""

from __future__ import annotations

import pytest

from envfix.diagnose import catalogue
from envfix.diagnose.builds import compared, serves
from envfix.diagnose.document import Document
from envfix.diagnose.told import read
from envfix.matrix import load
from envfix.model.diagnosis import Catalogue
from envfix.model.machine import Arch, Os
from envfix.system.outside import RealOutside


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return catalogue.load(RealOutside(), load.matrix_dir())


def test_the_builds_say_what_the_matrix_says(known: Catalogue) -> None:
    matrix = load.load(RealOutside(), load.matrix_dir())
    rows = {row.tensorflow: row for row in known.builds}
    for release in matrix.releases:
        row = rows.pop(".".join(str(release.version).split(".")[:2]), None)
        if row is None:
            continue
        pythons = [
            python
            for wheel in release.wheels
            if wheel.os is Os.LINUX and wheel.arch is Arch.X86_64
            for python in wheel.python
        ]
        assert str(release.built_with_cuda).startswith(row.cuda)
        assert (min(pythons), max(pythons)) == row.pythons
        assert str(row.driver) == next(
            each.linux for each in matrix.cuda.drivers if each.major == int(row.cuda[:2])
        )
    assert all(name.startswith("1.") or name < "2.4" for name in rows)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("TensorFlow version: 2.1.0, CUDA/cuDNN version: 10.2.89", "toolkit-not-of-the-release"),
        ("TensorFlow version: 2.1.0, CUDA/cuDNN version: 10.1", "toolkit-of-the-release"),
        ("tensorflow 2.16.1 with CUDA 12.5", "toolkit-of-the-release"),
        ("tensorflow 2.12.0 with CUDA 12.5", "toolkit-not-of-the-release"),
        ("pip install tensorflow==2.3.0 under Python 3.9", "python-not-of-the-release"),
        ("tensorflow 2.15.0, driver 470.82.01", "driver-below-the-release"),
    ],
)
def test_a_release_that_is_named_is_compared(text: str, shown: str, known: Catalogue) -> None:
    assert shown in read(Document(text), known).markers


@pytest.mark.parametrize(
    "text",
    ["tensorflow 2.3.0 under Python 3.8", "tensorflow 9.9.0 with CUDA 12.5", "CUDA 10.2", "Python 3.9"],
)
def test_what_fits_or_is_unknown_shows_nothing(text: str, known: Catalogue) -> None:
    assert not {
        "toolkit-not-of-the-release",
        "python-not-of-the-release",
        "driver-below-the-release",
    } & set(read(Document(text), known).markers)


def test_nothing_is_compared_without_a_release(known: Catalogue) -> None:
    assert compared({"python": [{"value": "3.2"}]}, known.builds) == []


def test_a_soname_carries_the_minor_up_to_cuda_10() -> None:
    assert not serves("10.2", "10.1")
    assert serves("11.8", "11.2")
    assert serves("11", "11.2")
