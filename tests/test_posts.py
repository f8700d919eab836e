"""Posts as users write them, and what is said where there is nothing, or nothing wrong, to explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envfix import diagnosing
from envfix.diagnose.explain import explain
from envfix.diagnose.remedy import INSTALL, TOO_OLD
from envfix.matrix.load import matrix_dir
from envfix.model.diagnosis import Explained, Finding
from envfix.reading import parse_yaml
from envfix.render import text as text_render
from envfix.situation import Parts, Where
from tests import shipped
from tests.fakes import FakeOutside
from tests.test_diagnose_cases import DATA, whole

NEEDED = ("failures.yaml", "log_facts.yaml")
POSTS: list[dict[str, Any]] = parse_yaml((DATA / "posts.yaml").read_text(), "posts.yaml")["posts"]
TOO_OLD_GPU = next(post["text"] for post in POSTS if post["id"] == "m-cudacap-min")


def found(text: str, **facts: Any) -> list[Finding]:
    return list(explain([text.encode()], shipped.machine(facts) if facts else None, whole()))


def named(text: str, **facts: Any) -> dict[str, Finding]:
    return {each.cause: each for each in found(text, **facts)}


def explained(text: str) -> Explained:
    data = {f"{matrix_dir()}/{name}": (Path(matrix_dir()) / name).read_text() for name in NEEDED}
    outside = FakeOutside(files={**data, "log": text})
    parts = Parts(outside=outside, matrix_dir=matrix_dir(), index=None, resolver=None)  # type: ignore[arg-type]
    return diagnosing.explain(parts, Where(), "log")


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post["id"])
def test_the_first_cause_of_a_post(post: dict[str, Any]) -> None:
    first = found(post["text"])[0]
    assert first.family.value == post["family"], first.cause
    if post.get("no_install"):
        assert [step for step in first.fix if INSTALL.search(step)] == []


def test_a_cpu_build_is_no_sign_of_windows() -> None:
    said = "conda list\ntensorflow 2.12.0 mkl_py310h5ea9445_0\n>>> tf.test.is_built_with_cuda()\nFalse\n"
    assert "windows-without-cuda" not in named(said)
    assert "windows-without-cuda" in named("C:\\Users\\me>\n" + said)


def test_ignoring_is_not_an_orin() -> None:
    assert "jetson-needs-nvidia-build" not in named(TOO_OLD_GPU)


def test_no_install_for_a_gpu_that_no_wheel_has_code_for() -> None:
    said = named(TOO_OLD_GPU)["capability-below-minimum"].fix
    assert said[0] == TOO_OLD and not [step for step in said if INSTALL.search(step)]
    newer = named(TOO_OLD_GPU.replace("capability: 3.0", "capability: 3.5"))["capability-below-minimum"].fix
    assert [step for step in newer if INSTALL.search(step)]


def test_the_fix_names_the_release_that_the_text_names() -> None:
    post = (
        "In Google Colab:\n!pip install tensorflow==2.15.1\nprint(tf.config.list_physical_devices('GPU'))\n[]"
    )
    assert '!envfix install --tf "2.15.*"' in named(post)["hosted-runtime-older-tensorflow"].fix
    vague = "Could not load dynamic library 'libcudart.so.10.1'; CUDA 11.2\n" + post.replace("==2.15.1", "")
    fixes = [step for each in found(vague) for step in each.fix]
    assert '!envfix install --tf "MAJOR.MINOR.*"' in fixes


def test_the_line_about_the_log_is_not_taken_for_a_registration() -> None:
    said = named("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR")
    assert list(said) == ["noise-log-not-set-up"] and said["noise-log-not-set-up"].benign


@pytest.mark.parametrize(
    ("post", "cause"),
    [
        ("m-numpy2", "keras-does-not-fit"),
        ("m-804", "compat-in-use"),
        ("m-mac-vague", "amd-gpu"),
    ],
)
def test_what_follows_from_the_first_cause(post: str, cause: str) -> None:
    text = next(each["text"] for each in POSTS if each["id"] == post)
    assert named(text)[cause].follows == found(text)[0].cause


def test_a_passage_is_shown_by_its_ends() -> None:
    text = next(each["text"] for each in POSTS if each["id"] == "m-hidden")
    evidence = named(text)["hidden-device"].evidence
    assert any("cuInit" in line for line in evidence) and "# output" not in evidence


@pytest.mark.parametrize(
    "text",
    [
        "[PhysicalDevice(name='/physical_device:GPU:0', device_type='GPU')]",
        "Training on the GPU is as slow as on the CPU, nvidia-smi shows 3% utilization",
    ],
)
def test_a_gpu_that_is_there_is_to_be_measured(text: str) -> None:
    said = explained(text)
    assert said.gpu_used and said.collect == diagnosing.MEASURE
    assert "measure  envfix verify --deep" in text_render.result(said)


def test_an_empty_text_is_said_to_be_empty() -> None:
    for text in ("", " \n\n"):
        assert "2>&1" in explained(text).judged_by
    assert explained("a recipe for bread").judged_by == diagnosing.ALONE


def test_an_image_is_not_to_blame_where_the_driver_cannot_be_reached() -> None:
    compose = "image: tensorflow/tensorflow:2.15.0-gpu\n$ docker compose up\n"
    refused = "failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n[]"
    assert found(compose + refused)[0].cause == "container-without-gpu"
    assert found(compose)[0].cause == "image-libraries-incomplete"


def test_an_arm_server_is_no_jetson() -> None:
    server = next(each["text"] for each in POSTS if each["id"] == "m-arm-server")
    assert any("nvcr.io" in step for step in found(server)[0].fix)
    jetson = next(each["text"] for each in POSTS if each["id"] == "m-jetson")
    assert any("jp/v60" in step for step in found(jetson)[0].fix)
