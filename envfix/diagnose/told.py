"""What a text tells of the machine it comes from: markers, readings and tables → facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType, structs

from envfix.diagnose import builds, smi_table
from envfix.diagnose.builds import LAST_WITH_MINOR, serves
from envfix.diagnose.document import Document
from envfix.model.diagnosis import Branch, Catalogue
from envfix.model.machine import Cudnn, Driver, Gpu, Machine, Toolkit
from envfix.model.versions import (
    ComputeCapability,
    CudaRelease,
    CudnnRelease,
    Dotted,
    DriverCuda,
    DriverRelease,
    PythonRelease,
)

D = TypeVar("D", bound=Dotted)
# Found by comparing readings; conditions may name them like markers of the catalogue.
COMPARED = {
    "libcuda-newer",
    "libcuda-older",
    "libcuda-other-patch",
    "compat-in-use",
    "compat-possible",
    "memory-full",
    "memory-free",
    "memory-held-by",
    "cudnn-older-than-compiled",
    "cudnn-other-major",
    "many-libraries-missing",
    "only-cudnn-missing",
    "some-libraries-missing",
    "toolkit-of-the-missing",
    "toolkit-not-of-the-missing",
    *builds.BUILT,
}
FACTS = {
    "tensorflow", "python", "driver", "driver-cuda", "gpu", "capability", "toolkit", "cuda-named", "cudnn", 
    "cudnn-compiled", "libcuda", "kernel", "package", "variable", "memory", "missing",
}  # fmt: skip
_FULL = 0.9
FIRST_COMPAT = 384  # the oldest kernel driver that NVIDIA's cuda-compat packages go with
MOST_HOLDERS = 4
MANY = 4  # of the seven or eight that TensorFlow opens
# The other libraries have numbers of their own: CUDA 11 brings libcufft.so.10.
_RELEASED = re.compile(
    r"(?:lib(?:cudart|cublas)\.so\.(?P<so>\d{1,2}(?:\.\d)?)|cudart64_(?P<dll>\d{2,3})\.dll)$"
)
# TensorRT and CUPTI are optional, and the driver is no CUDA library.
_OPTIONAL = ("libnvinfer", "libcupti", "cupti", "libcuda.", "nvcuda")


class Told(Struct, frozen=True):
    """`markers` maps what the text shows to the line that shows it; `machine` holds the facts it tells."""

    markers: dict[str, str]
    machine: Machine


def read(document: Document, catalogue: Catalogue) -> Told:
    """The markers and the facts of a text."""
    markers: dict[str, str] = {}
    facts: dict[str, Any] = {}
    for marker in catalogue.markers:
        for says in marker.says:
            seen = next(document.sightings(says, 1), None)
            if seen is not None:
                markers.setdefault(marker.id, " ".join(seen.lines))
        if marker.id in markers:
            facts = {**_plain(structs.asdict(marker.sets)), **facts}
    values = _values(document, catalogue)
    table = smi_table.read(document.text)
    found = [*_compared(values, table, catalogue.branches), *builds.compared(values, catalogue.builds)]
    for name, line in found:
        markers.setdefault(name, line)
    return Told(markers=markers, machine=_machine(values, table, facts))


def filled(given: Machine | None, told: Machine) -> Machine:
    """The machine that was given, with what it leaves unknown from what the text tells."""
    if given is None:
        return told
    changes = {}
    for name in Machine.__struct_fields__:
        here, there = getattr(given, name), getattr(told, name)
        if here is UNSET and there is not UNSET:
            changes[name] = there
        elif name in ("installed", "environment") and isinstance(there, dict):
            changes[name] = {**there, **here}
        elif name in ("driver", "toolkit", "cudnn") and here is not None and there not in (UNSET, None):
            unknown = [key for key in here.__struct_fields__ if getattr(here, key) is UNSET]
            changes[name] = structs.replace(here, **{key: getattr(there, key) for key in unknown})
    return structs.replace(given, **changes)


def _plain(sets: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in sets.items() if value is not None and name != "no_gpu"}
    return {**found, "gpus": ()} if sets["no_gpu"] else found


def _values(document: Document, catalogue: Catalogue) -> dict[str, list[dict[str, str]]]:
    """What each reading caught, from the top; a fact's patterns in the order of the catalogue."""
    values: dict[str, list[dict[str, str]]] = {}
    for reading in catalogue.readings:
        for says in reading.says:
            seen = document.sightings(says)
            values.setdefault(reading.fact, []).extend(sighting.groups for sighting in seen)
    return values


def _first(values: dict[str, list[dict[str, str]]], fact: str, kind: Callable[[str], D]) -> D | UnsetType:
    for caught in values.get(fact, ()):
        try:
            return kind(caught["value"].rstrip("."))
        except ValueError:
            continue
    return UNSET


def _machine(
    values: dict[str, list[dict[str, str]]], table: smi_table.Table, facts: dict[str, Any]
) -> Machine:
    release, cuda = _first(values, "driver", DriverRelease), _first(values, "driver-cuda", DriverCuda)
    if release is not UNSET or cuda is not UNSET:
        facts["driver"] = Driver(release=release, cuda=cuda)
    toolkit = _first(values, "toolkit", CudaRelease)
    if toolkit is not UNSET:
        facts["toolkit"] = Toolkit(version=toolkit)
    cudnn = _first(values, "cudnn", _cudnn)
    if cudnn is not UNSET:
        facts["cudnn"] = Cudnn(version=cudnn)
    python = _first(values, "python", PythonRelease)
    if python is not UNSET:
        facts["python"] = python
    gpus = _gpus(values, table)
    if gpus:
        facts["gpus"] = gpus
    installed = {_normal(each["name"]): each["value"] for each in reversed(values.get("package", []))}
    tensorflow = values.get("tensorflow")
    if tensorflow:
        installed["tensorflow"] = tensorflow[0]["value"].rstrip(".")
    if installed:
        facts["installed"] = installed
    variables = {each["name"]: each["value"] for each in reversed(values.get("variable", []))}
    if variables:
        facts["environment"] = variables
    return Machine(**facts)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _cudnn(text: str) -> CudnnRelease:
    """`8.1.0`, or the number that cuDNN prints: 8905 is 8.9.5 and 90300 is 9.3.0."""
    if text.isdigit() and len(text) >= 4:
        number = int(text)
        step = 10_000 if number >= 90_000 else 1000
        text = f"{number // step}.{number % step // 100}.{number % 100}"
    return CudnnRelease(text)


def _gpus(values: dict[str, list[dict[str, str]]], table: smi_table.Table) -> tuple[Gpu, ...]:
    """The named GPUs with their compute capability where the text gives one for all or for each."""
    found: dict[str, Gpu] = {}
    for row in table.gpus:
        found.setdefault(row.name, Gpu(name=row.name, memory_mib=row.total_mib))
    for caught in values.get("gpu", ()):
        name = caught["value"].strip()
        found.setdefault(name, Gpu(name=name))
        capability = caught.get("capability")
        if capability:
            found[name] = structs.replace(found[name], compute_capability=ComputeCapability(capability))
    lone = _first(values, "capability", ComputeCapability)
    gpus = tuple(found.values())
    if lone is not UNSET and all(gpu.compute_capability is UNSET for gpu in gpus):
        return tuple(structs.replace(gpu, compute_capability=lone) for gpu in gpus) or (
            Gpu(compute_capability=lone),
        )
    return gpus


def _compared(
    values: dict[str, list[dict[str, str]]], table: smi_table.Table, branches: tuple[Branch, ...]
) -> list[tuple[str, str]]:
    """Markers that follow from two readings."""
    found = []
    libcuda, kernel = _first(values, "libcuda", DriverRelease), _first(values, "kernel", DriverRelease)
    if isinstance(libcuda, DriverRelease) and isinstance(kernel, DriverRelease) and libcuda != kernel:
        word = "newer" if libcuda > kernel else "older"
        line = f"libcuda {libcuda}, kernel module {kernel}"
        found.append((f"libcuda-{word}", line))
        if libcuda.major == kernel.major:
            found.append(("libcuda-other-patch", line))
        elif libcuda > kernel and kernel.major >= FIRST_COMPAT:
            found.append(("compat-possible", line))
    release, cuda = _first(values, "driver", DriverRelease), _first(values, "driver-cuda", DriverCuda)
    own = {row.branch: row.cuda for row in branches}
    if isinstance(release, DriverRelease) and isinstance(cuda, DriverCuda):
        native = own.get(release.major)
        if native is not None and cuda > native:
            found.append(("compat-in-use", f"driver {release} brings CUDA {native}, nvidia-smi says {cuda}"))
    loaded, wanted = _first(values, "cudnn", _cudnn), _first(values, "cudnn-compiled", _cudnn)
    if isinstance(loaded, CudnnRelease) and isinstance(wanted, CudnnRelease):
        line = f"cuDNN {loaded} is loaded, compiled with {wanted}"
        if loaded.major != wanted.major:
            found.append(("cudnn-other-major", line))
        elif loaded < wanted:
            found.append(("cudnn-older-than-compiled", line))
    return [*found, *_missing(values), *_releases(values), *_memory(values, table)]


def _releases(values: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    """Whether the CUDA that is named is the one that the missing library belongs to.

    Up to CUDA 10 a soname carries the minor release, later the major alone (NVIDIA, CUDA Compatibility).
    """
    names = [caught["value"] for caught in values.get("missing", ())]
    wanted = next((release for release in map(_release_of, names) if release), None)
    driver = {caught["value"] for caught in values.get("driver-cuda", ())}
    named = [caught["value"] for caught in values.get("cuda-named", ()) if caught["value"] not in driver]
    if wanted is None or not named:
        return []
    line = f"CUDA {wanted} is asked for, CUDA {', '.join(dict.fromkeys(named))} is named"
    if all(serves(each, wanted) for each in named):
        return [("toolkit-of-the-missing", line)]
    return [("toolkit-not-of-the-missing", line)]


def _release_of(name: str) -> str | None:
    """The CUDA release that a library's name tells: `10.1` of libcudart.so.10.1, `11` of cudart64_110.dll."""
    found = _RELEASED.match(name)
    if found is None:
        return None
    if found["so"]:
        major, _, minor = found["so"].partition(".")
        return f"{major}.{minor}" if minor and int(major) <= LAST_WITH_MINOR else major
    number = found["dll"]
    if len(number) == 2 and number[0] in "123":
        return number
    major, minor = number[:-1], number[-1]
    return f"{major}.{minor}" if int(major) <= LAST_WITH_MINOR else major


def _missing(values: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    """Whether nearly everything is missing (nothing is installed) or only some (the wrong release is)."""
    names = {caught["value"] for caught in values.get("missing", ())}
    names = {name for name in names if not name.startswith(_OPTIONAL)}
    if not names:
        return []
    if all("cudnn" in name for name in names):
        return [("only-cudnn-missing", ", ".join(sorted(names)))]
    word = "many" if len(names) >= MANY else "some"
    return [(f"{word}-libraries-missing", ", ".join(sorted(names)))]


def _memory(values: dict[str, list[dict[str, str]]], table: smi_table.Table) -> list[tuple[str, str]]:
    shares = [(row.used_mib / row.total_mib, row.line) for row in table.gpus if row.total_mib]
    for caught in values.get("memory", ()):
        total = int(caught["total"])
        if total:
            free = int(caught["value"])
            shares.append((1 - free / total, f"{free} of {total} bytes free"))
    found = [("memory-held-by", _holders(table.processes))] if table.processes else []
    if not shares:
        return found
    used, line = max(shares)
    return [*found, ("memory-full" if used > _FULL else "memory-free", line)]


def _holders(processes: tuple[smi_table.Process, ...]) -> str:
    """The processes with the most GPU memory, by name and id."""
    most = [f"{each.name} (pid {each.pid}) {each.used_mib} MiB" for each in processes[:MOST_HOLDERS]]
    return f"nvidia-smi lists as holding GPU memory: {', '.join(most)}"
