"""Judging what TensorFlow did, from transcripts of real wheels with and without the driver stub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from envfix.errors import InputError
from envfix.model.machine import Gpu
from envfix.model.outcome import Check, Proof, Status, Verification
from envfix.model.request import Accelerator
from envfix.model.versions import ComputeCapability
from envfix.ports import Ran
from envfix.verify import checks, transcript
from envfix.verify.checks import CHILD
from envfix.verify.child import MARK
from tests.fakes import FakeOutside
from tests.values import T4, changed

DATA = Path(__file__).parent / "data" / "verify"


class Recorded(FakeOutside):
    """Every child ends as it was recorded; the environment it was given is kept."""

    def __init__(self, ran: Ran, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(environ=environ)
        self.recorded = ran
        self.given: Mapping[str, str] = {}

    def run(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **rest: Any) -> Ran:
        self.given = env or {}
        return self.recorded


def recorded(name: str) -> Ran:
    value = json.loads((DATA / f"{name}.json").read_text())
    return Ran(**{**value, "argv": tuple(value["argv"])})


def judged(ran: Ran, proof: Proof = Proof.LOADER, **facts: Any) -> Verification:
    return checks.verify(
        Recorded(ran),
        "/env/bin/python",
        accelerator=Accelerator.CPU if proof is Proof.CPU else Accelerator.GPU,
        machine=changed(T4, **facts),
        stub="/stub" if proof is Proof.LOADER else None,
    )


def check(verification: Verification, name: str) -> Check:
    return next(one for one in verification.checks if one.name == name)


def said(answer: Mapping[str, Any], code: int = 0, err: str = "") -> Ran:
    return Ran(("python",), code, f"noise\n{transcript.MARK} {json.dumps(answer)}\nmore noise\n", err)


def on_gpu(**steps: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of a run on a GPU: the recorded one of the CPU, with devices and errors of a GPU."""
    answer = dict(transcript.read(recorded("tf-2.18.1-cpu")).answer)
    done = {name: dict(value) for name, value in answer["done"].items()}
    for value in done.values():
        if "device" in value:
            value["device"] = value["device"].replace("CPU:0", "GPU:0")
    done["devices"] = {"gpus": [{"name": "GPU:0", "model": "Tesla T4", "compute_capability": "7.5"}]}
    for name, value in steps.items():
        done[name].update(value)
    return {**answer, "done": done, "libraries": {"libcuda.so.1": "/usr/lib64-nvidia/libcuda.so.1"}}


def test_registering_under_the_stub_proves_the_loader_and_no_more() -> None:
    result = judged(recorded("tf-2.21.0-with-loader"))
    assert result.proof is Proof.LOADER
    assert result.passed
    assert result.tensorflow == "2.21.0"
    assert result.devices == ("GPU:0 Tesla T4 7.5",)
    assert "libcusolver.so.11 (/env/" in check(result, "libraries").observed
    for name in ("device initialised", "matmul", "convolution", "jit_compile=True"):
        assert check(result, name).status is Status.SKIPPED
        assert check(result, name).cause == "no GPU here: the driver stub runs no kernels"


def test_a_library_that_is_missing_is_named() -> None:
    result = judged(recorded("tf-2.21.0-as-published"))
    assert result.proof is None
    assert check(result, "libraries").observed == "not opened: libcusolver.so.11"
    assert "cannot open shared object file" in check(result, "libraries").cause
    assert check(result, "device visible").observed == "no GPU"
    assert "libcusolver.so.11" in check(result, "device visible").cause
    assert check(result, "device visible").hint == "run `envfix install`"


def test_every_missing_library_is_named_but_not_tensorrt() -> None:
    result = judged(recorded("tf-2.10.1-as-published"))
    missing = check(result, "libraries").observed
    for name in ("libcudart.so.11.0", "libcublas.so.11", "libcufft.so.10", "libcudnn.so.8"):
        assert name in missing
    assert "nvinfer" not in missing


def test_a_driver_that_refuses_is_quoted() -> None:
    result = judged(recorded("tf-2.18.1-cuinit-803"))
    assert result.proof is None
    assert "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" in check(result, "device visible").cause
    assert "nvidia-smi" in check(result, "device visible").hint


def test_no_driver_is_the_cause_and_not_the_error_that_follows_from_it() -> None:
    result = judged(recorded("tf-2.18.1-no-driver"), Proof.GPU)
    assert result.proof is None
    assert (
        "`libcuda.so.1`, which the NVIDIA driver brings, was not opened"
        in check(result, "device visible").cause
    )
    assert check(result, "matmul").status is Status.SKIPPED


@pytest.mark.parametrize("name", ["tf-2.10.1-stub-is-no-gpu", "tf-2.18.1-stub-is-no-gpu"])
def test_the_stub_never_passes_for_a_gpu(name: str) -> None:
    result = judged(recorded(name), Proof.GPU)
    assert result.proof is None
    assert check(result, "device visible").status is Status.PASSED
    assert check(result, "device initialised").status is Status.FAILED
    assert check(result, "matmul").status is Status.SKIPPED


def test_a_crash_is_laid_to_its_step_and_its_signal_named() -> None:
    result = judged(recorded("tf-2.10.1-stub-is-no-gpu"), Proof.GPU)
    assert result.ended == "SIGSEGV"
    failed = [one.name for one in result.checks if one.status is Status.FAILED]
    assert failed == ["device initialised"]
    assert "SIGSEGV" in check(result, "device initialised").cause


def test_an_illegal_instruction_on_import_points_at_avx() -> None:
    first = {"mode": "gpu", "done": {}, "doing": "import", "libraries": {}}
    result = judged(said(first, code=-4), Proof.GPU)
    assert result.ended == "SIGILL"
    assert check(result, "build").status is Status.FAILED
    assert "AVX" in check(result, "build").hint


def test_a_crash_at_exit_is_not_passed_over() -> None:
    result = judged(said(on_gpu(), code=-6, err="F0000 00:00:1.2  77 x.cc:12] Check failed: ok\n"), Proof.GPU)
    assert result.proof is None
    assert check(result, "end").status is Status.FAILED
    assert "Check failed: ok" in check(result, "end").cause


def test_a_hang_says_how_long_it_was_waited() -> None:
    result = judged(recorded("tf-2.21.0-timeout"))
    assert result.ended == "timed out after 1 s"
    assert result.proof is None
    assert "--timeout" in check(result, "build").hint


def test_an_import_that_fails_quotes_the_exception() -> None:
    result = judged(recorded("tf-2.10.1-protobuf-4"))
    assert result.proof is None
    assert check(result, "build").cause == "TypeError: Descriptors cannot be created directly."
    assert check(result, "device visible").status is Status.SKIPPED


@pytest.mark.parametrize(
    "ran", [Ran(("p",), 0, "", ""), Ran(("p",), None, "", "", error="could not be started")]
)
def test_a_child_that_says_nothing_proves_nothing(ran: Ran) -> None:
    result = judged(ran)
    assert result.proof is None
    assert check(result, "build").status is Status.FAILED


@pytest.mark.parametrize("proof", list(Proof))
def test_steps_that_were_not_taken_prove_nothing(proof: Proof) -> None:
    nothing = {"mode": proof.value, "done": {}, "doing": None, "libraries": {}}
    assert judged(said(nothing), proof).proof is None


def test_a_last_line_cut_short_leaves_the_one_before_it() -> None:
    ran = recorded("tf-2.21.0-with-loader")
    assert transcript.read(ran._replace(out=ran.out[:-20], code=-11)).answer["doing"] == "devices"


def test_the_cpu_build_is_proven_on_the_cpu_alone() -> None:
    result = judged(recorded("tf-2.18.1-cpu"), Proof.CPU)
    assert result.proof is Proof.CPU
    names = [one.name for one in result.checks]
    assert names == ["build", "device initialised", "matmul", "convolution", "jit_compile=True"]


def test_numbers_within_tf32_pass_on_the_gpu() -> None:
    result = judged(said(on_gpu(matmul={"relative_error": 9e-4})), Proof.GPU)
    assert result.proof is Proof.GPU
    assert result.passed


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        ("matmul", {"relative_error": 0.3}),
        ("convolution", {"relative_error": None}),
        ("jit", {"device": "/job:localhost/replica:0/task:0/device:CPU:0"}),
        ("initialise", {"sum": 0.0}),
    ],
)
def test_wrong_numbers_and_wrong_places_fail(step: str, wrong: Mapping[str, Any]) -> None:
    result = judged(said(on_gpu(**{step: wrong})), Proof.GPU)
    assert result.proof is None
    name = {"initialise": "device initialised", **checks.OPERATIONS}[step]
    assert [one.name for one in result.checks if one.status is Status.FAILED] == [name]


def test_fewer_gpus_than_the_machine_has_is_a_failure() -> None:
    result = judged(recorded("tf-2.21.0-with-loader"), gpus=(*T4.gpus, *T4.gpus))  # type: ignore[misc]
    visible = check(result, "device visible")
    assert (visible.status, visible.expected) == (Status.FAILED, "2 GPUs, compute capability 7.5, 7.5")
    assert result.proof is None


def test_another_compute_capability_is_a_failure() -> None:
    other = Gpu(name="L4", compute_capability=ComputeCapability("8.9"), memory_mib=23034)
    assert judged(recorded("tf-2.21.0-with-loader"), gpus=(other,)).proof is None


def test_the_stub_is_told_of_the_machine_and_not_of_this_one() -> None:
    outside = Recorded(
        recorded("tf-2.21.0-with-loader"),
        environ={
            "CUDA_VISIBLE_DEVICES": "-1",
            "ENVFIX_STUB_FAIL": "cuInit=999",
            "LD_LIBRARY_PATH": "/usr/lib64-nvidia",
            "HOME": "/root",
        },
    )
    checks.verify(outside, "python", accelerator=Accelerator.GPU, machine=T4, stub="/stub")
    assert outside.given["LD_LIBRARY_PATH"] == "/stub:/usr/lib64-nvidia"
    assert outside.given["ENVFIX_STUB_GPUS"] == "Tesla T4|7.5|15360"
    assert outside.given["ENVFIX_STUB_DRIVER_CUDA"] == "12040"
    assert outside.given["ENVFIX_STUB_DRIVER_RELEASE"] == "550.54.15"
    assert outside.given["HOME"] == "/root"
    assert not {"CUDA_VISIBLE_DEVICES", "ENVFIX_STUB_FAIL"} & set(outside.given)


def test_a_real_gpu_is_asked_in_the_users_own_environment() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "1", "LD_LIBRARY_PATH": "/x"}
    outside = Recorded(said(on_gpu()), environ=environ)
    checks.verify(outside, "python", accelerator=Accelerator.GPU, machine=T4, stub=None)
    assert environ.items() <= outside.given.items()


def test_a_gpu_without_compute_capability_cannot_be_described() -> None:
    with pytest.raises(InputError, match=r"gpus\[0\].compute_capability"):
        judged(recorded("tf-2.21.0-with-loader"), gpus=(Gpu(name="mystery"),))


def test_a_file_that_python_cannot_read_is_named_by_its_path(tmp_path: Path) -> None:
    for name, text in {"tensorflow": "import keras\n", "keras": "def (:\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, CHILD, "loader"], capture_output=True, text=True, env=env, timeout=60
    )
    said = json.loads(done.stdout.rpartition(MARK)[2])["done"]["import"]["error"]
    assert said.startswith("SyntaxError: ") and said.endswith(f"({tmp_path}/keras/__init__.py, line 1)")
