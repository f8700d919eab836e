"""Where the ops of the training step are placed, and which of them this build has no GPU kernel for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from envfix.model.outcome import REPAIR, Check, Status
from envfix.verify.deep_answer import ON_CPU, WANTED, Answer, check, place, skipped

# `tensorflow/core/common_runtime/placer.cc`, LogDeviceAssignment: the name, the op and the device of a node.
_PLACED = re.compile(r"placer\.cc:\d+\] .+?: \((\w+)\): (\S+)$", re.MULTILINE)
_BETWEEN = re.compile(r"^@envfix-placing@$(.*)^@envfix-placed@$", re.MULTILINE | re.DOTALL)
# Ends of a function, which belong to its caller.
_BOUNDARY = frozenset(("_Arg", "_Retval", "_DeviceArg", "_DeviceRetval"))
# What a step spends its time on. Shapes, constants and the like may stay on the CPU without harm.
WORK = frozenset(
    (
        "AssignSubVariableOp",
        "Conv2D",
        "Conv2DBackpropFilter",
        "Conv2DBackpropInput",
        "MatMul",
        "MaxPool",
        "MaxPoolGrad",
        "Relu",
        "ReluGrad",
        "SparseSoftmaxCrossEntropyWithLogits",
    )
)
# A kernel registered for DEVICE_DEFAULT serves every device (`tensorflow/core/framework/types.h`).
ON_GPU = frozenset(("GPU", "DEFAULT"))


def kernels(answer: Answer, *, on_cpu: bool) -> Check:
    """Which ops of the step have no GPU kernel in this build, by its own registry; nothing is run."""
    name = "GPU kernels"
    wanted = WANTED[name]
    stopped = answer.stopped(name, wanted, "import", "kernels")
    if stopped:
        return stopped
    if on_cpu:
        return skipped(name, "not run", ON_CPU)
    without = without_kernel(answer)
    types = answer.done("kernels")
    if not without:
        return check(name, Status.PASSED, wanted, f"{len(types)} of {len(types)} ops of the step have one")
    observed = f"no GPU kernel: {', '.join(without)}"
    if WORK.isdisjoint(without):
        return check(name, Status.PASSED, wanted, f"{observed}; none of them does the step's work")
    return check(name, Status.FAILED, wanted, observed, "this build lacks them", REPAIR)


def without_kernel(answer: Answer) -> list[str]:
    """The ops of the step that this build can run on the CPU alone."""
    found: Mapping[str, Sequence[str]] = answer.done("kernels")
    return [op for op, devices in found.items() if devices and ON_GPU.isdisjoint(devices)]


def placement(placed: Answer, answer: Answer, measured: dict[str, Any]) -> Check:
    """The device of each op, as TensorFlow's placer logged it with soft placement on."""
    name = "op placement"
    wanted = f"the step's work is placed on {placed.device}"
    stopped = placed.stopped(name, wanted, "import", "devices", "step")
    if stopped:
        return stopped
    counts = logged(placed.log)
    if not counts:
        return skipped(name, "not known", "TensorFlow's log does not say where it placed the ops", wanted)
    measured["placement"] = counts
    devices: Counter[str] = Counter()
    for where in counts.values():
        devices.update(where)
    # The one that was asked for first.
    order = sorted(devices.items(), key=lambda item: (item[0] != placed.device, item[0]))
    observed = ", ".join(f"{number} ops on {device}" for device, number in order)
    moved = [op for op, where in counts.items() if set(where) - {placed.device}]
    if moved:
        observed += f"; not on {placed.device}, and TensorFlow gives no warning: {_why(moved, answer)}"
    if WORK.isdisjoint(moved):
        return check(name, Status.PASSED, wanted, observed)
    cause = f"soft placement moved {', '.join(op for op in moved if op in WORK)}"
    return check(name, Status.FAILED, wanted, observed, cause, REPAIR)


def logged(log: str) -> dict[str, dict[str, int]]:
    """How many nodes of each op were placed on which device; empty where the log does not tell."""
    counts: dict[str, dict[str, int]] = {}
    for part in _BETWEEN.findall(log):
        for op, device in _PLACED.findall(part):
            if op not in _BOUNDARY:
                where = counts.setdefault(op, {})
                where[place(device)] = where.get(place(device), 0) + 1
    return dict(sorted(counts.items()))


def _why(moved: Sequence[str], answer: Answer) -> str:
    """Each op, and that it has no GPU kernel where that is so."""
    without = without_kernel(answer)
    return ", ".join(f"{op} (no GPU kernel)" if op in without else op for op in moved)
