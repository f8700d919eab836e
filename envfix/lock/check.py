"""Whether a lock may be installed here: its floors against the machine and the interpreter."""

from __future__ import annotations

from collections.abc import Iterator

from envfix.errors import LockMismatch
from envfix.model.machine import Machine, known
from envfix.model.plan import Floors, Lock
from envfix.model.target import Target
from envfix.model.versions import DriverRelease, GlibcRelease


def check_lock(
    lock: Lock, machine: Machine, target: Target, matrix_digest: str, anew: str = "envfix lock"
) -> tuple[str, ...]:
    """What should be said although the lock fits: a newer matrix, facts of the machine that are unknown.

    Raises LockMismatch with everything that was wanted and found. The GPUs' compute capabilities must be
    among those the lock was decided for: the NVIDIA wheels were bounded for them. `anew` is the command that
    makes another lock.
    """
    floors = lock.floors
    problems = [*_interpreter(floors, target)]
    warnings: list[str] = []
    if floors.accelerator == "gpu":
        problems += _gpu(floors, machine, warnings)
    if problems:
        raise LockMismatch(f"the lock does not fit: {'; '.join(problems)}", anew)
    if lock.matrix_digest != matrix_digest:
        warnings.append(
            f"the lock was decided from matrix {lock.matrix_digest[:12]}, "
            f"this envfix has {matrix_digest[:12]}: "
            f"`{anew}` decides anew"
        )
    return tuple(warnings)


def _interpreter(floors: Floors, target: Target) -> Iterator[str]:
    pairs = (
        ("Python", floors.python, str(target.feature)),
        ("os", floors.os, target.os.value),
        ("arch", floors.arch, target.arch.value),
    )
    for what, wanted, found in pairs:
        if wanted != found:
            yield f"needs {what} {wanted}, found {found}"
    if floors.glibc and target.glibc is None:
        yield f"needs glibc >= {floors.glibc}, found none"
    elif floors.glibc and target.glibc is not None and target.glibc < GlibcRelease(floors.glibc):
        yield f"needs glibc >= {floors.glibc}, found {target.glibc}"


def _gpu(floors: Floors, machine: Machine, warnings: list[str]) -> Iterator[str]:
    if floors.driver and machine.driver is None:
        yield f"needs driver >= {floors.driver}, found none"
    elif floors.driver:
        release = known(machine.driver.release, None) if machine.driver else None
        if release is None:
            warnings.append(f"the lock needs driver >= {floors.driver}; this machine's driver is unknown")
        elif release < DriverRelease(floors.driver):
            yield f"needs driver >= {floors.driver}, found {release}"
    if not floors.compute_capabilities:
        return
    wanted = " or ".join(floors.compute_capabilities)
    if machine.gpus == ():
        yield f"needs a GPU of compute capability {wanted}, found none"
    for gpu in known(machine.gpus, ()):
        capability = str(known(gpu.compute_capability, ""))
        name = known(gpu.name, "a GPU")
        if not capability:
            warnings.append(f"the lock is for compute capability {wanted}; that of {name} is unknown")
        elif capability not in floors.compute_capabilities:
            yield f"needs compute capability {wanted}, found {capability} ({name})"
