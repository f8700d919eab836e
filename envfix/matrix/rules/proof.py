"""Whether a real load of the wheel (`compat_matrix/README.md`, "Proofs") is one of this very case."""

from __future__ import annotations

from msgspec import UNSET

from envfix.matrix.rules.case import Case
from envfix.model.matrix import LoaderProof, Release
from envfix.model.versions import PythonRelease
from envfix.nvidia.wheels import CudaLibraries, proven_libraries


def is_proven(case: Case) -> bool:
    """Whether the wheel was seen registering a GPU on this Python with this machine's NVIDIA wheels.

    A release that has no wheel for that Python is proven on those that it has: it can only be run on one of
    them. What else was in the environment does not count, for it changes from week to week.
    """
    return any(_has_libraries_of(case, proof) for proof in _on_this_python(case))


def said_of_proofs(case: Case) -> str:
    """`proven`, or on which Pythons where this one is not among them."""
    if _on_this_python(case):
        return "proven"
    return f"proven on Python {', '.join(map(str, proven_pythons(case.release)))}"


def proven_pythons(release: Release) -> tuple[PythonRelease, ...]:
    """The Pythons on which the wheel was seen registering a GPU, ascending."""
    return tuple(sorted(proof.python for proof in _registering(release)))


def _registering(release: Release) -> list[LoaderProof]:
    return [proof for proof in release.proofs if proof.registers_with_envfix]


def _on_this_python(case: Case) -> list[LoaderProof]:
    proofs, python = _registering(case.release), case.machine.python
    if python is UNSET or not _has_wheel_for(case, python.cut(2)):
        return proofs
    return [proof for proof in proofs if proof.python == python.cut(2)]


def _has_wheel_for(case: Case, python: PythonRelease) -> bool:
    return any(wheels.cuda and python in wheels.python for wheels in case.release.wheels)


def _has_libraries_of(case: Case, proof: LoaderProof) -> bool:
    """Whether the machine gets the NVIDIA wheels that an empty environment gets for the proof's GPU.

    It gets none where it is not Linux on x86_64, as for every proof, or has its own CUDA (`--cuda system`).
    """
    proven = proven_libraries(case.release, case.matrix, proof.gpu, case.machine.glibc)
    return _versions(proven) == _versions(case.libraries)


def _versions(libraries: CudaLibraries) -> list[tuple[str, str]]:
    return [(pin.name, pin.version) for pin in libraries.pins]
