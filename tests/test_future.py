"""Releases that are newer than the shipped matrix, over a loopback index whose TensorFlow is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import TF, install, wheels
from tests.index_server import IndexServer, Wheel, build_wheel, serving

NEW = "2.99.0"
EMPTY = "2.98.0"  # says nothing of CUDA
BUILD_INFO = """
build_info = collections.OrderedDict([('cpu_compiler', 'clang'), ('cuda_version', '12.5.1'),
    ('cuda_compute_capabilities', ['sm_60', 'sm_70', 'sm_80', 'sm_89', 'compute_90']), ('cudnn_version', '9'),
    ('is_cuda_build', True), ('is_rocm_build', False)])
"""


def tagged(python: str, version: str = NEW, build_info: str = BUILD_INFO) -> Wheel:
    tag = f"{python}-{python}-manylinux_2_27_x86_64"
    modules = {
        "tensorflow/__init__.py": f'__version__ = "{version}"\n',
        "tensorflow/python/platform/build_info.py": build_info,
    }
    return build_wheel("tensorflow", version, ["absl-py>=1.0"], modules=modules, tag=tag)


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    blank = tagged("cp312", EMPTY, "build_info = dict([('is_cuda_build', True)])\n")
    with serving(*wheels(), blank, *(tagged(f"cp3{minor}") for minor in (10, 11, 12, 13))) as server:
        yield server


def test_a_release_that_the_matrix_lacks_is_read_from_its_wheel_and_said_to_be_unproven(
    envfix: Any,
) -> None:
    done = envfix("report", "--machine", "colab-t4", "--tf", NEW, "--json")
    data = json.loads(done.stdout)["data"]
    row = next(one for one in data["releases"] if one["version"] == NEW)
    assert row["proven"] is False and row["verdicts"]
    assert f"reading tensorflow {NEW} from its wheels" in done.stderr
    assert any("nothing of it is proven" in line for line in data["advice"]) is (data["recommended"] == NEW)
    again = envfix("report", "--machine", "colab-t4", "--tf", NEW, "--json")
    assert "from its wheels" not in again.stderr.replace("it was read from its wheels", "")


def test_what_the_matrix_has_asks_for_no_page_of_releases(envfix: Any, index: IndexServer) -> None:
    envfix("report", "--machine", "colab-t4", "--tf", TF, "--offline", "--json")
    assert index.asked == []
    envfix("report", "--machine", "colab-t4", "--tf", NEW, "--offline", "--json")
    assert index.asked == []


def test_an_index_that_does_not_answer_is_said_and_the_release_refused(envfix: Any) -> None:
    done = envfix(
        "lock", "--machine", "colab-t4", "--tf", NEW, "--json", PIP_INDEX_URL="http://127.0.0.1:9/simple/"
    )
    assert done.returncode == 2
    assert "were not read" in done.stderr and "Traceback" not in done.stderr
    assert NEW in json.loads(done.stdout)["errors"][0]["message"]


def test_an_upgrade_is_never_a_downgrade_to_what_the_matrix_knows(
    envfix: Any,
    standing: Callable[[str], Path],
) -> None:
    site = standing(TF)
    info = site / "tensorflow-99.0.0.dist-info"
    (site / f"tensorflow-{TF}.dist-info").rename(info)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 99.0.0\n")
    done = envfix(*install("--upgrade"))
    assert json.loads(done.stdout)["data"]["tensorflow"] == "99.0.0"
    assert info.is_dir()


def test_check_says_what_is_new(envfix: Any) -> None:
    done = envfix("matrix", "check", "--json")
    data = json.loads(done.stdout)["data"]
    assert done.returncode == 0 and data["up_to_date"] is False
    assert (
        data["new"] == [f"tensorflow {EMPTY}", f"tensorflow {NEW}"]
        and "tensorflow 2.21.0" not in data["gone"]
    )
    said = envfix("matrix", "check").stdout
    assert f"new: tensorflow {NEW}: `envfix matrix derive {NEW}` reads it" in said


def test_what_is_asked_for_and_cannot_be_judged_is_refused(envfix: Any, index: IndexServer) -> None:
    done = envfix("lock", "--machine", "colab-t4", "--tf", EMPTY, "--json")
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr
    assert EMPTY in json.loads(done.stdout)["errors"][0]["message"]
