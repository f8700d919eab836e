"""GPU utilisation and memory while the training step ran, and TensorFlow's own devices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from envfix.model.outcome import Check, Status
from envfix.model.usage import Activity, GpuUsage, Sample, activity
from envfix.reading import convert
from envfix.verify.deep_answer import WANTED, Answer, check, skipped

# `tensorflow/core/common_runtime/gpu/gpu_device.cc`: which card the logical GPU:0 is.
_BUS = re.compile(r"device:GPU:0 with .*?pci bus id: ([0-9A-Fa-f]+:[0-9A-Fa-f]+:[0-9A-Fa-f]+\.[0-9A-Fa-f])")
# With growth a small step holds some hundred MiB, cuDNN and the CUDA context included; without it TensorFlow
# takes all but a few percent of what is free.
NEARLY_ALL = 0.8
MIB = 1 << 20


def utilisation(answer: Answer, measured: dict[str, Any]) -> Check:
    """What NVML saw of the GPU while the step ran; NVML's is the share of time in which some kernel ran."""
    name = "GPU utilisation"
    wanted = WANTED[name]
    stopped = answer.missing(name, wanted, "training")
    if stopped:
        return stopped
    looks, trouble = _looks(answer, "training")
    seen = _of_device(answer, activity(looks))
    if seen is None:
        return skipped(name, "not known", trouble or "NVML's GPUs cannot be matched to GPU:0", wanted)
    measured["usage"] = {
        "looks": seen.looks,
        "mean_percent": seen.mean_percent,
        "max_percent": seen.max_percent,
        "max_used_mib": seen.max_used_mib,
        "total_mib": seen.total_mib,
    }
    if seen.mean_percent is None:
        return skipped(name, "not known", "NVML does not tell the utilisation of this GPU", wanted)
    observed = f"{seen.mean_percent:g} % on average, {seen.max_percent} % at most, in {seen.looks} looks"
    if seen.max_percent:
        return check(name, Status.PASSED, wanted, observed)
    return check(name, Status.FAILED, wanted, observed, "the work ran somewhere else")


def memory(answer: Answer, measured: dict[str, Any]) -> Check:
    """What TensorFlow allocated and what the GPU's memory went up by, with memory growth on."""
    name = "GPU memory"
    wanted = WANTED[name]
    stopped = answer.missing(name, wanted, "memory")
    if stopped:
        return stopped
    devices, told = answer.done("devices"), answer.done("memory")
    before = _usage(answer, "before")
    during = _of_device(answer, activity(_looks(answer, "training")[0]))
    total = before.total_mib if before else None
    held = _difference(during.max_used_mib if during else None, before.used_mib if before else None)
    peak = round(told["peak"] / MIB, 1) if "peak" in told else None
    measured["memory"] = {
        "growth_by_default": devices["growth_by_default"],
        "forced_growth": devices["forced_growth"],
        "peak_mib": peak,
        "used_before_mib": before.used_mib if before else None,
        "held_mib": held,
        "total_mib": total,
    }
    observed = _memory_words(peak, held, before) + _growth_words(devices["growth_by_default"])
    free = _difference(total, before.used_mib if before else None)
    if held is not None and free and held > NEARLY_ALL * free:
        forced = devices["forced_growth"]
        if forced is None:
            cause = "memory growth was on, and TensorFlow or another process took nearly all the same"
            return check(name, Status.FAILED, wanted, observed, cause, "envfix watch")
        cause = f"TF_FORCE_GPU_ALLOW_GROWTH=`{forced}` weighs more than what a program sets"
        return check(name, Status.FAILED, wanted, observed, cause, "unset TF_FORCE_GPU_ALLOW_GROWTH")
    if not all(devices["growth"]):
        return check(name, Status.FAILED, wanted, observed, "memory growth cannot be switched on")
    if peak is None and held is None:
        return skipped(name, "not known", "neither TensorFlow nor NVML tells it here", wanted)
    return check(name, Status.PASSED, wanted, observed)


def _memory_words(peak: float | None, held: int | None, before: GpuUsage | None) -> str:
    words = []
    if peak is not None:
        words.append(f"TensorFlow allocated {peak:g} MiB at most")
    if held is not None and before is not None:
        words.append(f"the GPU's used memory went up by {held} of {before.total_mib} MiB")
    if before is not None and before.used_mib:
        owners = ", ".join(
            f"{one.name or 'a process that cannot be seen from here'} ({one.pid})"
            for one in before.processes or ()
        )
        words.append(f"{before.used_mib} MiB were used before" + (f", by {owners}" if owners else ""))
    return "; ".join(words) or "not known"


def _growth_words(by_default: Sequence[bool | None]) -> str:
    if all(by_default):
        return ""
    return "; growth was off until envfix set it: a program that sets nothing takes nearly all of the memory"


def logical(answer: Answer, measured: dict[str, Any]) -> Check:
    """The logical devices that TensorFlow made of the physical ones."""
    name = "logical devices"
    wanted = WANTED[name]
    stopped = answer.stopped(name, wanted, "memory")
    if stopped:
        return stopped
    kind = answer.device.partition(":")[0]
    physical = [one for one in answer.done("devices")["physical"] if f":{kind}:" in one]
    made = [one.rpartition("device:")[2] for one in answer.done("memory")["logical"] if f":{kind}:" in one]
    measured["logical_devices"] = made
    observed = f"{len(physical)} {kind}, {len(made)} logical: {', '.join(made) or 'none'}"
    if made and len(made) == len(physical):
        return check(name, Status.PASSED, wanted, observed)
    return check(name, Status.FAILED, wanted, observed, "TensorFlow made another number of devices of them")


def _looks(answer: Answer, step: str) -> tuple[list[Sample], str]:
    """The looks that were taken in the step, and why there are none."""
    lines = answer.done(step).get("samples", [])
    good = [line for line in lines if line.get("status") == "ok"]
    trouble = next(
        (line.get("text", "") for line in lines if line.get("status") != "ok"), "no look was taken"
    )
    return [convert(line, Sample, "the sampler's answer") for line in good], "" if good else trouble


def _usage(answer: Answer, step: str) -> GpuUsage | None:
    """The first look of the step at the GPU that TensorFlow calls GPU:0."""
    looks, _ = _looks(answer, step)
    seen = _of_device(answer, activity(looks[:1]))
    return next((gpu for gpu in looks[0].gpus if gpu.index == seen.index), None) if seen else None


def _of_device(answer: Answer, seen: Sequence[Activity]) -> Activity | None:
    """The GPU of NVML's that is GPU:0: by its place on the bus, else the only one.

    NVML counts all cards in the order of the bus; TensorFlow those of CUDA_VISIBLE_DEVICES, fastest first.
    """
    found = _BUS.search(answer.log)
    if found:
        return next((one for one in seen if one.bus and _same_bus(one.bus, found[1])), None)
    return seen[0] if len(seen) == 1 else None


def _same_bus(one: str, other: str) -> bool:
    """NVML writes the domain with eight digits, CUDA with four."""
    return [int(part, 16) for part in re.split("[:.]", one)] == [
        int(part, 16) for part in re.split("[:.]", other)
    ]


def _difference(more: int | None, less: int | None) -> int | None:
    return None if more is None or less is None else max(0, more - less)
