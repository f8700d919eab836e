"""METADATA of a release's wheels by Python, joined into one list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from envfix.matrix.metadata import read_requirements
from envfix.model.versions import PythonRelease


def metadata(*requires: str) -> str:
    lines = [f"Requires-Dist: {one}" for one in requires]
    return "\n".join(["Metadata-Version: 2.1", "Name: tensorflow", *lines, "", "Requires-Dist: prose>=1"])


def joined(**texts: str) -> tuple[str, ...]:
    """By Python: `py312` is 3.12."""
    return read_requirements({PythonRelease(f"3.{name[3:]}"): text for name, text in texts.items()}).plain


def test_wheels_that_agree_give_one_list_as_it_stands() -> None:
    same = metadata("numpy>=1.26.0", "h5py>=3.11.0", "numpy<3")
    assert joined(py312=same, py310=same, py311=same) == ("numpy>=1.26.0", "h5py>=3.11.0", "numpy<3")


def test_a_line_that_stands_twice_counts_once() -> None:
    assert joined(py312=metadata("six", "numpy>=1", "six"), py311=metadata("six", "numpy>=1")) == (
        "six",
        "numpy>=1",
    )


def test_what_one_python_requires_otherwise_gets_a_marker() -> None:
    # 2.22.0rc0: h5py<3.15.0 up to Python 3.13, h5py~=3.15.1 for 3.14.
    old = metadata("numpy>=1.26.0", "h5py<3.15.0,>=3.11.0", "six>=1.12.0")
    new = metadata("numpy>=1.26.0", "h5py~=3.15.1", "six>=1.12.0")
    assert joined(py312=old, py313=old, py314=new) == (
        "numpy>=1.26.0",
        'h5py<3.15.0,>=3.11.0; python_version < "3.14"',
        'h5py~=3.15.1; python_version >= "3.14"',
        "six>=1.12.0",
    )


def test_a_marker_that_is_there_is_kept_beside_the_new_one() -> None:
    texts = joined(py310=metadata("a>=1; sys_platform == 'linux' or os_name == 'nt'"), py311=metadata())
    assert texts == ('a>=1; (sys_platform == "linux" or os_name == "nt") and python_version < "3.11"',)


def test_the_extra_for_nvidias_wheels_is_and_cuda_or_what_stands_in_its_place() -> None:
    both = metadata(
        "nvidia_cudnn_cu12<10.0,>=9.3.0.75; extra == 'and-cuda'",
        "nvidia-cudnn-cu13>=9; extra == 'cuda13'",
        "something>=1; extra == 'gcs-filesystem'",
    )
    assert read_requirements({PythonRelease("3.12"): both}).cuda == ("nvidia-cudnn-cu12<10.0,>=9.3.0.75",)
    later = both.replace("'and-cuda'", "'cuda12-local'")
    assert read_requirements({PythonRelease("3.12"): later}).cuda == ("nvidia-cudnn-cu13>=9",)
    assert read_requirements({PythonRelease("3.12"): metadata("a")}).cuda == ()


def test_lines_that_are_no_requirement_and_the_description_are_left_out() -> None:
    assert joined(py38=metadata("numpy (>=1.20)", "not a requirement at all", "six")) == (
        "numpy>=1.20",
        "six",
    )


@given(st.dictionaries(st.integers(6, 15), st.lists(st.sampled_from("abcde"), unique=True), min_size=1))
def test_each_python_gets_back_exactly_its_own_list(lists: dict[int, list[str]]) -> None:
    texts = {PythonRelease(f"3.{minor}"): metadata(*names) for minor, names in lists.items()}
    whole = [Requirement(text) for text in read_requirements(texts).plain]
    for minor, names in lists.items():
        environment = {"python_version": f"3.{minor}"}
        got = [one.name for one in whole if one.marker is None or one.marker.evaluate(environment)]
        assert sorted(got) == sorted(names)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    read_requirements({PythonRelease("3.12"): text, PythonRelease("3.13"): f"Requires-Dist: {text}"})
