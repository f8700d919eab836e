"""What `deep_child.py` said, and the shape of the checks that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from envfix.model.outcome import Check, Status
from envfix.verify.transcript import Transcript

WANTED = {
    "GPU kernels": "this build has a GPU kernel for every op of a training step",
    "training step": "runs on the device, and the loss falls",
    "op placement": "the step's work is placed on the device",
    "device and host time": "the step takes less time on the GPU than on the CPU",
    "GPU utilisation": "NVML sees the GPU at work while the step runs",
    "GPU memory": "with memory growth on, TensorFlow takes what it needs and not all of it",
    "logical devices": "each device is one logical device",
    "input pipeline": "batches are faster than single examples, and prefetch costs nothing",
}
CHECKS = tuple(WANTED)
ON_CPU = "the CPU was asked for"


class Answer(Struct, frozen=True, kw_only=True):
    """One run of the child: what it answered, its whole log, and the device it was to use (`GPU:0`)."""

    heard: Transcript
    log: str
    device: str

    def done(self, step: str) -> Mapping[str, Any]:
        """What the step said; empty where it was not reached."""
        done: Mapping[str, Any] = self.heard.answer.get("done", {}).get(step, {})
        return done

    def stopped(self, name: str, wanted: str, *steps: str) -> Check | None:
        """The check when one of its `steps` raised, died or was not reached; None when the last was done."""
        for step in steps:
            done = self.done(step)
            if "error" in done:
                kind, what = done["error"].partition(":")[0], done["error"].strip().splitlines()[0][:500]
                return check(name, Status.FAILED, wanted, f"raised {kind}", what)
            if not done and self._died_in(step):
                cause = self.heard.cause or "TensorFlow ended the process"
                return check(name, Status.FAILED, wanted, self.heard.ended, cause, self.heard.hint)
        return self.missing(name, wanted, steps[-1])

    def missing(self, name: str, wanted: str, step: str) -> Check | None:
        """The check where the step, whose failure another check tells of, was not done; None when it was."""
        done = self.done(step)
        if done and "error" not in done:
            return None
        return skipped(name, "not reached", "an earlier check failed", wanted)

    def _died_in(self, step: str) -> bool:
        if not self.heard.answer:
            return step == "import"
        return bool(self.heard.answer["doing"] == step)


def check(name: str, status: Status, wanted: str, observed: str, cause: str = "", hint: str = "") -> Check:
    """A check from its parts in their order."""
    return Check(name=name, status=status, expected=wanted, observed=observed, cause=cause, hint=hint)


def skipped(name: str, observed: str, why: str, wanted: str = "") -> Check:
    """A check that was not run, with the reason."""
    return check(name, Status.SKIPPED, wanted or WANTED[name], observed, why)


def place(device: str) -> str:
    """`GPU:0` of `/job:localhost/replica:0/task:0/device:GPU:0`."""
    return device.rpartition("device:")[2] or "an unknown device"
