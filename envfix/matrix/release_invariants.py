"""What must hold within each row of `tensorflow.yaml` and of `wheels.yaml`, beyond its types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from itertools import pairwise
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from envfix.errors import MatrixError
from envfix.model.machine import Os
from envfix.model.matrix import Kernels, LoaderProof, Release, WheelFacts, WheelSet

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_CAPABILITY = re.compile(r"(?:sm|compute)_[0-9]{2,3}[a-z]?\Z")
# Where a value may have been read, by key; compat_matrix/README.md explains the words.
ORIGINS = {
    "wheels": {"index"},
    "requires": {"metadata"},
    "built_with_cuda": {"build_info", "floor of the extra", "fatbin", "unknown"},
    "built_with_cudnn": {"floor of the extra", "page", "unknown"},
    "compute_capabilities": {"build_info", "fatbin", "unknown"},
    "kernels": {"fatbin", "compute capabilities", "unknown"},
}
_OF_A_CUDA_BUILD = ("built_with_cuda", "built_with_cudnn", "compute_capabilities", "kernels")


def check_release(row: Release, place: str) -> None:
    """Raises MatrixError that begins with `place` for the first thing that contradicts another."""
    _check_wheels(row.wheels, f"{place}.wheels")
    _check_digest(row.files, f"{place}.files")
    if row.uploaded:
        check_date(row.uploaded, f"{place}.uploaded")
    if row.derived:
        raise MatrixError(f"{place}.derived: a row of the file was read and written, not derived")
    _check_build(row, place)
    _check_origin(row, f"{place}.origin")
    _check_and_cuda(row.and_cuda, f"{place}.and_cuda")
    _check_proofs(row, f"{place}.proofs")
    _check_minimal(row, f"{place}.minimal")


def check_facts(row: WheelFacts, place: str) -> None:
    """Raises MatrixError that begins with `place`."""
    if (row.hand_written is None) != (row.kernel_gen is None):
        raise MatrixError(f"{place}: `hand_written` and `kernel_gen` stand together, found one of them")
    for key in ("hand_written", "kernel_gen"):
        check_kernels(getattr(row, key), f"{place}.{key}")


def check_date(text: str, place: str) -> None:
    """Raises MatrixError for what is no day of the calendar."""
    try:
        date.fromisoformat(text)
    except ValueError:
        raise MatrixError(f"{place}: expected a day such as `2026-11-23`, found `{text}`") from None


def check_kernels(kernels: Kernels | None, place: str) -> None:
    """PTX is for the newest compute capability, and only PTX has an ISA and can be for one GPU alone."""
    if kernels is None:
        return
    ascending([one.key for one in kernels.sass], f"{place}.sass", [str(one) for one in kernels.sass])
    if kernels.ptx is None and (kernels.ptx_isa is not None or not kernels.portable):
        raise MatrixError(f"{place}.ptx: has an ISA or a target, and so must be named")
    if kernels.ptx is not None and any(one > kernels.ptx for one in kernels.sass):
        raise MatrixError(f"{place}.ptx: {kernels.ptx} is older than the SASS for {max(kernels.sass)}")
    if kernels.ptx is None and not kernels.sass:
        raise MatrixError(f"{place}: expected code for a GPU, found none")


def _check_digest(text: str, place: str) -> None:
    if text and not _DIGEST.match(text):
        raise MatrixError(f"{place}: expected a SHA-256, found `{text}`")


def _check_wheels(sets: Sequence[WheelSet], place: str) -> None:
    if not sets:
        raise MatrixError(f"{place}: expected at least one, found none")
    platforms = [(wheels.os.value, wheels.arch.value) for wheels in sets]
    if len(set(platforms)) != len(platforms):
        raise MatrixError(f"{place}: the same platform stands twice")
    for number, wheels in enumerate(sets):
        own = f"{place}[{number}]"
        if not wheels.python:
            raise MatrixError(f"{own}.python: expected at least one, found none")
        ascending([one.key for one in wheels.python], f"{own}.python", [str(one) for one in wheels.python])
        if (wheels.glibc is not None) != (wheels.os is Os.LINUX):
            raise MatrixError(f"{own}.glibc: Linux wheels have a floor, and no others")
        if wheels.size <= 0:
            raise MatrixError(f"{own}.size: expected bytes, found {wheels.size}")


def _check_build(row: Release, place: str) -> None:
    if any(wheels.cuda for wheels in row.wheels):
        if row.built_with_cuda is None:
            raise MatrixError(
                f"{place}.built_with_cuda: a CUDA build must name it; it would read as a CPU build"
            )
    elif row.built_with_cuda or row.built_with_cudnn or row.compute_capabilities or row.hand_written:
        raise MatrixError(f"{place}.wheels: none is a CUDA build, and CUDA, cuDNN or kernels are named")
    for number, name in enumerate(row.compute_capabilities):
        if not _CAPABILITY.match(name):
            raise MatrixError(
                f"{place}.compute_capabilities[{number}]: expected `sm_75` or `compute_90`, found `{name}`"
            )
    for key in ("hand_written", "kernel_gen"):
        check_kernels(getattr(row, key), f"{place}.{key}")
    if (row.hand_written is None) != (row.kernel_gen is None):
        raise MatrixError(f"{place}: `hand_written` and `kernel_gen` stand together, found one of them")


def _check_origin(row: Release, place: str) -> None:
    """Every value says where it was read, and only what was not read is unknown."""
    for key, word in row.origin.items():
        if word not in ORIGINS.get(key, ()):
            raise MatrixError(f"{place}.{key}: `{word}` is no origin of it")
    if not row.origin:
        return  # written by hand
    values: dict[str, Any] = {
        "built_with_cuda": row.built_with_cuda,
        "built_with_cudnn": row.built_with_cudnn,
        "compute_capabilities": row.compute_capabilities,
        "kernels": row.hand_written,
    }
    expected = _OF_A_CUDA_BUILD if any(wheels.cuda for wheels in row.wheels) else ()
    for key in expected:
        if (row.origin.get(key, "unknown") == "unknown") != (not values[key]):
            found = values[key] or "none"
            raise MatrixError(f"{place}.{key}: `{row.origin.get(key)}` does not go with {found}")


def _check_and_cuda(texts: Sequence[str], place: str) -> None:
    """What is pinned is pinned once: two floors for one name would both be taken."""
    seen: set[str] = set()
    for number, text in enumerate(texts):
        try:
            name = _name_once(text)
        except InvalidRequirement as error:
            raise MatrixError(f"{place}[{number}]: {str(error).splitlines()[0]}") from None
        if name in seen:
            raise MatrixError(f"{place}[{number}]: `{name}` stands twice")
        seen.add(name)


@cache
def _name_once(text: str) -> str:
    return canonicalize_name(Requirement(text).name)


def _check_proofs(row: Release, place: str) -> None:
    """A proof is of a wheel that there is, one for each Python."""
    pythons = {python for wheels in row.wheels if wheels.cuda for python in wheels.python}
    ascending([one.python.key for one in row.proofs], place, [str(one.python) for one in row.proofs])
    for number, proof in enumerate(row.proofs):
        own = f"{place}[{number}]"
        check_date(proof.date, f"{own}.date")
        _check_digest(proof.pins, f"{own}.pins")
        if proof.python not in pythons:
            raise MatrixError(f"{own}.python: no CUDA build has a wheel for {proof.python}")
        _check_missing(proof, own)


def _check_minimal(row: Release, place: str) -> None:
    """What may be left out is one of NVIDIA's wheels that the release gets, with what shows it."""
    proof = row.minimal
    if proof is None:
        return
    check_date(proof.date, f"{place}.date")
    if not _DIGEST.match(proof.pins):
        raise MatrixError(f"{place}.pins: expected a SHA-256, found `{proof.pins}`")
    if proof.python not in {python for wheels in row.wheels if wheels.cuda for python in wheels.python}:
        raise MatrixError(f"{place}.python: no CUDA build has a wheel for {proof.python}")
    names = [one.name for one in proof.spared]
    ascending(names, f"{place}.spared", names)
    asked = {_name_once(text) for text in row.and_cuda}
    for number, one in enumerate(proof.spared):
        own = f"{place}.spared[{number}]"
        if not one.name.startswith("nvidia-") or (asked and one.name not in asked):
            raise MatrixError(f"{own}.name: `{one.name}` is no NVIDIA wheel that the release gets")
        if not one.evidence:
            raise MatrixError(f"{own}.evidence: expected what was seen, found nothing")


def _check_missing(proof: LoaderProof, place: str) -> None:
    for key in ("missing_as_published", "missing_with_envfix"):
        for number, name in enumerate(getattr(proof, key) or ()):
            if ".so" not in name or "/" in name:
                raise MatrixError(f"{place}.{key}[{number}]: expected a soname, found `{name}`")


def ascending(keys: Sequence[Any], place: str, names: Sequence[str]) -> None:
    """Raises MatrixError for the first that does not come after the one before it."""
    for number, (before, after) in enumerate(pairwise(keys), start=1):
        if not before < after:
            raise MatrixError(f"{place}[{number}]: {names[number]} must come after {names[number - 1]}, once")
