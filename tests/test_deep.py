"""`verify --deep`: judging a training step, from recorded runs and from what one on a GPU would say."""

from __future__ import annotations

import ast
import copy
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from envfix.model.outcome import Check, Proof, Status, Verification
from envfix.ports import Ran
from envfix.render.outcome import verification
from envfix.verify import deep, deep_child, deep_placement, transcript
from envfix.verify.deep_answer import CHECKS
from tests.fakes import FakeOutside
from tests.values import T4

DATA = Path(__file__).parent / "data" / "verify" / "deep"
BUS = "00000000:00:04.0"
CREATED = (
    "I0000 gpu_device.cc:2019] Created device /job:localhost/replica:0/task:0/device:GPU:0 with 13764 MB "
    "memory:  -> device: 0, name: Tesla T4, pci bus id: 0000:00:04.0, compute capability: 7.5\n"
)


class Recorded(FakeOutside):
    """Each mode of the child ends as it was recorded; what was run is kept."""

    def __init__(self, runs: Mapping[str, Ran]) -> None:
        super().__init__()
        self.runs = runs
        self.argv: list[Sequence[str]] = []

    def run(self, argv: Sequence[str], **rest: Any) -> Ran:
        self.argv.append(argv)
        return self.runs[argv[2]]


def recorded(name: str) -> Ran:
    value = json.loads((DATA / f"{name}.json").read_text())
    return Ran(**{**value, "argv": tuple(value["argv"])})


def proven(proof: Proof | None, status: Status = Status.PASSED) -> Verification:
    matmul = Check(name="matmul", status=status, expected="runs", observed="on GPU:0")
    return Verification(checks=(matmul,), proof=proof, python="/env/bin/python", tensorflow="2.21.0")


def deepened(proof: Proof, **runs: Ran) -> Verification:
    outside = Recorded({name.replace("_", "-"): ran for name, ran in runs.items()})
    return deep.deepen(
        outside,
        proven(proof),
        machine=T4,
        stub="/stub" if proof is Proof.LOADER else None,
    )


def check(result: Verification, name: str) -> Check:
    return next(one for one in result.checks if one.name == name)


def look(at: float, percent: int | None, used: int, bus: str = BUS, index: int = 0) -> dict[str, Any]:
    gpu = {
        "index": index,
        "name": "Tesla T4",
        "bus": bus,
        "gpu_percent": percent,
        "used_mib": used,
        "total_mib": 15360,
    }
    return {"status": "ok", "seconds": at, "gpus": [gpu], "missed": []}


def on_gpu(change: Callable[[dict[str, Any]], None] = lambda done: None, log: str = CREATED) -> Ran:
    """What a run on a T4 would say: the recorded one of the CPU, with a GPU's devices, figures and looks."""
    answer = copy.deepcopy(dict(transcript.read(recorded("tf-2.21.0-cpu"), deep=True).answer))
    done = answer["done"]
    for name in ("step", "kernels"):
        done[name] = json.loads(json.dumps(done[name]).replace("CPU:0", "GPU:0").replace('"CPU"', '"GPU"'))
    done["devices"] = {
        "gpus": 1, "physical": ["/physical_device:CPU:0", "/physical_device:GPU:0"],
        "growth_by_default": [False], "growth": [True], "forced_growth": None,
    }  # fmt: skip
    done["before"] = {"samples": [look(0, 0, 3)]}
    done["training"] |= {
        "median": 0.005,
        "samples": [look(0, 90, 400), look(0.2, 100, 815), look(0.4, 95, 815)],
    }
    done["memory"] = {"logical": ["/device:CPU:0", "/device:GPU:0"], "current": 1 << 20, "peak": 200 << 20}
    done["host"] = {"steps": 20, "seconds": 1.0, "median": 0.05}
    change(done)
    return Ran(("python",), 0, f"\n{transcript.MARK} {json.dumps(answer)}\n", log)


def placed(**elsewhere: str) -> Ran:
    """The recorded placement on a GPU, but for these ops."""
    ran = recorded("tf-2.21.0-cpu-placement")
    out, err = (text.replace("device:CPU:0", "device:GPU:0") for text in (ran.out, ran.err))
    for op, device in elsewhere.items():
        err = err.replace(
            f"({op}): /job:localhost/replica:0/task:0/device:GPU:0",
            f"({op}): /job:localhost/replica:0/task:0/device:{device}",
        )
    return ran._replace(out=out, err=err)


def gpu_result(
    change: Callable[[dict[str, Any]], None] = lambda done: None, **elsewhere: str
) -> Verification:
    return deepened(Proof.GPU, gpu=on_gpu(change), gpu_placement=placed(**elsewhere))


@pytest.mark.parametrize("release", ["2.10.1", "2.21.0"])
def test_on_the_cpu_the_step_is_run_and_nothing_is_said_of_a_gpu(release: str) -> None:
    result = deepened(
        Proof.CPU, cpu=recorded(f"tf-{release}-cpu"), cpu_placement=recorded(f"tf-{release}-cpu-placement")
    )
    assert result.passed
    assert tuple(one.name for one in result.checks[1:]) == CHECKS
    ran = {one.name: one.status for one in result.checks[1:]}
    of_gpus = ("GPU kernels", "device and host time", "GPU utilisation", "GPU memory")
    assert all(ran[name] is Status.SKIPPED for name in of_gpus)
    assert all(ran[name] is Status.PASSED for name in set(CHECKS) - set(of_gpus))
    assert all(check(result, name).cause == "the CPU was asked for" for name in of_gpus)
    assert check(result, "op placement").observed == "52 ops on CPU:0"
    assert "on CPU:0, loss from 2.58 to" in check(result, "training step").observed
    assert check(result, "logical devices").observed == "1 CPU, 1 logical: CPU:0"
    measured: Any = result.measured
    assert measured["placement"]["Conv2DBackpropInput"] == {"CPU:0": 2}
    assert measured["step"]["seconds"] > 0 and set(measured) == {
        "step",
        "placement",
        "logical_devices",
        "pipeline",
    }


def test_under_the_driver_stub_only_the_registry_is_read_and_the_reason_is_said() -> None:
    result = deepened(Proof.LOADER, loader=recorded("tf-2.21.0-loader"))
    assert result.passed and result.proof is Proof.LOADER
    assert check(result, "GPU kernels").status is Status.PASSED
    assert check(result, "GPU kernels").observed == "23 of 23 ops of the step have one"
    for name in CHECKS[1:]:
        assert (check(result, name).status, check(result, name).observed) == (Status.SKIPPED, "not run")
        assert check(result, name).cause == "no GPU here: the driver stub runs no kernels"
    assert result.measured == {}


def test_after_a_failure_nothing_is_started() -> None:
    outside = Recorded({})
    result = deep.deepen(
        outside,
        proven(Proof.GPU, Status.FAILED),
        machine=T4,
        sampler=("sampler",),
    )
    assert outside.argv == [] and not result.passed
    assert {one.status for one in result.checks[1:]} == {Status.SKIPPED}


def test_what_a_gpu_did_is_said_as_it_was_measured() -> None:
    result = gpu_result()
    assert result.passed, [one for one in result.checks if one.status is Status.FAILED]
    assert check(result, "op placement").observed == "52 ops on GPU:0"
    assert check(result, "device and host time").observed == "GPU:0 is 10 times as fast as the CPU"
    assert check(result, "GPU utilisation").observed == "95 % on average, 100 % at most, in 3 looks"
    memory = check(result, "GPU memory").observed
    assert "TensorFlow allocated 200 MiB at most" in memory
    assert "went up by 812 of 15360 MiB; 3 MiB were used before" in memory
    assert "growth was off until envfix set it" in memory
    assert check(result, "logical devices").observed == "1 GPU, 1 logical: GPU:0"
    measured: Any = result.measured
    assert measured["step"]["host_over_device"] == 10.0
    assert measured["memory"]["held_mib"] == 812 and measured["usage"]["max_percent"] == 100


def test_work_that_fell_back_to_the_cpu_is_named_and_fails() -> None:
    result = gpu_result(Conv2D="CPU:0")
    moved = check(result, "op placement")
    assert moved.status is Status.FAILED and not result.passed
    assert (
        moved.observed
        == "50 ops on GPU:0, 2 ops on CPU:0; not on GPU:0, and TensorFlow gives no warning: Conv2D"
    )
    assert moved.cause == "soft placement moved Conv2D"


def test_a_shape_on_the_cpu_is_said_and_does_not_fail() -> None:
    def without(done: dict[str, Any]) -> None:
        done["kernels"]["ShapeN"] = ["CPU"]

    result = gpu_result(without, ShapeN="CPU:0")
    assert check(result, "op placement").status is Status.PASSED
    assert "TensorFlow gives no warning: ShapeN (no GPU kernel)" in check(result, "op placement").observed
    assert check(result, "GPU kernels").observed == "no GPU kernel: ShapeN; none of them does the step's work"


def test_a_build_without_the_kernels_fails() -> None:
    def without(done: dict[str, Any]) -> None:
        done["kernels"]["MaxPoolGrad"] = ["CPU", "XLA_CPU_JIT"]

    assert check(gpu_result(without), "GPU kernels").status is Status.FAILED


def test_a_log_that_says_nothing_of_the_placement_is_no_success() -> None:
    silent = placed()._replace(err="nothing here")
    result = deepened(Proof.GPU, gpu=on_gpu(), gpu_placement=silent)
    assert check(result, "op placement").status is Status.SKIPPED
    assert check(result, "op placement").observed == "not known"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("training step", lambda done: done["training"].update(last=9.0), "loss from 2.58 to 9"),
        ("training step", lambda done: done["training"].update(last=None), "to not a number"),
        ("training step", lambda done: done["step"].update(device="/job:x/device:CPU:0"), "ran on CPU:0"),
        ("training step", lambda done: done["devices"].update(gpus=0), "no GPU"),
        (
            "device and host time",
            lambda done: done["host"].update(median=0.002),
            "2.5 times as long as the CPU",
        ),
        (
            "GPU utilisation",
            lambda done: done["training"].update(samples=[look(0, 0, 3), look(1, 0, 3)]),
            "0 % on average, 0 % at most",
        ),
        (
            "logical devices",
            lambda done: done["memory"].update(logical=["/device:CPU:0"]),
            "1 GPU, 0 logical: none",
        ),
        ("GPU memory", lambda done: done["devices"].update(growth=[False]), "200 MiB"),
        (
            "input pipeline",
            lambda done: done["pipeline"]["prefetch"].update(examples_per_second=1.0),
            "prefetch",
        ),
        ("input pipeline", lambda done: done["pipeline"]["batch"].update(examples_per_second=1.0), "batches"),
    ],
)
def test_each_measurement_can_fail(name: str, change: Callable[[dict[str, Any]], None], words: str) -> None:
    result = gpu_result(change)
    assert check(result, name).status is Status.FAILED and not result.passed
    assert words in check(result, name).observed


def test_memory_that_was_all_taken_in_spite_of_growth_names_the_variable() -> None:
    def taken(done: dict[str, Any]) -> None:
        done["devices"]["forced_growth"] = "false"
        done["training"]["samples"] = [look(0, 90, 14900)]

    memory = check(gpu_result(taken), "GPU memory")
    assert memory.status is Status.FAILED
    assert memory.cause == "TF_FORCE_GPU_ALLOW_GROWTH=`false` weighs more than what a program sets"


def test_who_held_the_memory_before_is_named() -> None:
    def held(done: dict[str, Any]) -> None:
        sample = look(0, 5, 9000)
        sample["gpus"][0]["processes"] = [{"pid": 77, "name": "python", "used_mib": 9000}]
        done["before"]["samples"] = [sample]
        done["training"]["samples"] = [look(0, 90, 9800)]

    assert "9000 MiB were used before, by python (77)" in check(gpu_result(held), "GPU memory").observed


def test_the_gpu_is_found_by_its_place_on_the_bus() -> None:
    def two(done: dict[str, Any]) -> None:
        for sample in done["training"]["samples"]:
            other = look(0, 0, 1, bus="00000000:00:03.0")["gpus"][0]
            sample["gpus"] = [other, {**sample["gpus"][0], "index": 1}]

    assert check(gpu_result(two), "GPU utilisation").status is Status.PASSED
    # Which of two it is is not known without the line that names its place.
    unknown = deepened(Proof.GPU, gpu=on_gpu(two, log=""), gpu_placement=placed())
    assert check(unknown, "GPU utilisation").status is Status.SKIPPED


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([], "no look was taken"),
        ([{"status": "not-loaded", "text": "libnvidia-ml.so.1: no such file"}], "no such file"),
        ([look(0, None, 400)], "NVML does not tell the utilisation"),
    ],
)
def test_what_nvml_does_not_tell_is_not_claimed(samples: list[Any], words: str) -> None:
    def silent(done: dict[str, Any]) -> None:
        done["training"]["samples"] = samples

    seen = check(gpu_result(silent), "GPU utilisation")
    assert seen.status is Status.SKIPPED and words in seen.cause


def test_a_starved_device_is_said_to_starve() -> None:
    def slow(done: dict[str, Any]) -> None:
        done["pipeline"]["parallel"]["waiting"] = 0.7

    observed = check(gpu_result(slow), "input pipeline").observed
    assert "70 % with a parallel map too" in observed and "2 CPUs cannot feed GPU:0" in observed
    assert "starves" not in check(gpu_result(), "input pipeline").observed


def test_a_driver_that_cannot_run_the_step_fails_once() -> None:
    """Recorded: the driver stub in front of a run that asks for a real GPU."""
    ran = recorded("tf-2.21.0-stub-is-no-gpu")
    result = deepened(Proof.GPU, gpu=ran, gpu_placement=ran)
    assert check(result, "training step").status is Status.FAILED
    assert "cudaGetDevice() failed" in check(result, "training step").cause
    assert check(result, "input pipeline").status is Status.SKIPPED


def test_a_gpu_that_has_gone_is_no_success() -> None:
    ran = recorded("tf-2.21.0-gpu-gone")
    result = deepened(Proof.GPU, gpu=ran, gpu_placement=ran)
    assert check(result, "training step").observed == "no GPU" and not result.passed


@pytest.mark.parametrize("step", ["training", "host", "pipeline", "before"])
def test_a_crash_is_laid_to_the_step_it_happened_in(step: str) -> None:
    ran = on_gpu()
    answer = dict(transcript.read(ran, deep=True).answer)
    order = ["import", "before", "devices", "kernels", "step", "training", "memory", "host", "pipeline"]
    answer |= {"doing": step, "done": {name: answer["done"][name] for name in order[: order.index(step)]}}
    died = ran._replace(code=-11, out=f"{transcript.MARK} {json.dumps(answer)}\n")
    result = deepened(Proof.GPU, gpu=died, gpu_placement=placed())
    failed = [one for one in result.checks if one.status is Status.FAILED]
    owner = {"host": "device and host time", "pipeline": "input pipeline"}.get(step, "training step")
    assert failed and failed[0].observed == "SIGSEGV"
    assert [one.name for one in failed] == [owner]


def test_a_child_that_says_nothing_fails() -> None:
    hung = Ran(("python",), None, "", "", timed_out=True, error="timed out after 180 s")
    result = deepened(Proof.GPU, gpu=hung, gpu_placement=hung)
    assert check(result, "GPU kernels").observed == "timed out after 180 s" and not result.passed


def test_the_sampler_is_given_to_runs_on_a_gpu_alone() -> None:
    runs = {"gpu": on_gpu(), "gpu-placement": placed(), "loader": recorded("tf-2.21.0-loader")}
    for proof, wanted in ((Proof.GPU, ["sampler", "0.2"]), (Proof.LOADER, [])):
        outside = Recorded(runs)
        deep.deepen(
            outside, proven(proof), machine=T4, sampler=("sampler", "0.2"),
            stub="/stub" if proof is Proof.LOADER else None,
        )  # fmt: skip
        assert json.loads(outside.argv[0][3]) == wanted


@pytest.mark.parametrize("name", ["deep_child.py", "deep_model.py"])
def test_what_runs_in_old_interpreters_parses_there(name: str) -> None:
    ast.parse((Path(deep.CHILD).parent / name).read_text(), feature_version=(3, 7))


def test_looks_are_taken_while_something_runs() -> None:
    say = "print('envfix-usage:{\"n\": %d}' % n, flush=True)"
    code = f"import time\nfor n in range(99):\n  {say}; time.sleep(.05)"
    watched = deep_child.Sampler([sys.executable, "-c", code])
    time.sleep(1.0)
    looks = watched.end()
    assert [look["n"] for look in looks[:2]] == [0, 1] and len(looks) < 99
    assert watched.child is not None and watched.child.returncode is not None
    assert deep_child.Sampler([]).end() == []


def test_ends_of_functions_are_no_ops() -> None:
    counts = deep_placement.logged(recorded("tf-2.10.1-cpu-placement").err)
    assert counts and not [op for op in counts if op.startswith("_")]
    assert counts == deep_placement.logged(recorded("tf-2.21.0-cpu-placement").err)


def test_the_text_says_what_was_not_run_in_one_line() -> None:
    lines = verification(deepened(Proof.LOADER, loader=recorded("tf-2.21.0-loader")))
    assert sum("not run" in line for line in lines) == 1
    assert any(line.startswith("  ok     GPU kernels: ") for line in lines)
