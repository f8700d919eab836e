"""What installed packages ask of what a release brings: read once for all releases.

Of a real interpreter their METADATA is known. Of a named machine there are names and versions alone; what
these ask is then told by `companions.yaml`, and torch is known to pin NVIDIA's wheels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from envfix.model.conflicts import TENSORFLOWS
from envfix.model.machine import Machine, known
from envfix.model.markers import counts
from envfix.model.matrix import Effect, Matrix
from envfix.model.specifiers import allows, name_in, requirement
from envfix.model.target import Distribution

# Wheels of NVIDIA's that no torch depends on.
_TORCH = "METADATA of torch 2.6.0, which pins the NVIDIA wheels that it comes with; that of {} was not read"
_NOT_TORCH = frozenset({"nvidia-ml-py", "nvidia-cuda-nvcc-cu12", "nvidia-cuda-nvcc-cu11"})


class Holder(Struct, frozen=True, kw_only=True):
    """An installed distribution, and where its demand was read."""

    package: str
    version: str
    source: str


class Demand(Struct, frozen=True, kw_only=True):
    """The holders need `name` within `specifier`, and have it today: `found` is the version installed."""

    name: str
    specifier: str
    found: str
    holders: tuple[Holder, ...]


def demands_of(
    machine: Machine, matrix: Matrix, installed: Sequence[Distribution] | None = None
) -> tuple[Demand, ...] | None:
    """The demands that hold today, on what some release or envfix itself may change.

    `installed` are the distributions of a real interpreter; None where the machine alone is known. None is
    returned where nothing is known of what is installed.
    """
    versions = known(machine.installed, None)
    if installed is None:
        if versions is None:
            return None
        installed = [Distribution(name=name, version=version) for name, version in versions.items()]
    else:
        versions = {dist.name: dist.version for dist in installed}
    changing = _changing(matrix)
    holders: dict[tuple[str, str], list[Holder]] = {}
    for dist in installed:
        if dist.name in TENSORFLOWS or dist.name.startswith("nvidia-"):
            continue
        for name, specifier, source in _asked(dist, versions, machine, matrix, changing):
            if allows(specifier, versions[name]):
                holder = Holder(package=dist.name, version=dist.version, source=source)
                holders.setdefault((name, specifier), []).append(holder)
    return tuple(
        Demand(name=name, specifier=specifier, found=versions[name], holders=tuple(held))
        for (name, specifier), held in holders.items()
    )


def _changing(matrix: Matrix) -> frozenset[str]:
    """The names that a release requires or a cap holds."""
    names = {release.package for release in matrix.releases}
    names.update(name_in(line) for release in matrix.releases for line in release.requires)
    for row in matrix.known_bad:
        if row.effect is Effect.CAPS:
            names.update(name_in(text) for text in row.requirements)
    return frozenset(names)


def _asked(
    dist: Distribution,
    versions: dict[str, str],
    machine: Machine,
    matrix: Matrix,
    changing: frozenset[str],
) -> Iterator[tuple[str, str, str]]:
    """Name, specifier and source of each thing that the distribution needs."""
    if dist.requires:
        source = f"METADATA of {dist.name} {dist.version}"
        for name, specifier in _declared(dist.requires, versions, machine, changing):
            yield name, specifier, source
    elif dist.name == "torch" and not dist.version.endswith("+cpu"):
        for name, version in versions.items():
            if name.startswith("nvidia-") and name not in _NOT_TORCH:
                yield name, f"=={version}", _TORCH.format(dist.version)
    for row in matrix.companions:
        told = row.name == dist.name and (row.undeclared or not dist.requires)
        if told and "tensorflow" in versions and allows(row.version, dist.version):
            yield "tensorflow", row.tensorflow, row.source


def _declared(
    lines: Iterable[str], versions: dict[str, str], machine: Machine, changing: frozenset[str]
) -> Iterator[tuple[str, str]]:
    for line in lines:
        name = name_in(line)
        if name not in versions or not (name in changing or name.startswith("nvidia-")):
            continue
        parsed = requirement(line)
        if parsed is not None and parsed.specifier and (";" not in line or counts(line, machine)):
            yield name, str(parsed.specifier)
