"""A machine and an environment as flat facts that can be compared on another day.

No token, no address with credentials, no name of a user or a host is among them: paths lose the home folder,
and the interpreter is told by a digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from msgspec import UNSET

from envfix import __version__
from envfix.model.conflicts import TENSORFLOWS
from envfix.model.machine import Gpu, Machine, known
from envfix.ports import Outside

ABSENT = "none"
LONGEST = 2000  # characters of one value
# Variables that change what TensorFlow finds or does; pip's and uv's change what is installed, which shows.
_VARIABLE = re.compile(
    r"LD_LIBRARY_PATH|LD_PRELOAD|CUDA_(?!CACHE_PATH)\w+|NVIDIA_VISIBLE_DEVICES|XLA_FLAGS|TF_(?!TOKEN|VAR_)\w+|KERAS_BACKEND"
    r"|PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION|PYTHONPATH|PYTHONNOUSERSITE"
)
_PACKAGES = TENSORFLOWS | {
    "envfix-loader", "h5py", "jax", "jax-cuda12-pjrt", "jax-cuda12-plugin", "jaxlib", "keras", "ml-dtypes",
    "numpy", "protobuf", "tf-keras", "torch",
}  # fmt: skip
_HOME = re.compile(r"(?<![\w.-])(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\:;,\s\"']+")
_GPU_ID = re.compile(r"\b(GPU|MIG)-[0-9a-fA-F-]{8,}")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
# What matters most comes first; what is not named follows by the alphabet, packages last.
_ORDER = (
    "driver.release", "driver.cuda", "gpus", "image", "platform", "os", "arch", "python", "glibc", "toolkit",
    "cudnn", "envfix",
)  # fmt: skip


def facts_of(
    machine: Machine, image: str | None, changed: Mapping[str, str | None], outside: Outside
) -> dict[str, str]:
    """What is known, in the order of `place`; `changed` are packages that another version came for."""
    found: dict[str, str | None] = {"envfix": __version__, "image": image}
    driver = machine.driver
    if driver is None:
        found |= {"driver.release": ABSENT, "driver.cuda": ABSENT}
    elif driver is not UNSET:
        found |= {"driver.release": _text(driver.release), "driver.cuda": _text(driver.cuda)}
    if machine.gpus is not UNSET:
        found["gpus"] = ", ".join(_gpu(gpu) for gpu in machine.gpus) or ABSENT
    for name in ("toolkit", "cudnn"):
        there = getattr(machine, name)
        found[name] = ABSENT if there is None else None if there is UNSET else _text(there.version)
    for name in ("platform", "os", "arch", "python", "glibc"):
        found[name] = _text(getattr(machine, name))
    for name, value in known(machine.environment, {}).items():
        if _VARIABLE.fullmatch(name):
            found[f"environment.{name}"] = value
    for name, version in {**known(machine.installed, {}), **changed}.items():
        if name in _PACKAGES or (name.startswith("nvidia-") and name != "nvidia-ml-py"):
            found[f"installed.{name}"] = version
    home = outside.environ.get("HOME", "")
    kept = {name: _private(value, home) for name, value in found.items() if value is not None}
    return dict(sorted(kept.items(), key=lambda pair: place(pair[0])))


def place(fact: str) -> tuple[int, str]:
    """Where a fact stands among others."""
    if fact in _ORDER:
        return _ORDER.index(fact), ""
    first = ("installed.tensorflow", "environment.", "installed.nvidia-", "installed.")
    return len(_ORDER) + next((at for at, start in enumerate(first) if fact.startswith(start)), 9), fact


def digest(text: str) -> str:
    """Twelve digits that tell one path from another without saying it; empty for no path."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12] if text else ""


def _gpu(gpu: Gpu) -> str:
    return f"{known(gpu.name, 'GPU')} ({known(gpu.compute_capability, '?')})"


def _text(value: object) -> str | None:
    return None if value is UNSET or value is None else str(getattr(value, "value", value))


def _private(value: str, home: str) -> str:
    if len(home) > 1:
        value = re.sub(rf"{re.escape(home)}(?![^/:;])", "~", value)
    value = _CREDENTIALS.sub("***@", _GPU_ID.sub(r"\1-...", _HOME.sub("~", value)))
    return value[:LONGEST]
