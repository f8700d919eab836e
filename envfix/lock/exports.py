"""A lock in the words of other tools: a Dockerfile, a conda environment, a `pyproject.toml`.

Each is made from the lock alone, so that the same lock gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envfix import __version__
from envfix.errors import InputError
from envfix.lock.pylock import marker
from envfix.model.plan import Floors, Lock
from envfix.model.versions import PythonRelease

TEMPLATES = Path(__file__).with_name("templates")
MADE = "# Made by envfix "
LOCK = "pylock.envfix.toml"
MACHINE = "machine.envfix.json"
_OLDEST = PythonRelease("3.10")  # that envfix itself runs on


class Export(str, Enum):
    """What `envfix lock --format` takes; `pylock` is the lock itself."""

    PYLOCK = "pylock"
    DOCKERFILE = "dockerfile"
    CONDA = "conda"
    PYPROJECT = "pyproject"
    UV = "uv"


FILES = {
    Export.DOCKERFILE: "Dockerfile",
    Export.CONDA: "environment.yml",
    Export.PYPROJECT: "pyproject.toml",
    Export.UV: "pyproject.toml",
}


def export(lock: Lock, kind: Export) -> str:
    """The text of a file that another tool reads.

    A Dockerfile copies the lock and the machine from beside it, as LOCK and MACHINE. Raises InputError for a
    lock that the tool has no words for.
    """
    return _WRITERS[kind](lock)


def machine_of(floors: Floors) -> str:
    """A machine file of just what a lock asks for: the machine that an image is built for."""
    import json

    machine: dict[str, Any] = {
        "name": "locked", "platform": "ci", "os": floors.os, "arch": floors.arch, "python": floors.python,
    }  # fmt: skip
    if floors.glibc:
        machine["glibc"] = floors.glibc
    if floors.accelerator == "gpu":
        machine["driver"] = {"release": floors.driver}
    machine["gpus"] = [
        {"name": f"GPU of compute capability {one}", "compute_capability": one}
        for one in floors.compute_capabilities
    ]
    return json.dumps(machine, indent=2) + "\n"


def _dockerfile(lock: Lock) -> str:
    floors = lock.floors
    if floors.os != "linux":
        raise InputError(f"a Dockerfile is for Linux, found a lock for {floors.os}", "envfix lock")
    if lock.cuda == "system":
        raise InputError(
            "a Dockerfile is made for CUDA from wheels, found a lock for the CUDA of the system",
            "envfix lock --format dockerfile --cuda wheels",
        )
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    engine = Environment(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # no markup: what goes in is versions and names of files
    )
    return engine.get_template("Dockerfile.jinja").render(
        **_words(lock),
        arch=floors.arch,
        os=floors.os,
        envfix=__version__,
        gpu=floors.accelerator == "gpu",
        driver=floors.driver,
        own_python=PythonRelease(floors.python) >= _OLDEST,
        lock=LOCK,
        machine=MACHINE,
    )


def _conda(lock: Lock) -> str:
    """Python from conda, the rest with pip by hash: conda-forge's TensorFlow is a build of its own."""
    lines = [
        f"{MADE}for {lock.package} {lock.tensorflow}: conda env create -f environment.yml",
        *_afterwards(lock),
        f"name: tensorflow-{lock.tensorflow}",
        "channels: [conda-forge]",
        "dependencies:",
        f"  - python={lock.floors.python}",
        "  - pip",
        "  - pip:",
        "      - --require-hashes",
    ]
    for package in sorted(lock.resolution.packages, key=lambda package: package.name):
        files = [*package.wheels, *([package.sdist] if package.sdist else [])]
        hashes = " ".join(f"--hash=sha256:{one}" for one in sorted({file.sha256 for file in files}))
        lines.append(f"      - {package.name}=={package.version} {hashes}")
    return "\n".join(lines) + "\n"


def _pyproject(lock: Lock) -> str:
    """Every package as a pinned dependency: what pip, poetry, pdm and hatch read alike."""
    return _toml(lock, {"project": {**_project(lock), "dependencies": _pins(lock)}})


def _uv(lock: Lock) -> str:
    """What was asked for as dependencies, and the rest held by `[tool.uv]`, for `uv lock` and `uv sync`."""
    where = [marker(lock.floors)]
    held = {"package": False, "environments": where, "constraint-dependencies": _pins(lock)}
    # Caps on what nobody asked for are among the requirements too; here they would bring it in.
    there = {package.name for package in lock.resolution.packages}
    asked = [line for line in lock.requirements if canonicalize_name(Requirement(line).name) in there]
    project = {**_project(lock), "dependencies": asked}
    return _toml(lock, {"project": project, "tool": {"uv": held}})


def _project(lock: Lock) -> dict[str, Any]:
    return {"name": "tensorflow-environment", "version": "0", "requires-python": f"=={lock.floors.python}.*"}


def _pins(lock: Lock) -> list[str]:
    packages = sorted(lock.resolution.packages, key=lambda package: package.name)
    return [f"{package.name}=={package.version}" for package in packages]


def _toml(lock: Lock, data: Mapping[str, Any]) -> str:
    import tomli_w

    head = (f"{MADE}for {lock.package} {lock.tensorflow}.", *_afterwards(lock), "")
    return "\n".join(head) + tomli_w.dumps(data)


def _afterwards(lock: Lock) -> list[str]:
    """What is left to do, with the options of the lock: without them, more would be installed."""
    command = " ".join(["envfix install", *lock.options])
    lines = [
        f"# Afterwards, with the new environment active, `{command}` lets TensorFlow find these libraries, "
        "and proves it."
    ]
    if lock.cuda == "system":
        lines.append(
            "# CUDA and cuDNN are the machine's own (`--cuda system`): TensorFlow has no wheels of them here."
        )
    if lock.left_out:
        lines.append(
            f"# Left out (`--minimal`), as TensorFlow does not open them: {', '.join(lock.left_out)}."
        )
    return lines


def _words(lock: Lock) -> dict[str, str]:
    return {"package": lock.package, "tensorflow": lock.tensorflow, "python": lock.floors.python}


_WRITERS: Mapping[Export, Callable[[Lock], str]] = {
    Export.DOCKERFILE: _dockerfile,
    Export.CONDA: _conda,
    Export.PYPROJECT: _pyproject,
    Export.UV: _uv,
}
