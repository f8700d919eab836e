"""Proofs: the pins they were made with, which are still to be made, and the table in the README."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from packaging.version import Version

from envfix.errors import MatrixError
from envfix.matrix import load
from envfix.matrix.proofs import (
    BEGIN,
    END,
    is_proven,
    pins_digest,
    table,
    to_prove,
    with_proof,
    with_table,
)
from envfix.model.machine import Arch, Os
from envfix.model.matrix import LoaderProof, Release, WheelSet
from envfix.model.versions import GlibcRelease, PythonRelease
from tests import shipped

PINS = "ab" * 32


def proof(python: str = "3.12", **values: object) -> LoaderProof:
    whole = LoaderProof(
        date="2026-11-23",
        python=PythonRelease(python),
        registers_as_published=False,
        registers_with_envfix=True,
        pins=PINS,
        missing_as_published=("libcusolver.so.11",),
        missing_with_envfix=(),
    )
    return structs.replace(whole, **values)


def release(version: str, *pythons: str, proofs: tuple[LoaderProof, ...] = ()) -> Release:
    wheels = WheelSet(
        os=Os.LINUX,
        arch=Arch.X86_64,
        python=tuple(map(PythonRelease, pythons)),
        cuda=True,
        size=1,
        glibc=GlibcRelease("2.17"),
    )
    return Release(version=Version(version), wheels=(wheels,), proofs=proofs)


@given(st.dictionaries(st.text("abc-", min_size=1), st.sampled_from(["1.0", "2.0"])))
def test_the_digest_is_of_the_sorted_lines(pins: dict[str, str]) -> None:
    text = "".join(sorted(f"{name}=={version}\n" for name, version in pins.items()))
    backwards = list(pins.items())[::-1]
    assert pins_digest(backwards) == pins_digest(pins.items()) == hashlib.sha256(text.encode()).hexdigest()


def test_the_newest_three_are_proven_on_every_python_and_the_others_on_their_newest() -> None:
    rows = [
        release("2.7.0", "3.10"),
        release("2.8.0", "3.7", "3.10"),
        release("2.19.1", "3.9", "3.12"),
        release("2.20.0", "3.9", "3.13"),
        release("2.21.0", "3.10", "3.14"),
        release("2.22.0rc0", "3.12"),
    ]
    pairs = to_prove(rows, map(PythonRelease, ("3.7", "3.9", "3.10", "3.12", "3.13")))
    assert [(str(row.version), str(python)) for row, python in pairs] == [
        ("2.21.0", "3.10"),
        ("2.20.0", "3.13"),
        ("2.20.0", "3.9"),
        ("2.19.1", "3.12"),
        ("2.19.1", "3.9"),
        ("2.8.0", "3.10"),
    ]


def test_only_a_cuda_build_for_linux_is_proven() -> None:
    row = release("2.21.0", "3.12")
    cpu = structs.replace(row, wheels=(structs.replace(row.wheels[0], cuda=False),))
    arm = structs.replace(row, wheels=(structs.replace(row.wheels[0], arch=Arch.AARCH64),))
    assert to_prove([cpu], [PythonRelease("3.12")]) == to_prove([arm], [PythonRelease("3.12")]) == ()


def test_the_same_pins_on_the_same_python_are_proven_once() -> None:
    row = release("2.21.0", "3.12", proofs=(proof(registers_with_envfix=False),))
    assert is_proven(row, PythonRelease("3.12"), PINS)
    assert not is_proven(row, PythonRelease("3.12"), "cd" * 32)
    assert not is_proven(row, PythonRelease("3.13"), PINS)
    old = release("2.21.0", "3.12", proofs=(proof(pins=""),))
    assert not is_proven(old, PythonRelease("3.12"), PINS)


def test_a_proof_takes_the_place_of_the_older_one_for_its_python() -> None:
    rows = [release("2.20.0", "3.12"), release("2.21.0", "3.12", proofs=(proof("3.13"), proof("3.9")))]
    new = proof("3.13", date="2026-12-01")
    first, second = with_proof(rows, "tensorflow", Version("2.21.0"), new)
    assert first.proofs == () and second.proofs == (proof("3.9"), new)
    assert with_proof(rows, "tensorflow-cuda13", Version("2.21.0"), new) == tuple(rows)


def test_the_table_says_what_is_missing_and_tells_not_recorded_from_nothing() -> None:
    old = proof("3.11", registers_as_published=None, missing_as_published=None, missing_with_envfix=None)
    rows = [
        release(
            "2.9.0", "3.10", proofs=(proof("3.10", registers_as_published=True, missing_as_published=()),)
        ),
        release("2.21.0", "3.11", proofs=(old, proof(missing_with_envfix=("libcupti.so.12",)))),
    ]
    assert table(rows).splitlines()[2:] == [
        "| 2.21.0 | 3.11 | not measured | registers | not recorded | 2026-11-23 |",
        "| 2.21.0 | 3.12 | **no GPU** | registers | `libcusolver.so.11`; with envfix still `libcupti.so.12` "
        "| 2026-11-23 |",
        "| 2.9.0 | 3.10 | registers | registers | none | 2026-11-23 |",
    ]


def test_the_table_goes_between_its_markers_and_nowhere_else() -> None:
    text = f"# Title\n{BEGIN}\nold\n{END}\nafter\n"
    once = with_table(text, "new")
    assert once == f"# Title\n{BEGIN}\nnew\n{END}\nafter\n" == with_table(once, "new")
    for broken in ("nothing", BEGIN, f"{END}{BEGIN}", f"{text}{text}"):
        with pytest.raises(MatrixError, match=r"README\.md"):
            with_table(broken, "new")


def test_the_shipped_table_is_that_of_the_shipped_rows() -> None:
    text = (Path(load.matrix_dir()) / "README.md").read_text()
    assert with_table(text, table(shipped.whole().releases)) == text
