"""Every CUDA toolkit on the machine, and which one a loader would use.

A toolkit says nothing about what the driver can run: that is `driver.cuda`, read elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import UNSET

from envfix.model.machine import Evidence, Outcome, Toolkit
from envfix.model.versions import CudaRelease
from envfix.ports import Outside
from envfix.probe.evidence import piece, read_file
from envfix.probe.loader_cache import LoaderCache, library_path

FACT = "toolkit"
RUNTIME = "libcudart.so"
# Where toolkits are installed by NVIDIA's packages and runfile, by distributions, and by hand.
INSTALLED = ("/usr/local/cuda", "/usr/local/cuda-*", "/opt/cuda", "/opt/cuda-*", "/usr/lib/cuda")
DEBIAN = "/usr/lib/nvidia-cuda-toolkit"
_NUMBERS = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,4}){1,3}")
_HEADER = re.compile(r"^#define CUDA_VERSION ([0-9]{4,5})\s*$", re.M)
_NVCC = re.compile(r"\brelease ([0-9]{1,2}\.[0-9]{1,2}), V[0-9]")


class Found(NamedTuple):
    """A toolkit, how it was found, and what its version was read from."""

    source: str
    path: str
    version: CudaRelease | None
    read_from: str


def read_toolkits(
    outside: Outside, cache: LoaderCache, prefixes: Sequence[str], timeout: float
) -> tuple[Toolkit | None, tuple[Evidence, ...]]:
    """The toolkit that would be used, and evidence of every one. `prefixes` are conda environments."""
    evidence, found, seen = list(cache.trouble), [], set[str]()
    for source, path in _candidates(outside, cache, prefixes):
        real = outside.realpath(path)
        if real in seen:
            continue
        version, read_from = _version(outside, path, timeout)
        if version is None and not _has_runtime(outside, path):
            if source in ("CUDA_HOME", "CUDA_PATH"):
                evidence.append(piece(FACT, source, Outcome.ABSENT, f"{path} holds no toolkit"))
            continue
        seen.add(real)
        found.append(Found(source, path, version, read_from))
    if not found:
        return None, (*evidence, piece(FACT, "every usual place", Outcome.ABSENT, "no nvcc and no libcudart"))
    evidence += [
        piece(
            FACT,
            one.source,
            Outcome.FOUND,
            f"{one.version or 'version not known'} in {one.path} {one.read_from}",
        )
        for one in found
    ]
    used = found[0]
    return Toolkit(version=used.version if used.version else UNSET, path=used.path), tuple(evidence)


def _candidates(outside: Outside, cache: LoaderCache, prefixes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """How it is found, and the folder: set by hand, found by the loader, on PATH, installed elsewhere."""
    for name in ("CUDA_HOME", "CUDA_PATH"):
        path = outside.environ.get(name, "").rstrip("/")
        if path.startswith("/"):
            yield name, path
    for folder in library_path(outside):
        if outside.glob(folder, f"{RUNTIME}*"):
            yield "LD_LIBRARY_PATH", _above(folder)
    for library in cache.paths(f"{RUNTIME}."):
        yield "ldconfig -p", _above(library.rpartition("/")[0])
    nvcc = outside.which("nvcc")
    if nvcc:
        yield "nvcc on PATH", _nvcc_home(outside, nvcc)
    for pattern in INSTALLED:
        # The newest first, as far as a name tells: cuda-12.10 is newer than cuda-12.9.
        for path in sorted(outside.glob("/", pattern.lstrip("/")), key=_name_order, reverse=True):
            yield path, path
    for prefix in prefixes:
        yield "conda environment", prefix
    if outside.exists(DEBIAN):
        yield "the distribution's package", DEBIAN


def _version(outside: Outside, path: str, timeout: float) -> tuple[CudaRelease | None, str]:
    """The version, and the file it was read from in words; the cheapest source first, nvcc is a process."""
    for name, parse in (("version.json", parse_version_json), ("version.txt", parse_version_txt)):
        version = parse(read_file(outside, f"{path}/{name}").text)
        if version:
            return version, f"(from {name})"
    for header in (
        "include/cuda.h",
        "targets/x86_64-linux/include/cuda.h",
        "targets/sbsa-linux/include/cuda.h",
    ):
        version = parse_cuda_h(read_file(outside, f"{path}/{header}").text)
        if version:
            return version, f"(from {header})"
    if outside.exists(f"{path}/bin/nvcc"):
        version = parse_nvcc(outside.run([f"{path}/bin/nvcc", "--version"], timeout=timeout).out)
        if version:
            return version, "(from nvcc --version)"
    names = [outside.realpath(name).rpartition("/")[2] for name in _runtimes(outside, path)]
    version = newest_in_names(names)
    return version, f"(from the name of {RUNTIME})" if version else ""


def parse_version_json(text: str) -> CudaRelease | None:
    """`{"cuda": {"version": "12.5.1"}}`, as toolkits from 11.1 on carry it."""
    try:
        value = json.loads(text)["cuda"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return CudaRelease(value) if isinstance(value, str) and _NUMBERS.fullmatch(value) else None


def parse_version_txt(text: str) -> CudaRelease | None:
    """`CUDA Version 10.1.243`, as toolkits up to 11.0 carry it."""
    found = re.match(rf"CUDA Version ({_NUMBERS.pattern})\s*$", text)
    return CudaRelease(found[1]) if found else None


def parse_cuda_h(text: str) -> CudaRelease | None:
    """CUDA_VERSION is 1000 * major + 10 * minor."""
    found = _HEADER.search(text)
    return CudaRelease(f"{int(found[1]) // 1000}.{int(found[1]) % 1000 // 10}") if found else None


def parse_nvcc(text: str) -> CudaRelease | None:
    """`Cuda compilation tools, release 12.5, V12.5.40`: the release, not the compiler's build."""
    found = _NVCC.search(text)
    return CudaRelease(found[1]) if found else None


def newest_in_names(names: Sequence[str]) -> CudaRelease | None:
    """From `libcudart.so.12.5.82`: major and minor are the toolkit's, the third is the library's own.

    A bare `libcudart.so.12` names the major only, and `libcudart.so.11.0` is the soname of all of 11.x.
    """
    versions = []
    for name in names:
        found = re.fullmatch(r"libcudart\.so\.([0-9]{1,2})(?:\.([0-9]{1,2}))?(?:\.([0-9]{1,4}))?", name)
        if found:
            exact = found[3] is not None
            versions.append(CudaRelease(f"{found[1]}.{found[2]}" if exact else found[1]))
    return max(
        versions, key=lambda version: (version.parts[0], len(version.parts), version.parts), default=None
    )


def _runtimes(outside: Outside, path: str) -> list[str]:
    folders = ("lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib")
    return [name for folder in folders for name in outside.glob(f"{path}/{folder}", f"{RUNTIME}.*")]


def _has_runtime(outside: Outside, path: str) -> bool:
    return bool(_runtimes(outside, path))


def _above(folder: str) -> str:
    """The toolkit that a library folder belongs to: up to `lib64`, `lib` or `targets/...`."""
    return re.sub(r"(/targets/[^/]+)?/(lib64|lib)(/[^/]+-linux-gnu)?$", "", folder) or "/"


def _nvcc_home(outside: Outside, nvcc: str) -> str:
    """The toolkit of an nvcc on PATH, which may be a link or a script that runs the real one."""
    real = outside.realpath(nvcc)
    script = read_file(outside, real, 4096).text
    named = re.search(r"(/[^\s\"']+)/bin/nvcc\b", script) if script.startswith("#!") else None
    return named[1] if named else re.sub(r"/bin/[^/]+$", "", real)


def _name_order(path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]{1,9}", path.rpartition("/")[2]))
