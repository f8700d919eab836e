"""Whether the input pipeline keeps the device fed: how long the step waits for it, built in four ways."""

from __future__ import annotations

from typing import Any

from envfix.model.outcome import Check, Status
from envfix.verify.deep_answer import WANTED, Answer, check

# The same pipeline, measured twice, differs by a tenth or two on a machine that does something else too.
NOISE = 1.5
STARVED = 0.3


def pipeline(answer: Answer, measured: dict[str, Any]) -> Check:
    """Throughput and waiting of four pipelines of the same images: single examples, batches, batches fetched
    ahead, and decoded side by side too."""
    name = "input pipeline"
    on_cpu = answer.device == "CPU:0"
    # A CPU may well be as fast with single examples: its caches hold them.
    wanted = "prefetch costs nothing" if on_cpu else WANTED[name]
    stopped = answer.stopped(name, wanted, "pipeline")
    if stopped:
        return stopped
    done = answer.done("pipeline")
    cpus = done["cpus"]
    ways = {way: done[way] for way in ("neither", "batch", "prefetch", "parallel")}
    measured["pipeline"] = {"cpus": cpus, **ways}
    speed = {way: figures["examples_per_second"] for way, figures in ways.items()}
    waits = {way: f"{100 * figures['waiting']:.0f} %" for way, figures in ways.items()}
    observed = (
        f"{answer.device} waits for its input {waits['batch']} of the time with batches, "
        f"{waits['prefetch']} with prefetch too, {waits['parallel']} with a parallel map too; batches give "
        f"{speed['batch'] / speed['neither']:.2g} times the examples of single ones, prefetch "
        f"{speed['prefetch'] / speed['batch']:.2g} times those"
    )
    if ways["parallel"]["waiting"] > STARVED:
        observed += f"; {_cpus(cpus)} cannot feed {answer.device}: it starves on images of this kind"
    if not on_cpu and speed["batch"] * NOISE < speed["neither"]:
        return check(name, Status.FAILED, wanted, observed, "batches are slower than single examples")
    if speed["prefetch"] * NOISE < speed["batch"]:
        cause = "fetching ahead takes more from the step than it gives: the CPU is busy with something else"
        return check(name, Status.FAILED, wanted, observed, cause)
    return check(name, Status.PASSED, wanted, observed)


def _cpus(number: int) -> str:
    return "one CPU" if number == 1 else f"{number} CPUs"
