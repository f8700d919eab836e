"""Where no release fits: what is said of it, and the command that gets one, on the shipped matrix."""

from __future__ import annotations

import pytest

from envfix.deciding import decide
from envfix.errors import EnvfixError, InputError, NothingFits
from envfix.matrix.tf_request import parse_tf
from envfix.model.machine import Driver, Gpu, Machine
from envfix.model.request import ANY, Accelerator, Request
from envfix.model.results import Report
from envfix.model.versions import ComputeCapability, DriverCuda, DriverRelease, PythonRelease
from envfix.render import text
from envfix.situation import Situation
from tests.shipped import matrix
from tests.values import T4, TARGET, changed

K80 = changed(
    T4,
    driver=Driver(release=DriverRelease("470.82.01"), cuda=DriverCuda("11.4")),
    gpus=(Gpu(name="Tesla K80", compute_capability=ComputeCapability("3.7"), memory_mib=11441),),
    python=PythonRelease("3.10"),
)


def refused(tf: str, machine: Machine = T4, *, named: bool = False, cpu: bool = False) -> EnvfixError:
    request = Request(
        tf=parse_tf(tf) if tf else ANY,
        accelerator=Accelerator.CPU if cpu else Accelerator.GPU,
    )
    option = "my box.yaml" if named else ""
    here = Situation(target=TARGET, machine=machine, named=named, machine_option=option)
    with pytest.raises(EnvfixError) as caught:
        decide(here, matrix(), request)
    return caught.value


def hints(error: EnvfixError) -> list[str]:
    return (error.hint or "").splitlines()


def test_another_python_is_named_with_the_command_that_uses_it() -> None:
    error = refused("tensorflow-gpu==2.10.0")
    assert isinstance(error, NothingFits)
    assert error.message == "tensorflow 2.10.0 needs Python 3.7 to 3.10, found 3.12"
    assert hints(error)[0].startswith("`tensorflow-gpu==2.10.0` is taken as `tensorflow==2.10.0`: ")
    assert hints(error)[1:] == [
        "with Python 3.10 tensorflow 2.10.0 fits: envfix install --tf tensorflow-gpu==2.10.0 "
        "--python python3.10 --venv .venv-3.10",
        "`uv python install 3.10` brings that Python, where there is none",
    ]


def test_the_command_keeps_what_was_asked_for_and_can_be_pasted() -> None:
    error = refused("<2.16", named=True, cpu=True)
    assert hints(error)[0] == (
        "with Python 3.11 tensorflow 2.15.1 fits: envfix install --tf '<2.16' --accelerator cpu "
        "--machine 'my box.yaml' --python python3.11 --venv .venv-3.11"
    )


def test_without_a_request_a_python_that_has_no_wheels_is_led_to_one_that_has() -> None:
    error = refused("", changed(T4, python=PythonRelease("3.99")))
    assert error.message == "no TensorFlow release fits this machine"
    assert hints(error)[0].startswith("with Python 3.13 tensorflow 2.21.0 fits: envfix install --python ")


def test_what_no_python_mends_names_the_newest_that_fits_and_every_reason() -> None:
    error = refused("2.21.0", K80)
    assert error.message.startswith(
        "tensorflow 2.21.0 needs driver >= 525.60.13 for CUDA 12.x, found 470.82.01; "
    )
    assert "compute capability" in error.message
    assert hints(error) == ["tensorflow 2.13.1 is the newest that fits here: --tf 2.13.1"]


def test_a_known_defect_is_said_as_such() -> None:
    old = Driver(release=DriverRelease("450.203.08"), cuda=DriverCuda("11.0"))
    error = refused("2.14.0", changed(K80, driver=old))
    assert "tensorflow 2.14.0 is known to be broken here: " in error.message
    assert "no known defect" not in error.message


@pytest.mark.parametrize("tf", ["tensorflow==99", ">=2.30", "2.21.1"])
def test_a_release_that_is_newer_than_the_matrix_may_be_in_a_newer_one(tf: str) -> None:
    error = refused(tf)
    assert isinstance(error, InputError)
    assert f"has no stable TensorFlow release that `{tf}` names" in error.message
    assert "2.21.0" in hints(error)[0] and "pip install -U envfix-tf" in hints(error)[0]


@pytest.mark.parametrize("tf", ["1.15", "tensorflow-gpu<2", "2.16.9"])
def test_an_older_release_that_is_not_there_names_the_nearest(tf: str) -> None:
    error = refused(tf)
    assert error.exit_code == 2
    assert hints(error)[0].startswith("the nearest are 2.") and "pip" not in hints(error)[0]


def test_every_release_is_in_the_data_and_those_asked_for_are_shown() -> None:
    error = refused("<2.16")
    assert isinstance(error.data, Report)
    assert len(error.data.decision.candidates) == len(matrix().releases)
    shown = text.failure(error)
    assert "2.14.0 - 2.15.1" in shown and "needs Python 3.9 to 3.11, found 3.12" in shown
    assert "2.21.0" not in shown
    # Of a single release the error says it all.
    assert text.failure(refused("2.10.0")) == ""
