"""The machine that envfix runs on: every fact, read side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import UNSET

from envfix.errors import InputError
from envfix.model.machine import Evidence, Machine, Outcome
from envfix.model.target import Target
from envfix.ports import Outside
from envfix.probe import cpu, cudnn, driver_api, kernel_module, nvidia_smi, nvml, session
from envfix.probe.driver import merge_driver
from envfix.probe.evidence import gather, piece
from envfix.probe.gpus import hidden_devices, merge_gpus, pci_devices
from envfix.probe.interpreter import read_target, running_python
from envfix.probe.kernel import find_kernel
from envfix.probe.loader_cache import read_loader_cache
from envfix.probe.nvidia_reading import Reading, nothing
from envfix.probe.toolkit import read_toolkits

T = TypeVar("T")
GRACE = 3.0  # seconds after the budget in which killed children are cleared away


def survey(outside: Outside, target: Target | None, *, budget: float = 5.0) -> Machine:
    """Every fact with its evidence. `target` is the interpreter it is about (None: the one that runs envfix).

    No source has more than `budget` seconds. Nothing here raises for what a machine is like: a source that
    hangs, crashes or prints rubbish is evidence.
    """
    return survey_with_target(outside, target, budget=budget)[0]


def survey_with_target(
    outside: Outside, target: Target | None, *, budget: float = 5.0
) -> tuple[Machine, Target | None]:
    """`survey`, with the interpreter it is about: read beside the other facts where it is not given, and None
    where it did not answer."""
    answers = gather(_jobs(outside, target, budget), budget + GRACE)
    readings = [answers[name] or _hung(name, budget) for name in READINGS]
    driver, driver_conflicts = merge_driver(readings)
    gpus, gpu_conflicts = merge_gpus(readings)
    files, libraries = answers["files"], answers["libraries"]
    target, unread = answers["target"] or (target, ())
    facts: dict[str, Any] = {"driver": driver, "gpus": gpus}
    evidence = [one for reading in readings for one in reading.evidence]
    evidence += [*driver_conflicts, *gpu_conflicts, *unread]
    for name, answer in (("files", files), ("libraries", libraries)):
        if answer is None:
            evidence.append(
                piece(name, "this machine's files", Outcome.TIMEOUT, f"no answer in {budget:g} s")
            )
        else:
            facts.update(answer[0])
            evidence += answer[1]
    return Machine(**facts, **_of_target(target), evidence=tuple(evidence)), target


# In the order of trust.
READINGS: dict[str, Callable[[Outside, float], Reading]] = {
    nvml.SOURCE: nvml.read_nvml,
    driver_api.SOURCE: driver_api.read_driver_api,
    nvidia_smi.QUERY_SOURCE: lambda outside, limit: nvidia_smi.read_query(
        outside, nvidia_smi.find_nvidia_smi(outside), limit
    ),
    nvidia_smi.TABLE_SOURCE: lambda outside, limit: nvidia_smi.read_table(
        outside, nvidia_smi.find_nvidia_smi(outside), limit
    ),
    kernel_module.PROC_VERSION: lambda outside, limit: kernel_module.read_proc_version(outside),
    kernel_module.SYS_VERSION: lambda outside, limit: kernel_module.read_sys_version(outside),
    kernel_module.PROC_GPUS: lambda outside, limit: kernel_module.read_proc_gpus(outside),
}


def _jobs(outside: Outside, target: Target | None, budget: float) -> dict[str, Callable[[], Any]]:
    """One job for each source that can hang by itself; plain files share one."""
    jobs: dict[str, Callable[[], Any]] = {
        name: _bound(read, outside, budget) for name, read in READINGS.items()
    }
    own = _once(lambda: _read_own(outside, target, budget))
    jobs["files"] = lambda: _files(outside)
    jobs["libraries"] = lambda: _libraries(outside, own()[0], budget)
    jobs["target"] = own
    return jobs


def _once(read: Callable[[], T]) -> Callable[[], T]:
    """The one answer of `read`, for which everybody who asks meanwhile waits."""
    asking = threading.Lock()
    answers: list[T] = []

    def answer() -> T:
        with asking:
            if not answers:
                answers.append(read())
            return answers[0]

    return answer


def _bound(
    read: Callable[[Outside, float], Reading], outside: Outside, limit: float
) -> Callable[[], Reading]:
    return lambda: read(outside, limit)


def _hung(source: str, budget: float) -> Reading:
    fact = {kernel_module.PROC_GPUS: "gpus"}.get(
        source, "driver.release" if source.startswith("/") else "driver"
    )
    return nothing(source, Outcome.TIMEOUT, f"no answer in {budget:g} s", fact)


def _files(outside: Outside) -> tuple[dict[str, Any], list[Evidence]]:
    """What is read from files and variables alone."""
    platform, of_platform = session.read_platform(outside, find_kernel(outside))
    wsl, of_wsl = session.read_wsl(outside)
    flags, of_cpu = cpu.read_cpu(outside)
    facts = {
        "platform": platform,
        "wsl": wsl,
        "cpu_flags": flags,
        "environment": session.read_environment(outside),
    }
    evidence = [
        *hidden_devices(outside),
        *pci_devices(outside),
        *of_platform,
        *of_wsl,
        *session.read_container(outside),
        *of_cpu,
    ]
    return facts, evidence


def _libraries(
    outside: Outside, target: Target | None, budget: float
) -> tuple[dict[str, Any], list[Evidence]]:
    """Toolkit and cuDNN, which both need the loader's cache."""
    cache = read_loader_cache(outside, budget)
    toolkit, of_toolkit = read_toolkits(outside, cache, _conda(outside, target), budget)
    found, of_cudnn = cudnn.read_cudnn(outside, cache, toolkit, target)
    return {"toolkit": toolkit, "cudnn": found}, [*of_toolkit, *of_cudnn]


def _conda(outside: Outside, target: Target | None) -> tuple[str, ...]:
    """The conda environments that may hold a toolkit: the active one, and the target's own."""
    prefixes = [outside.environ.get("CONDA_PREFIX", ""), target.base_prefix if target else ""]
    return tuple(dict.fromkeys(path for path in prefixes if path and outside.exists(f"{path}/conda-meta")))


def _read_own(
    outside: Outside, target: Target | None, budget: float
) -> tuple[Target | None, tuple[Evidence, ...]]:
    if target is not None:
        return target, ()
    try:
        return read_target(outside, running_python(), timeout=budget), ()
    except InputError as error:
        return None, (piece("python", running_python(), Outcome.FAILED, error.message),)


def _of_target(target: Target | None) -> dict[str, Any]:
    if target is None:
        return {}
    return {
        "os": target.os,
        "arch": target.arch,
        "glibc": target.glibc if target.glibc is not None else UNSET,
        "python": target.feature,
        "installed": {dist.name: dist.version for dist in target.installed},
    }
