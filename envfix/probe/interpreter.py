"""The target interpreter, as it says of itself in a child process."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from envfix.errors import InputError
from envfix.model.machine import Arch, Os
from envfix.model.target import Distribution, Target
from envfix.model.versions import GlibcRelease, PythonRelease
from envfix.ports import Outside, Ran

CHILD = str(Path(__file__).with_name("children") / "interpreter.py")
MARK = "envfix-interpreter:"
FLOOR = PythonRelease("3.7")
# Runs on every Python there ever was, to name the version of one that is too old for CHILD.
ASK_VERSION = (
    "import sys; sys.stdout.write('%s%d.%d.%d' % (('envfix-version:',) + tuple(sys.version_info[:3])))"
)
SYSTEMS = {"linux": Os.LINUX, "win32": Os.WINDOWS, "darwin": Os.MACOS}
ARCHITECTURES = {
    "x86_64": Arch.X86_64,
    "amd64": Arch.X86_64,
    "aarch64": Arch.AARCH64,
    "arm64": Arch.AARCH64,
}
HINT = "name an interpreter that is there: --python /usr/bin/python3"


def running_python() -> str:
    """The interpreter that runs envfix: in a notebook, the one `!envfix` found, which is the kernel's."""
    return sys.executable


def read_target(outside: Outside, python: str, *, timeout: float = 20.0) -> Target:
    """What `python` (a path, or a name that PATH finds) is and has installed, read within `timeout` seconds.

    Raises InputError when it is not there, cannot be started, hangs, is no Python, is older than 3.7, or is
    built for a system or architecture that TensorFlow has no wheels for.
    """
    path = _locate(outside, python)
    # -B: looking must not leave a .pyc behind; -I -S: nothing of the environment is executed.
    ran = outside.run([path, "-I", "-S", "-B", CHILD], timeout=timeout)
    answer = _answer(ran)
    if answer is None:
        raise _no_target(outside, path, ran)
    try:
        return _target(path, msgspec.convert(answer, _Answer))
    except (msgspec.ValidationError, ValueError) as problem:
        raise InputError(f"`{path}` does not answer as an interpreter does: {problem}", HINT) from None


def distributions(installed: Mapping[str, str]) -> tuple[Distribution, ...]:
    """The distributions of a machine file's `installed`, whose requirements nobody knows."""
    return tuple(
        Distribution(name=normalised(name), version=version) for name, version in sorted(installed.items())
    )


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _locate(outside: Outside, python: str) -> str:
    """The path to run. A name without a slash is looked up on PATH, as a shell would."""
    if not python:
        raise InputError("the interpreter's path is empty", HINT)
    if os.sep not in python and "/" not in python:
        found = outside.which(python)
        if found is None:
            raise InputError(f"`{python}` is not on PATH", HINT)
        return found
    path = str(Path(python).expanduser().absolute())
    if outside.is_dir(path):
        inside = next(
            (name for name in ("bin/python", "Scripts/python.exe") if outside.exists(f"{path}/{name}")), None
        )
        hint = f"name the interpreter in it: --python {shlex.quote(f'{path}/{inside}')}" if inside else HINT
        raise InputError(f"`{python}` is a folder, not a Python interpreter", hint)
    if not outside.exists(path):
        raise InputError(f"`{python}` does not exist", HINT)
    return path


class _Answer(msgspec.Struct):
    """What CHILD says."""

    python: str
    executable: str | None
    implementation: str
    system: str
    machine: str
    glibc: str
    prefix: str
    base_prefix: str
    purelib: str
    platlib: str
    scripts: str
    data: str
    headers: str
    virtual: bool
    externally_managed: str
    installed: tuple[tuple[str, str, tuple[str, ...], str, str], ...]


def _answer(ran: Ran) -> dict[str, Any] | None:
    """The child's object; None where its output holds none (whatever else was printed around it)."""
    for line in reversed(ran.out.splitlines()):
        if line.startswith(MARK):
            try:
                answer = json.loads(line[len(MARK) :])
            except (ValueError, RecursionError):
                return None
            return answer if isinstance(answer, dict) else None
    return None


def _no_target(outside: Outside, path: str, ran: Ran) -> InputError:
    """Why there is no target: the sentence for the way in which `path` failed."""
    if ran.timed_out:
        return InputError(f"`{path}` does not answer: {ran.error}", HINT)
    if ran.error:
        return InputError(f"`{path}` {ran.error}", HINT)
    version = _old_version(outside, path)
    if version:
        return InputError(
            f"`{path}` is Python {version}, envfix works on Python >= {FLOOR}",
            "name a newer interpreter: --python python3.11",
        )
    said = next((line.strip() for line in (ran.err + "\n" + ran.out).splitlines() if line.strip()), "nothing")
    ended = (
        f"was ended by signal {-ran.code}"
        if ran.code is not None and ran.code < 0
        else f"ended with {ran.code}"
    )
    return InputError(f"`{path}` is no Python interpreter: it {ended} and said `{said[:120]}`", HINT)


def _old_version(outside: Outside, path: str) -> str:
    ran = outside.run([path, "-c", ASK_VERSION], timeout=5.0)
    found = re.search(r"envfix-version:([0-9]+\.[0-9]+\.[0-9]+)$", ran.out) if ran.ok else None
    return found[1] if found and PythonRelease(found[1]) < FLOOR else ""


def _target(path: str, answer: _Answer) -> Target:
    system, machine = answer.system, answer.machine
    if system not in SYSTEMS:
        raise InputError(f"`{path}` is a Python for `{system}`, envfix knows {', '.join(sorted(SYSTEMS))}")
    if machine.lower() not in ARCHITECTURES:
        raise InputError(
            f"`{path}` is built for `{machine}`, TensorFlow has wheels for x86_64 and aarch64 only"
        )
    return Target(
        executable=answer.executable or path,
        python=PythonRelease(answer.python),
        implementation=answer.implementation,
        os=SYSTEMS[system],
        arch=ARCHITECTURES[machine.lower()],
        glibc=GlibcRelease(answer.glibc) if answer.glibc else None,
        prefix=answer.prefix,
        base_prefix=answer.base_prefix,
        purelib=answer.purelib,
        platlib=answer.platlib,
        virtual=answer.virtual,
        externally_managed=answer.externally_managed,
        installed=tuple(
            Distribution(
                name=name, version=version, requires=requires, location=location, installer=installer
            )
            for name, version, requires, location, installer in answer.installed
        ),
        scripts=answer.scripts,
        data=answer.data,
        headers=answer.headers,
    )
