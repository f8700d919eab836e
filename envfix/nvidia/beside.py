"""The NVIDIA wheels of a release beside packages that ask for some themselves, as torch and jax do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from msgspec import Struct, structs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from envfix.model.machine import Machine
from envfix.model.matrix import Matrix, Release
from envfix.model.specifiers import allows, requirement
from envfix.model.target import Distribution
from envfix.nvidia.pins import Pin, floor
from envfix.nvidia.wheels import CudaLibraries, libraries_for


class Ask(Struct, frozen=True, kw_only=True):
    """What `holder` asks for; `exact` is the version where it leaves no other, `least` that of a range."""

    holder: str
    name: str
    specifier: str
    exact: str | None
    least: str

    @property
    def text(self) -> str:
        """`torch 2.6.0 needs nvidia-cudnn-cu12==9.1.0.70`."""
        return f"{self.holder} needs {self.name}{self.specifier}"


def asks_of(holders: Sequence[Distribution]) -> Iterator[Ask]:
    """Everything of NVIDIA's that the requirements of the holders name."""
    for holder in holders:
        yield from _asks_of(holder)


@cache
def _asks_of(holder: Distribution) -> tuple[Ask, ...]:
    """Read once: the same holders are held against every release."""
    asks = []
    for line in holder.requires:
        parsed = requirement(line)
        if parsed is None or not parsed.specifier:
            continue
        parts = list(parsed.specifier)
        alone = len(parts) == 1 and parts[0].operator == "=="
        ask = Ask(
            holder=f"{holder.name} {holder.version}",
            name=canonicalize_name(parsed.name),
            specifier=str(parsed.specifier),
            exact=parts[0].version if alone else None,
            least=floor(parsed),
        )
        asks.append(ask)
    return tuple(asks)


def libraries_beside(
    release: Release,
    machine: Machine,
    matrix: Matrix,
    installed: Mapping[str, str],
    holders: Sequence[Distribution] = (),
) -> CudaLibraries:
    """`libraries_for`, with what is to be installed beside it: the versions that the holders pin, and of a
    range the least, where the release would get an older one. What the release does not allow stays out."""
    if not holders:
        return libraries_for(release, machine, matrix, installed)
    asks = _merged(asks_of(holders))
    there = {**installed, **{holder.name: holder.version for holder in holders}}
    there |= {ask.name: ask.exact for ask in asks.values() if ask.exact}
    found = libraries_for(release, machine, matrix, there)
    low = {
        pin.name: asks[pin.name].least
        for pin in found.pins
        if pin.name in asks and not allows(asks[pin.name].specifier, pin.version)
    }
    if low:
        found = libraries_for(release, machine, matrix, {**there, **low})
    return structs.replace(found, pins=tuple(_because(pin, asks.get(pin.name)) for pin in found.pins))


def _merged(asks: Iterable[Ask]) -> dict[str, Ask]:
    """One ask for each wheel, whatever their order: a pin before a range, the greatest floor of ranges."""
    merged: dict[str, Ask] = {}
    for ask in sorted(asks, key=lambda ask: (ask.exact is None, ask.holder)):
        other = merged.get(ask.name)
        if other is None:
            merged[ask.name] = ask
            continue
        first = other if other.exact or Version(other.least) >= Version(ask.least) else ask
        both = f"{other.specifier},{ask.specifier}"
        merged[ask.name] = structs.replace(first, specifier=both)
    return merged


def _because(pin: Pin, ask: Ask | None) -> Pin:
    if ask is None or pin.version not in (ask.exact, ask.least):
        return pin
    how = "pins it" if ask.exact else f"asks for {pin.name}{ask.specifier}"
    return structs.replace(pin, because=f"{ask.holder} {how}")


def brings(asked: Requirement, holder: Distribution) -> bool:
    """Whether the requirement is the one that brings the holder: it is named so, or is a part of it, as
    jax-cuda12-plugin of jax."""
    name = canonicalize_name(asked.name)
    return holder.name == name or holder.name.startswith(f"{name}-")


def other_majors(major: int) -> tuple[str, ...]:
    """The wheels whose files have the names of those of the CUDA major, so that one overwrites the other.

    nvidia-cudnn-cu12 and -cu13 both are `nvidia/cudnn/lib/libcudnn.so.9`, and nvidia-nccl-cu12 and -cu13
    `nvidia/nccl/lib/libnccl.so.2` (members of 9.28.1.4 and 2.32.3).
    """
    others = [other for other in (11, 12, 13) if other != major]
    return tuple(f"nvidia-{name}-cu{other}" for name in ("cudnn", "nccl") for other in others)


def kept_out(major: int) -> tuple[str, ...]:
    """Caps that no version of the wheels of `other_majors` meets."""
    return tuple(f"{name}<0" for name in other_majors(major))
