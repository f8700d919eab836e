"""Whether a condition holds for a machine and a text; what is unknown never holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from envfix.model.diagnosis import Amount, Condition, Presence
from envfix.model.machine import Machine, known

# Built with something else than PyPI's tags, a version is still one of its release.
_RELEASE = re.compile(r"\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?")


def holds(condition: Condition, machine: Machine, told: Collection[str]) -> bool:
    """Whether every fact of the condition is known and as it says."""
    return all(
        check(getattr(condition, name), machine)
        for name, check in CHECKS.items()
        if getattr(condition, name) not in (None, (), {})
    ) and (
        all(name in told for name in condition.told) and not any(name in told for name in condition.untold)
    )


def any_holds(conditions: tuple[Condition, ...], machine: Machine, told: Collection[str]) -> bool:
    """Whether one of the conditions holds; of none, no."""
    return any(holds(condition, machine, told) for condition in conditions)


def _presence(fact: str) -> Callable[[Any, Machine], bool]:
    def check(wanted: Presence, machine: Machine) -> bool:
        value = getattr(machine, fact)
        return known(value, machine) is not machine and (value is None) == (wanted is Presence.ABSENT)

    return check


def _same(fact: str) -> Callable[[Any, Machine], bool]:
    return lambda wanted, machine: bool(known(getattr(machine, fact), None) == wanted)


def _number(machine: Machine, path: str) -> Any:
    value: Any = machine
    for name in path.split("."):
        value = known(getattr(value, name), None) if value is not None else None
    return value


def _below(path: str) -> Callable[[Any, Machine], bool]:
    def check(bound: Any, machine: Machine) -> bool:
        value = _number(machine, path)
        return value is not None and value < bound

    return check


def _from(path: str) -> Callable[[Any, Machine], bool]:
    def check(bound: Any, machine: Machine) -> bool:
        value = _number(machine, path)
        return value is not None and value >= bound

    return check


def _gpus(wanted: Amount, machine: Machine) -> bool:
    if wanted is Amount.NONE:
        return known(machine.gpus, None) == ()
    return bool(known(machine.gpus, ()))


def _capabilities(machine: Machine) -> list[Any]:
    """Of every GPU; empty where one of them is unknown."""
    found = [known(gpu.compute_capability, None) for gpu in known(machine.gpus, ())]
    return [] if None in found else found


def _named(pattern: str, machine: Machine) -> bool:
    names = (known(gpu.name, "") for gpu in known(machine.gpus, ()))
    return any(re.search(pattern, name, re.IGNORECASE) for name in names)


def _installed(wanted: dict[str, SpecifierSet], machine: Machine) -> bool:
    there = known(machine.installed, {})
    return all(name in there and _within(there[name], bounds) for name, bounds in wanted.items())


def _within(version: str, bounds: SpecifierSet) -> bool:
    try:
        return bounds.contains(Version(version).base_version, prereleases=True)
    except InvalidVersion:
        release = _RELEASE.match(version)
        return release is not None and bounds.contains(release[0], prereleases=True)


def _lacking(names: tuple[str, ...], machine: Machine) -> bool:
    there = known(machine.installed, None)
    return there is not None and not any(name in there for name in names)


def _environment(wanted: dict[str, str], machine: Machine) -> bool:
    there = known(machine.environment, {})
    return all(name in there and re.search(pattern, there[name]) for name, pattern in wanted.items())


CHECKS: dict[str, Callable[[Any, Machine], bool]] = {
    "driver": _presence("driver"),
    "driver_below": _below("driver.release"),
    "driver_from": _from("driver.release"),
    "driver_cuda_below": _below("driver.cuda"),
    "gpus": _gpus,
    "gpu_named": _named,
    "capability_below": lambda bound, machine: (
        bool(_capabilities(machine)) and max(_capabilities(machine)) < bound
    ),
    "capability_from": lambda bound, machine: any(each >= bound for each in _capabilities(machine)),
    "os": _same("os"),
    "arch": _same("arch"),
    "wsl": _same("wsl"),
    "platform": lambda wanted, machine: known(machine.platform, None) in wanted,
    "python_below": _below("python"),
    "python_from": _from("python"),
    "glibc_below": _below("glibc"),
    "cpu_lacks": lambda flag, machine: flag not in known(machine.cpu_flags, (flag,)),
    "toolkit": _presence("toolkit"),
    "toolkit_below": _below("toolkit.version"),
    "toolkit_from": _from("toolkit.version"),
    "cudnn_below": _below("cudnn.version"),
    "cudnn_from": _from("cudnn.version"),
    "installed": _installed,
    "not_installed": _lacking,
    "environment": _environment,
}
