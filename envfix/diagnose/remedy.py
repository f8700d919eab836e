"""The fix for *this* platform; never an install where no install can help."""

from __future__ import annotations

import re
from collections.abc import Collection

from envfix.model.diagnosis import Cause, Helps, Place
from envfix.model.machine import Machine, Os, Platform, known
from envfix.model.versions import ComputeCapability

COMMAND = "$ "
INSTALL = re.compile(r"\binstall\b|\bconda create\b|\buv (?:pip|add|sync)\b", re.IGNORECASE)
_NOTEBOOKS = (Platform.COLAB, Platform.KAGGLE, Platform.SAGEMAKER, Platform.JUPYTER)
NO_GPU = "nothing that can be installed helps here: this machine has no NVIDIA GPU that TensorFlow could use"
# The wheels of TensorFlow 2 have code for this and newer (compat_matrix/tensorflow.yaml).
OLDEST = ComputeCapability("3.5")
TOO_OLD = (
    f"nothing that can be installed helps here: no wheel of TensorFlow 2 has code for a GPU below {OLDEST}"
)
# What a step says instead of a release that the text may name.
RELEASE = "MAJOR.MINOR"
NO_MAC = (
    "nothing that can be installed helps here: CUDA does not exist on macOS, and TensorFlow runs on its CPU"
)


def fix(cause: Cause, machine: Machine, told: Collection[str]) -> tuple[str, ...]:
    """The steps of the cause for where the machine is; commands as they are typed there."""
    places = places_of(machine, told)
    fitting = [each for each in cause.fix if places.intersection(each.where)]
    general = [each for each in cause.fix if not each.where]
    steps = (fitting or general)[0].steps
    barred = _barred(machine)
    if cause.installs is Helps.WITH_GPU and barred:
        kept = tuple(step for step in steps if not INSTALL.search(step))
        steps = (barred, *(kept if len(kept) < len(steps) else ()))
    sign = "!" if known(machine.platform, None) in _NOTEBOOKS else ""
    release = _release(machine)
    steps = tuple(step.replace(RELEASE, release) for step in steps)
    return tuple(sign + step[len(COMMAND) :] if step.startswith(COMMAND) else step for step in steps)


def places_of(machine: Machine, told: Collection[str]) -> set[Place]:
    """Every place that the machine is known, or seen, to be."""
    platform, system = known(machine.platform, None), known(machine.os, None)
    found = {
        Place.COLAB: platform is Platform.COLAB,
        Place.KAGGLE: platform is Platform.KAGGLE,
        Place.CONTAINER: "container" in told,
        Place.WSL: known(machine.wsl, False),
        Place.WINDOWS: system is Os.WINDOWS and not known(machine.wsl, False),
        Place.MACOS: system is Os.MACOS,
        Place.JETSON: "jetson" in told,
        Place.CONDA: "conda" in told or "CONDA_PREFIX" in known(machine.environment, {}),
        Place.LINUX: system is Os.LINUX,
    }
    return {place for place, there in found.items() if there}


def _barred(machine: Machine) -> str:
    """Why no install can bring a GPU here, or ""."""
    if known(machine.os, None) is Os.MACOS:
        return NO_MAC
    if machine.has_no_gpu:
        return NO_GPU
    capabilities = [known(gpu.compute_capability, None) for gpu in known(machine.gpus, ())]
    old = [each is not None and each < OLDEST for each in capabilities]
    return TOO_OLD if old and all(old) else ""


def _release(machine: Machine) -> str:
    """`2.15` of the TensorFlow that is known; RELEASE itself where none is."""
    found = re.match(r"\d+\.\d+", known(machine.installed, {}).get("tensorflow", ""))
    return found[0] if found else RELEASE
