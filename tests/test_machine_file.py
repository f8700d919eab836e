"""Machines by name and by file: the shipped ones, and every way in which a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from envfix.errors import InputError
from envfix.model.machine import Arch, Driver, Machine, Os, Platform, known
from envfix.model.versions import DriverCuda, DriverRelease, PythonRelease
from envfix.probe.machine_file import list_machines, load_machine, parse_machine
from envfix.reading import to_plain
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside

SHIPPED = str(Path(__file__).parents[1] / "compat_matrix" / "machines")
NAMES = (
    *("colab-a100", "colab-l4", "colab-t4", "gh200", "h100-535", "h100-580", "k80-470", "kaggle-p100"),
    *("kaggle-t4x2", "macos-m2", "no-gpu", "rtx-5090", "v100-535", "windows-rtx-3060", "wsl2-rtx-4090"),
)


def shipped(name: str) -> Machine:
    return load_machine(RealOutside(), name, SHIPPED)


def load(text: str, path: str = "/mine.yaml") -> Machine:
    return load_machine(FakeOutside(files={path: text}), path, "/shipped")


def refused(text: str, path: str = "/mine.yaml") -> InputError:
    with pytest.raises(InputError) as caught:
        load(text, path)
    assert caught.value.message.startswith(path) and "\n" not in caught.value.message
    return caught.value


# -- the shipped machines


def test_the_machines_the_documentation_names_are_there() -> None:
    names = [name for name, _ in list_machines(RealOutside(), SHIPPED)]
    assert set(NAMES) <= set(names) and names == sorted(names)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_machine_is_whole(name: str) -> None:
    machine = shipped(name)
    assert machine.name == name
    for fact in ("platform", "os", "wsl", "arch", "python", "driver", "gpus", "cpu_flags"):
        assert getattr(machine, fact) is not UNSET, fact
    assert (machine.glibc is not UNSET) is (machine.os is Os.LINUX)
    for gpu in known(machine.gpus, ()):
        assert UNSET not in (gpu.name, gpu.compute_capability, gpu.memory_mib)
    assert (machine.driver is None) is (machine.gpus == ())


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_machine_names_its_sources(name: str) -> None:
    text = Path(SHIPPED, f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("#") and (name in ("macos-m2", "no-gpu") or "https://" in text)


def test_colab_t4_is_the_machine_of_the_contract() -> None:
    machine = shipped("colab-t4")
    assert machine.driver == Driver(release=DriverRelease("550.54.15"), cuda=DriverCuda("12.4"))
    [gpu] = known(machine.gpus, ())
    assert (gpu.name, str(gpu.compute_capability), gpu.memory_mib) == ("Tesla T4", "7.5", 15360)
    assert (str(machine.glibc), str(machine.python), machine.platform) == ("2.35", "3.12", Platform.COLAB)
    assert machine.installed is UNSET


def test_machines_for_which_little_fits_are_what_their_names_say() -> None:
    assert shipped("gh200").arch is Arch.AARCH64 and shipped("macos-m2").arch is Arch.AARCH64
    assert shipped("windows-rtx-3060").os is Os.WINDOWS and str(shipped("windows-rtx-3060").python) == "3.10"
    assert shipped("wsl2-rtx-4090").wsl is True and shipped("no-gpu").has_no_gpu
    assert len(known(shipped("kaggle-t4x2").gpus, ())) == 2


# -- names and files


def test_a_name_that_is_none_is_corrected_or_all_are_listed() -> None:
    with pytest.raises(InputError) as caught:
        shipped("colab_t4")
    assert caught.value.hint == "did you mean `colab-t4`?"
    with pytest.raises(InputError) as caught:
        shipped("zzz")
    assert caught.value.hint is not None and "kaggle-p100" in caught.value.hint


def test_a_file_that_is_not_there_or_not_readable() -> None:
    with pytest.raises(InputError, match=r"`/nowhere\.yaml` cannot be read: No such file or directory"):
        load_machine(FakeOutside(), "/nowhere.yaml", "/shipped")
    outside = FakeOutside(files={"/mine.yaml": PermissionError(13, "Permission denied")})
    with pytest.raises(InputError, match="Permission denied"):
        load_machine(outside, "/mine.yaml", "/shipped")
    with pytest.raises(InputError, match="not UTF-8"):
        load_machine(FakeOutside(files={"/mine.yaml": b"name: \xff"}), "/mine.yaml", "/shipped")


def test_a_folder_is_not_a_machine(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_machine(RealOutside(), str(tmp_path), SHIPPED)


def test_a_file_without_a_suffix_is_one_when_it_exists() -> None:
    outside = FakeOutside(files={"mine": "os: linux"})
    assert load_machine(outside, "mine", "/shipped").os is Os.LINUX


# -- contents


def test_what_is_absent_is_unknown_and_null_is_none() -> None:
    machine = load("driver: null\ngpus: []\ntoolkit: null\n")
    assert (machine.driver, machine.gpus, machine.toolkit) == (None, (), None)
    assert machine.cudnn is UNSET and machine.python is UNSET


def test_versions_need_no_quotes_in_yaml_or_json() -> None:
    yaml = load("python: 3.10\nglibc: 2.40\ngpus: [{compute_capability: 12.0}]\n")
    value = '{"python": 3.10, "glibc": 2.40, "gpus": [{"compute_capability": 12.0}]}'
    for machine in (yaml, load(value, "/mine.json"), load(value)):
        assert (str(machine.python), str(machine.glibc)) == ("3.10", "2.40")
        assert str(known(machine.gpus, ())[0].compute_capability) == "12.0"


def test_flow_yaml_is_no_json_and_read_anyway() -> None:
    assert load("{os: linux, wsl: true}").wsl is True


def test_the_whole_output_of_probe_is_a_machine() -> None:
    machine = shipped("colab-t4")
    whole = {
        "envfix": 1,
        "command": "probe",
        "status": "ok",
        "exit_code": 0,
        "data": to_plain(machine),
        "errors": [],
    }
    assert load(json.dumps(whole), "/probe.json") == machine
    whole["command"] = "report"
    assert "`envfix report` printed" in refused(json.dumps(whole), "/probe.json").message


def test_the_output_of_probe_with_a_wrong_value_names_the_place() -> None:
    whole = {"envfix": 1, "command": "probe", "data": {"gpus": [{"memory_mib": "many"}]}}
    assert refused(json.dumps(whole)).message.startswith("/mine.yaml: data: gpus[0].memory_mib: ")


def test_python_is_a_feature_release() -> None:
    assert load("python: 3.12.1").python == PythonRelease("3.12")


def test_names_of_what_is_installed_are_compared_as_indexes_do() -> None:
    assert load("installed: {ML_Dtypes: 0.5.1}").installed == {"ml-dtypes": "0.5.1"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("gpu: []", "unknown key `gpu`", "did you mean `gpus`?"),
        ("gpus: [{nam: x}]", "unknown key `gpus[0].nam`", "did you mean `name`?"),
        ("driver: {version: 550.54.15}", "unknown key `driver.version`", "the keys are: release, cuda"),
        ("1: 2", "unknown key `1`", "the keys are: name"),
        ("platform: colabb", "platform: `colabb` is not one of colab, kaggle", "did you mean `colab`?"),
        ("os: Linux", "os: `Linux` is not one of linux, windows, macos", "did you mean `linux`?"),
        ("arch: amd64", "arch: `amd64` is not one of x86_64, aarch64", None),
        (
            "evidence: [{fact: a, source: b, outcome: seen}]",
            "evidence[0].outcome: `seen` is not one of",
            None,
        ),
        ("gpus: [{memory_mib: x}]", "gpus[0].memory_mib: expected `int`, got `str`, found `x`", None),
        ("gpus: [{memory_mib: 0}]", "gpus[0].memory_mib: expected a size in MiB, found `0`", None),
        ("gpus: [{}, {compute_capability: 75}]", "gpus[1].compute_capability: expected a compute", None),
        ("gpus: {}", "gpus: expected `array`, got `object`, found `{}`", None),
        ("wsl: maybe", "wsl: expected `bool`, got `str`, found `maybe`", None),
        ("glibc: null", "glibc: expected a version as text, found null", "leave the key out"),
        ("glibc: new", "glibc: expected numbers joined by dots, found `new`", None),
        ("driver: 550.54.15", "driver: expected `object | null`, got `str`, found `550.54.15`", None),
        ("driver: {release: 12.4}", "driver.release: expected a driver's release, found `12.4`", "550.54.15"),
        ("driver: {cuda: 550.54}", "driver.cuda: expected the driver's CUDA, found `550.54`", "12.4"),
        ("python: 3", "python: expected a release such as `3.12`, found `3`", None),
        ("installed: {torch: 2}", "found `2`", 'put it into quotes: "2"'),
        ("installed: {torch: newest}", "installed.torch: expected a version, found `newest`", None),
        ("cpu_flags: avx", "cpu_flags: expected `array`, got `str`, found `avx`", None),
        ("", "expected the keys of a machine, found nothing", "envfix probe --json"),
        ("[1]", "expected the keys of a machine, found `[1]`", "envfix probe --json"),
        ("just text", "expected the keys of a machine, found `just text`", "envfix probe --json"),
        ("name: a\nname: b", "the key `name` stands twice", None),
        ("a: &x 1\nb: *x", "anchors", None),
        ("a: [", "not valid YAML", None),
    ],
)
def test_whatever_is_wrong_is_said_with_place_and_value(text: str, message: str, hint: str | None) -> None:
    error = refused(text)
    assert message in error.message and error.exit_code == 2
    if hint is not None:
        assert error.hint is not None and hint in error.hint


def test_broken_json_is_said() -> None:
    assert "not valid JSON" in refused("{", "/mine.json").message


KEYS = st.sampled_from(
    ["name", "os", "gpus", "driver", "python", "installed", "evidence", "toolkit", "cpu_flags"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5) | VALUES)
def test_any_value_is_a_machine_or_one_clear_sentence(value: object) -> None:
    try:
        machine = parse_machine(value, "mine.yaml")
    except InputError as error:
        assert error.message.startswith("mine.yaml: ")
    else:
        assert parse_machine(to_plain(machine), "again") == machine


@given(st.text())
def test_any_text_is_a_machine_or_one_clear_sentence(text: str) -> None:
    try:
        load(text.encode("utf-8", "replace").decode())
    except InputError as error:
        assert error.message.startswith("/mine.yaml")
