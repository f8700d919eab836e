"""From a machine to bounds: an exact version of every NVIDIA wheel, and the caps an old release needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import UNSET
from packaging.specifiers import SpecifierSet

from envfix.model.decision import Bound
from envfix.model.machine import Machine
from envfix.model.matrix import Effect, KnownBad, Matrix, Release
from envfix.model.target import Distribution
from envfix.nvidia.beside import libraries_beside


def bounds(
    release: Release,
    machine: Machine,
    matrix: Matrix,
    installed: Mapping[str, str],
    beside: Sequence[Distribution] = (),
) -> tuple[Bound, ...]:
    """What must hold beside the release itself, the NVIDIA wheels first, each with its reason.

    `installed` maps normalised names to versions: what is there and fits stays. `beside` are packages that
    ask for NVIDIA wheels too. The extra's `tensorrt` is
    never asked for: it serves TF-TRT alone, and its pins make the extras of 2.14 and 2.15.0 uninstallable.
    """
    pins = libraries_beside(release, machine, matrix, installed, beside).pins
    held = tuple(Bound(requirement=f"{pin.name}=={pin.version}", because=pin.because) for pin in pins)
    caps = tuple(
        Bound(requirement=requirement, because=row.symptom)
        for row in matrix.known_bad
        if row.effect is Effect.CAPS and _concerns(row, release, machine)
        for requirement in row.requirements
    )
    return (*held, *caps)


def _concerns(row: KnownBad, release: Release, machine: Machine) -> bool:
    """A cap holds for its releases, on the Python it names where it names one."""
    if not SpecifierSet(row.tf).contains(str(release.version), prereleases=True):
        return False
    if not row.python or machine.python is UNSET:
        return True
    return SpecifierSet(row.python).contains(str(machine.python.cut(2)))
