"""From a machine to bounds: an exact version of every NVIDIA wheel, and the caps an old release needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import UNSET
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envfix.model.decision import Bound
from envfix.model.machine import Machine
from envfix.model.matrix import Effect, KnownBad, Matrix, Release
from envfix.model.specifiers import allows, contradict
from envfix.model.target import Distribution
from envfix.nvidia.beside import libraries_beside


def bounds(
    release: Release,
    machine: Machine,
    matrix: Matrix,
    installed: Mapping[str, str],
    beside: Sequence[Distribution] = (),
    companions: Sequence[Requirement] = (),
) -> tuple[Bound, ...]:
    """What must hold beside the release itself, the NVIDIA wheels first, each with its reason.

    `installed` maps normalised names to versions: what is there and fits stays. `beside` are packages that
    ask for NVIDIA wheels too. `companions` are what `--with` names: those whose METADATA does not say which
    TensorFlow they go with are held to what does. The extra's `tensorrt` is never asked for: it serves TF-TRT
    alone, and its pins make the extras of 2.14 and 2.15.0 uninstallable.
    """
    pins = libraries_beside(release, machine, matrix, installed, beside).pins
    held = tuple(Bound(requirement=f"{pin.name}=={pin.version}", because=pin.because) for pin in pins)
    caps = tuple(
        Bound(requirement=requirement, because=row.symptom)
        for row in matrix.known_bad
        if row.effect is Effect.CAPS and _concerns(row, release, machine)
        for requirement in row.requirements
    )
    return (*held, *caps, *(bound for asked in companions for bound in _undeclared(asked, release, matrix)))


def _undeclared(asked: Requirement, release: Release, matrix: Matrix) -> Iterator[Bound]:
    """The newest versions of a companion that go with the release, where a resolver cannot know them."""
    rows = [
        row
        for row in matrix.companions
        if row.undeclared
        and row.name == canonicalize_name(asked.name)
        and allows(row.tensorflow, str(release.version))
        and not contradict(str(asked.specifier), row.version)
    ]
    for row in rows[-1:]:
        because = f"goes with {release.package} {release.version}, which its METADATA does not say"
        yield Bound(requirement=f"{row.name}{row.version}", because=because)


def _concerns(row: KnownBad, release: Release, machine: Machine) -> bool:
    """A cap holds for its releases, on the Python it names where it names one."""
    if not allows(row.tf, str(release.version)):
        return False
    return not row.python or machine.python is UNSET or allows(row.python, str(machine.python.cut(2)))
