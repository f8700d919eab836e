"""The kernels in a wheel: read from its fat binaries, or what its compute capabilities imply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from packaging.version import Version

from envfix.matrix import fatbin
from envfix.matrix.fatbin import Fatbin
from envfix.model.matrix import Kernels, WheelFacts
from envfix.model.versions import ComputeCapability
from envfix.ports import Index, IndexFile

# Nearly all kernels are in the first of these that there is; another name would be among the largest.
_LIBRARIES = ("libtensorflow_cc.so", "_pywrap_tensorflow_internal.so")
_AT_MOST = 2
# One fat binary is like the other, so these stand for some 1400: reading stops after 40 to 60 MB (2.14 on).
ENOUGH = 16


def read_facts(index: Index, file: IndexFile, package: str, version: Version) -> WheelFacts | None:
    """The kernels of a Linux wheel as a row of `wheels.yaml`; None where the wheel holds none.

    Downloads 40 to 60 MB from 2.14 on, up to 350 MB before. Raises IndexUnreachable.
    """
    found = fatbin.groups(_fatbins(index, file), ENOUGH)
    if found.hand_written is None and found.kernel_gen is None:
        return None
    counts = f"{found.hand_written_count} and {found.kernel_gen_count} of its fat binaries"
    return WheelFacts(
        tf=f"=={version}",
        package=package,
        # Up to 2.4 all kernels are of one kind.
        hand_written=found.hand_written or found.kernel_gen,
        kernel_gen=found.kernel_gen or found.hand_written,
        source=f"{file.filename}: {counts}",
    )


def implied(listed: tuple[str, ...]) -> tuple[Kernels | None, Kernels | None]:
    """Both groups as `build_info` lists compute capabilities, where nobody has read the fat binaries.

    `compute_XY` means SASS and PTX for hand-written kernels, PTX alone for generated ones.
    """
    if not listed:
        return None, None
    sass = tuple(ComputeCapability.from_arch(name) for name in listed if name.startswith("sm_"))
    ptx = [ComputeCapability.from_arch(name) for name in listed if name.startswith("compute_")]
    top = max(ptx) if ptx else None
    return Kernels(sass=(*sass, *ptx), ptx=top), Kernels(sass=sass, ptx=top)


def listed_by(kernels: Kernels) -> tuple[str, ...]:
    """The hand-written kernels as `build_info` would list them: `sm_XY` for SASS, `compute_XY` with PTX."""
    names = [(one, "sm") for one in kernels.sass if one != kernels.ptx]
    names += [(kernels.ptx, "compute")] if kernels.ptx else []
    return tuple(f"{word}_{one.major}{one.minor}" for one, word in sorted(names))


def _fatbins(index: Index, file: IndexFile) -> Iterator[Fatbin]:
    for name in _libraries(index.members(file).items()):
        yield from fatbin.fatbins(index.stream(file, name))


def _libraries(members: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The shared libraries that are worth reading, the best first."""
    found = []
    for path, size in members:
        name = path.rpartition("/")[2]
        if ".so" in name:
            found.append((name.startswith(_LIBRARIES), size, path))
    return tuple(path for _, _, path in sorted(found, reverse=True)[:_AT_MOST])
