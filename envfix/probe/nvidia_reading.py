"""What one source says of the NVIDIA driver and its GPUs, before the sources are merged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from envfix.model.machine import Evidence, Gpu, Outcome, known
from envfix.model.versions import ComputeCapability, DriverCuda, DriverRelease
from envfix.ports import Outside
from envfix.probe.evidence import piece

# Releases are 3 or 4 digits, then one or two more numbers: 384.81, 535.104.05, 551.61 (Windows, WSL).
RELEASE = r"[1-9][0-9]{2,3}\.[0-9]{2,3}(?:\.[0-9]{2,3})?"
# Where the driver's libraries lie on Colab, in NVIDIA's containers and under WSL.
LIBRARY_FOLDERS = ("/usr/lib64-nvidia", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib")


class Reading(Struct, frozen=True, kw_only=True):
    """`runs` says that this source proves a driver at work; `gpus` is None where it says nothing of them."""

    source: str
    runs: bool = False
    release: DriverRelease | None = None
    cuda: DriverCuda | None = None
    gpus: tuple[Gpu, ...] | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def is_absent(self) -> bool:
        """Whether there is nothing to ask here, rather than something that does not answer."""
        return not self.runs and all(one.outcome is Outcome.ABSENT for one in self.evidence)

    @property
    def has_failed(self) -> bool:
        """Whether something that is there gave no answer, or none in time."""
        return any(one.outcome in (Outcome.FAILED, Outcome.TIMEOUT) for one in self.evidence)


def reading(
    source: str,
    release: DriverRelease | None,
    cuda: DriverCuda | None,
    gpus: tuple[Gpu, ...] | None,
    trouble: Sequence[Evidence] = (),
    *,
    runs: bool = True,
) -> Reading:
    """A reading that found something, with one piece of evidence for each fact."""
    pieces = []
    if release is not None:
        pieces.append(piece("driver.release", source, Outcome.FOUND, str(release)))
    if cuda is not None:
        pieces.append(piece("driver.cuda", source, Outcome.FOUND, str(cuda)))
    if gpus:
        pieces.append(piece("gpus", source, Outcome.FOUND, "; ".join(map(described, gpus))))
    elif gpus is not None:
        pieces.append(piece("gpus", source, Outcome.ABSENT, "no device"))
    return Reading(
        source=source, runs=runs, release=release, cuda=cuda, gpus=gpus, evidence=(*pieces, *trouble)
    )


def nothing(source: str, outcome: Outcome, detail: str, fact: str = "driver") -> Reading:
    """A reading that found nothing: the source is absent, failed or timed out."""
    return Reading(source=source, evidence=(piece(fact, source, outcome, detail),))


def not_loaded(outside: Outside, source: str, library: str, error: str) -> Reading:
    """The loader did not take the library: it is not there, it is an empty file, or it is broken."""
    # "libx.so: why", with the whole path where the file was found; a dependency's name means a broken driver.
    if error.partition(": ")[0].rpartition("/")[2] != library:
        return nothing(source, Outcome.FAILED, error)
    if "file too short" in error:
        return nothing(source, Outcome.ABSENT, empty_file(library))
    if "cannot open shared object file: No such file" not in error:
        return nothing(source, Outcome.FAILED, error)
    for folder in LIBRARY_FOLDERS:
        if outside.exists(f"{folder}/{library}"):
            detail = f"{library} lies in {folder}, where the loader does not look: add it to LD_LIBRARY_PATH"
            return nothing(source, Outcome.FAILED, detail)
    return nothing(source, Outcome.ABSENT, f"no {library} on the loader's path")


def empty_file(name: str) -> str:
    """What to say of a part of the driver that is a file of no bytes.

    Images made from a container that had a GPU keep empty files where the host's driver was mounted.
    """
    return f"{name} is an empty file where the host's driver should be mounted, and none is"


def described(gpu: Gpu) -> str:
    """`Tesla T4 (compute capability 7.5, 15360 MiB)`."""
    parts = []
    if gpu.compute_capability is not UNSET:
        parts.append(f"compute capability {gpu.compute_capability}")
    if gpu.memory_mib is not UNSET:
        parts.append(f"{gpu.memory_mib} MiB")
    name = known(gpu.name, "a device without a name")
    return f"{name} ({', '.join(parts)})" if parts else name


def as_release(text: Any) -> DriverRelease | None:
    """The release, or None for what does not look like one."""
    found = re.fullmatch(RELEASE, text.strip()) if isinstance(text, str) else None
    return DriverRelease(found[0]) if found else None


def as_cuda(number: Any) -> DriverCuda | None:
    """From 1000 * major + 10 * minor, as cuDriverGetVersion encodes it: 12040 is 12.4."""
    if not isinstance(number, int) or not 5000 <= number < 100000:
        return None
    return DriverCuda(f"{number // 1000}.{number % 1000 // 10}")


def as_gpu(device: Any) -> Gpu:
    """From a child's object, whose fields are None where the driver would not tell."""
    answer = device if isinstance(device, dict) else {}
    name, pair, size = answer.get("name"), answer.get("capability"), answer.get("memory")
    capability: ComputeCapability | UnsetType = UNSET
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) and 0 <= n < 100 for n in pair):
        capability = ComputeCapability(f"{pair[0]}.{pair[1]}")
    return Gpu(
        name=name if isinstance(name, str) and name else UNSET,
        compute_capability=capability,
        memory_mib=size >> 20 if isinstance(size, int) and size >= 1 << 20 else UNSET,
    )
