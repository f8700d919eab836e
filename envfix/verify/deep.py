"""`verify --deep`: a small training step is run and measured, and each check says what was measured.

What is a ratio is said as a ratio: a time alone says nothing without the machine it was taken on. The figures
themselves are in `Verification.measured`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from envfix.model.machine import Machine
from envfix.model.outcome import Check, Proof, Status, Verification
from envfix.model.request import Accelerator
from envfix.ports import Outside
from envfix.verify import deep_memory, deep_pipeline, deep_placement, transcript
from envfix.verify.checks import NO_KERNELS, environment
from envfix.verify.deep_answer import CHECKS, Answer, check, place, skipped

CHILD = str(Path(__file__).parent / "deep_child.py")
ON_CPU = "the CPU was asked for"


class Runs(Struct, frozen=True, kw_only=True):
    """The two runs of the child: the measured one, and the one whose placement is logged."""

    measured: Answer
    placed: Answer | None


def deepen(
    outside: Outside,
    done: Verification,
    *,
    accelerator: Accelerator,
    machine: Machine,
    stub: str | None = None,
    sampler: Sequence[str] = (),
    timeout: float = 180.0,
) -> Verification:
    """`done` with the checks of the training step.

    `sampler` is the command that prints what the GPUs do, a look a line. Nothing is run where `done` has
    failed: the step would only fail again, and later.
    """
    if not done.passed or done.proof is None:
        late = tuple(skipped(name, "not reached", "an earlier check failed") for name in CHECKS)
        return structs.replace(done, checks=(*done.checks, *late), measured={})
    env = environment(outside, machine, stub)
    looks = json.dumps(list(sampler) if done.proof is Proof.GPU else [])

    def answer(mode: str) -> Answer:
        ran = outside.run([done.python, CHILD, mode, looks], timeout=timeout, env=env)
        return Answer(heard=transcript.read(ran), log=ran.err, device=_device(accelerator))

    runs = Runs(
        measured=answer(done.proof.value),
        placed=None if done.proof is Proof.LOADER else answer(f"{done.proof.value}-placement"),
    )
    checks, measured = _judge(runs, done.proof)
    return structs.replace(done, checks=(*done.checks, *checks), measured=measured)


def _device(accelerator: Accelerator) -> str:
    return "CPU:0" if accelerator is Accelerator.CPU else "GPU:0"


def _judge(runs: Runs, proof: Proof) -> tuple[tuple[Check, ...], dict[str, Any]]:
    """The checks in order, and the figures behind them."""
    measured: dict[str, Any] = {}
    on_gpu = proof is Proof.GPU
    checks = [deep_placement.kernels(runs.measured, on_cpu=proof is Proof.CPU)]
    if runs.placed is None:
        rest = (skipped(name, "not run", NO_KERNELS) for name in CHECKS[1:])
        return (*checks, *rest), measured
    checks += [
        _training(runs.measured, measured),
        deep_placement.placement(runs.placed, runs.measured, measured),
        _host(runs.measured, measured) if on_gpu else skipped("device and host time", "not run", ON_CPU),
        deep_memory.utilisation(runs.measured, measured)
        if on_gpu
        else skipped("GPU utilisation", "not run", ON_CPU),
        deep_memory.memory(runs.measured, measured) if on_gpu else skipped("GPU memory", "not run", ON_CPU),
        deep_memory.logical(runs.measured, measured),
        deep_pipeline.pipeline(runs.measured, measured),
    ]
    ended = runs.measured.heard
    if ended.complete and ended.ended != "exit 0":
        checks.append(check("end of training", Status.FAILED, "exit 0", ended.ended, ended.cause, ended.hint))
    return tuple(checks), measured


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
