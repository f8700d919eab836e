"""Dotted numbers: peers compared drivers as text and lost 12.10 to a float; these may not."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envfix.errors import InputError
from envfix.model.machine import Machine
from envfix.model.versions import ComputeCapability, CudaRelease, Dotted, DriverCuda, DriverRelease
from envfix.reading import convert, parse_json, parse_yaml, to_plain


def test_drivers_compare_by_numbers_and_keep_their_text() -> None:
    assert DriverRelease("535.104.05") > DriverRelease("535.54.03")
    assert str(DriverRelease("535.104.05")) == "535.104.05"
    assert CudaRelease("12.10") > CudaRelease("12.9")
    assert CudaRelease("12.0") == CudaRelease("12") and hash(CudaRelease("12.0")) == hash(CudaRelease("12"))


def test_a_driver_release_cannot_be_compared_with_a_drivers_cuda() -> None:
    with pytest.raises(TypeError):
        _ = DriverRelease("550.54.15") < DriverCuda("12.4")  # type: ignore[operator]
    assert DriverRelease("12.4") != DriverCuda("12.4")


@pytest.mark.parametrize(
    "text", ["", "12.", "12.x", "v12", "-1", "1..2", " 12", "12\n", "٣", "1.2.3.4.5.6.7"]
)
def test_what_is_not_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Dotted(text)


@pytest.mark.parametrize(
    ("arch", "capability"),
    [("sm_75", "7.5"), ("compute_90", "9.0"), ("sm_90a", "9.0"), ("sm_120", "12.0"), ("35", "3.5")],
)
def test_architectures(arch: str, capability: str) -> None:
    assert ComputeCapability.from_arch(arch) == ComputeCapability(capability)


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=4),
    st.lists(st.integers(0, 999), min_size=1, max_size=4),
)
def test_order_is_that_of_the_padded_numbers(left: list[int], right: list[int]) -> None:
    one, two = (CudaRelease(".".join(map(str, numbers))) for numbers in (left, right))
    pad = max(len(left), len(right))
    padded = [numbers + [0] * (pad - len(numbers)) for numbers in (left, right)]
    assert (one < two) == (padded[0] < padded[1])
    assert (one == two) == (padded[0] == padded[1])
    assert pickle.loads(pickle.dumps(one)) == one


def test_yaml_loses_no_zero() -> None:
    text = "driver: {release: 550.54.15, cuda: 12.10}\nglibc: 2.30\ngpus: [{compute_capability: 9.0}]"
    machine = convert(parse_yaml(text, "m.yaml"), Machine, "m.yaml")
    assert to_plain(machine)["driver"] == {"release": "550.54.15", "cuda": "12.10"}
    assert str(machine.glibc) == "2.30"
    again = convert(parse_json('{"driver": {"cuda": 12.10}}', "m.json"), Machine, "m.json")
    assert to_plain(again) == {"driver": {"cuda": "12.10"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpus: [{memory_mib: lots}]", "m.yaml: gpus[0].memory_mib: expected `int`, got `str`"),
        ("gpuz: []", "m.yaml: object contains unknown field `gpuz`"),
        ("driver: {release: five}", "m.yaml: driver.release: expected numbers joined by dots, found `five`"),
        ("glibc: '2.35\nos: linux", "m.yaml:2: not valid YAML"),
        ("os: beos", "m.yaml: os: invalid enum value 'beos'"),
        ("os: linux\nos: linux", "m.yaml:2: not valid YAML: the key `os` stands twice"),
        ("gpus: &a [{}]\ninstalled: {x: *a}", "anchors and aliases are not allowed"),
        ("os: !!python/object/apply:os.system [id]", "not valid YAML"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 100_000, "nested too deeply"),
        ("\x00", "not valid YAML"),
    ],
)
def test_bad_yaml_names_place_and_value(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        convert(parse_yaml(text, "m.yaml"), Machine, "m.yaml")
    assert message in caught.value.message


@given(st.text(max_size=80))
def test_no_text_makes_the_readers_raise_anything_else(text: str) -> None:
    for parse in (parse_yaml, parse_json):
        try:
            convert(parse(text, "f"), Machine, "f")
        except InputError as problem:
            assert "\n" not in problem.message
