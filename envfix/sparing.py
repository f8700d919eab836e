"""`--minimal`: which NVIDIA wheels are left out, because the release was proven not to open them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import structs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from envfix.errors import IndexUnreachable
from envfix.model.decision import Bound
from envfix.model.filenames import wheel_name
from envfix.model.matrix import Matrix, MinimalProof, Release
from envfix.model.plan import LeftOut, Lock, Resolution
from envfix.model.release import Absence
from envfix.nvidia.beside import asks_of
from envfix.nvidia.wheels import proven_libraries
from envfix.ports import Index
from envfix.situation import Situation

WHY = {
    Absence.UNNAMED: "nothing in TensorFlow or in the other NVIDIA wheels names its libraries or functions",
    Absence.BUILT_IN: "TensorFlow has the library built in, and never opens this one",
}
COSTS = "what opens them by itself, as CuPy does, or is built with their headers does not find them here"


def spared(here: Situation, matrix: Matrix, release: Release, bounds: Sequence[Bound]) -> tuple[LeftOut, ...]:
    """The wheels among the bounds that need not be there: proven with just these other NVIDIA wheels, not
    installed yet, and asked for by nothing that is beside TensorFlow."""
    proof = release.minimal
    if proof is None or not _same_libraries(here, matrix, release, proof, bounds):
        return ()
    how = {one.name: one.how for one in proof.spared}
    asked = {ask.name for ask in asks_of(here.beside)}
    return tuple(
        LeftOut(name=name, version=version, because=WHY[how[name]])
        for name, version in sorted(_pins(bounds).items())
        if name in how and name not in asked and here.target.version_of(name) is None
    )


def said(matrix_date: str, release: Release, bounds: Sequence[Bound], left: Sequence[LeftOut]) -> str:
    """What whoever asks for `--minimal` should know; `bounds` are the release's, `left` what is left out."""
    if left:
        return f"left out {', '.join(one.name for one in left)}: {COSTS}"
    if not _pins(bounds):
        return "`--minimal` leaves nothing out: no NVIDIA wheels are installed here"
    if release.minimal is None:
        return f"`--minimal` leaves nothing out: {release.name} has no proof in this matrix ({matrix_date})"
    if not release.minimal.spared:
        return f"`--minimal` leaves nothing out: {release.name} may open each of its NVIDIA wheels"
    return (
        "`--minimal` leaves nothing out: what TensorFlow does without is installed, is asked for by another "
        "package, or was not proven with these NVIDIA wheels"
    )


def of_lock(here: Situation, lock: Lock, release: Release) -> tuple[LeftOut, ...]:
    """What was left out when the lock was made, and is not there."""
    how = {one.name: one.how for one in release.minimal.spared} if release.minimal else {}
    found = []
    for text in lock.left_out:
        one = Requirement(text)
        name = canonicalize_name(one.name)
        if here.target.version_of(name) is not None:
            continue
        because = WHY[how[name]] if name in how else "left out when the lock was made"
        found.append(LeftOut(name=name, version=next(iter(one.specifier)).version, because=because))
    return tuple(found)


def left_by(resolution: Resolution, wished: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Those that nothing else in the solution brings."""
    return tuple(one for one in wished if resolution.version_of(one.name) is None)


def sized(wished: Sequence[LeftOut], index: Index | None) -> tuple[LeftOut, ...]:
    """With the bytes that are not downloaded, where an index says them."""
    return tuple(structs.replace(one, size=_size(one, index)) for one in wished)


def _size(one: LeftOut, index: Index | None) -> int | None:
    try:
        files = index.files(one.name) if index is not None else ()
    except IndexUnreachable:
        return None  # it informs, and decides nothing
    for file in files:
        wheel = wheel_name(file.filename)
        if wheel is None or wheel.version != Version(one.version):
            continue
        if any(tag.platform.endswith(("x86_64", "any")) for tag in wheel.tags):
            return file.size
    return None


def _same_libraries(
    here: Situation, matrix: Matrix, release: Release, proof: MinimalProof, bounds: Sequence[Bound]
) -> bool:
    """Whether the others are those of the proof: another cuDNN may name what that one does not."""
    proven = proven_libraries(release, matrix, proof.gpu, here.machine.glibc)
    names = {one.name for one in proof.spared}
    then = {(pin.name, pin.version) for pin in proven.pins if pin.name not in names}
    return then == {(name, version) for name, version in _pins(bounds).items() if name not in names}


def _pins(bounds: Iterable[Bound]) -> dict[str, str]:
    parsed = [Requirement(bound.requirement) for bound in bounds]
    return {
        canonicalize_name(one.name): next(iter(one.specifier)).version
        for one in parsed
        if one.name.startswith("nvidia-")
    }
