"""`verify --deep`: a small training step is run and measured, and each check says what was measured.

What is a ratio is said as a ratio: a time alone says nothing without the machine it was taken on. The figures
themselves are in `Verification.measured`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from envfix.model.machine import Machine
from envfix.model.outcome import Check, Proof, Status, Verification
from envfix.ports import Outside
from envfix.verify import deep_memory, deep_pipeline, deep_placement, transcript
from envfix.verify.checks import NO_KERNELS, environment
from envfix.verify.deep_answer import CHECKS, ON_CPU, Answer, check, place, skipped

CHILD = str(Path(__file__).parent / "deep_child.py")


def deepen(
    outside: Outside,
    done: Verification,
    *,
    machine: Machine,
    stub: str | None = None,
    sampler: Sequence[str] = (),
    timeout: float = 180.0,
) -> Verification:
    """`done` with the checks of the training step, run as what `done` proves: on the GPU, on the CPU, or
    (under `stub`) not at all.

    `sampler` is the command that prints what the GPUs do, a look a line. Nothing is run where `done` has
    failed: the step would only fail again, and later.
    """
    proof = done.proof
    if not done.passed or proof is None:
        late = tuple(skipped(name, "not reached", "an earlier check failed") for name in CHECKS)
        return structs.replace(done, checks=(*done.checks, *late), measured={})
    env = environment(outside, machine, stub)
    looks = json.dumps(list(sampler) if proof is Proof.GPU else [])

    def answer(mode: str) -> Answer:
        ran = outside.run([done.python, CHILD, mode, looks], timeout=timeout, env=env)
        device = "CPU:0" if proof is Proof.CPU else "GPU:0"
        return Answer(heard=transcript.read(ran, deep=True), log=ran.err, device=device)

    measured: dict[str, Any] = {}
    run = answer(proof.value)
    checks = [deep_placement.kernels(run, on_cpu=proof is Proof.CPU)]
    if proof is Proof.LOADER:
        checks += [skipped(name, "not run", NO_KERNELS) for name in CHECKS[1:]]
    else:
        checks += _of_step(run, answer(f"{proof.value}-placement"), proof is Proof.GPU, measured)
    return structs.replace(done, checks=(*done.checks, *checks), measured=measured)


def _of_step(run: Answer, placed: Answer, on_gpu: bool, measured: dict[str, Any]) -> list[Check]:
    """The checks of a step that was run, `placed` being the run whose placement is logged.

    The figures behind them are added to `measured`.
    """
    checks = [_training(run, measured), deep_placement.placement(placed, run, measured)]
    if on_gpu:
        checks += [
            _host(run, measured),
            deep_memory.utilisation(run, measured),
            deep_memory.memory(run, measured),
        ]
    else:
        names = ("device and host time", "GPU utilisation", "GPU memory")
        checks += [skipped(name, "not run", ON_CPU) for name in names]
    checks += [deep_memory.logical(run, measured), deep_pipeline.pipeline(run, measured)]
    heard = run.heard
    if heard.complete and heard.ended != "exit 0":
        checks.append(check("end of training", Status.FAILED, "exit 0", heard.ended, heard.cause, heard.hint))
    return checks


def _training(answer: Answer, measured: dict[str, Any]) -> Check:
    name = "training step"
    wanted = f"runs on {answer.device}, and the loss falls"
    if answer.done("devices").get("gpus") == 0 and answer.device != "CPU:0":
        return check(name, Status.FAILED, wanted, "no GPU", "TensorFlow saw one a moment ago", "nvidia-smi")
    stopped = answer.stopped(name, wanted, "before", "devices", "step", "training")
    if stopped:
        return stopped
    step, training = answer.done("step"), answer.done("training")
    first, last = step["loss"], training["last"]
    measured["step"] = {
        "device": answer.device,
        "batch": training["batch"],
        "steps": training["steps"],
        "seconds": training["median"],
        "first_loss": first,
        "last_loss": last,
    }
    elsewhere = sorted({place(one) for one in (step["device"], *step["variables"])} - {answer.device})
    if elsewhere:
        observed = f"ran on {', '.join(elsewhere)}"
        return check(name, Status.FAILED, wanted, observed, "it was placed elsewhere")
    observed = f"{training['steps']} steps on {answer.device}, loss from {_loss(first)} to {_loss(last)}"
    if first is None or last is None or last >= first:
        cause = "the gradients are wrong: a kernel computes something else than it should"
        return check(name, Status.FAILED, wanted, observed, cause)
    return check(name, Status.PASSED, wanted, observed)


def _loss(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.3g}"


def _host(answer: Answer, measured: dict[str, Any]) -> Check:
    name = "device and host time"
    wanted = f"the step takes less time on {answer.device} than on the CPU"
    stopped = answer.stopped(name, wanted, "host")
    if stopped:
        return stopped
    if "step" not in measured:
        return skipped(name, "not reached", "an earlier check failed", wanted)
    host = answer.done("host")["median"]
    ratio = host / measured["step"]["seconds"]
    measured["step"] |= {"host_seconds": host, "host_over_device": round(ratio, 3)}
    if ratio > 1:
        return check(name, Status.PASSED, wanted, f"{answer.device} is {ratio:.3g} times as fast as the CPU")
    observed = f"{answer.device} takes {1 / ratio:.3g} times as long as the CPU"
    cause = "the GPU is slow for this step, or something else is using it"
    return check(name, Status.FAILED, wanted, observed, cause, "envfix watch")
