"""The cuDNN that the loader would find outside the environment, and the one in the environment's wheels."""

from __future__ import annotations

import re
from collections.abc import Iterator

from envfix.model.machine import Cudnn, Evidence, Outcome, Toolkit, known
from envfix.model.target import Target
from envfix.model.versions import CudnnRelease
from envfix.ports import Outside
from envfix.probe.evidence import piece, read_file
from envfix.probe.loader_cache import LoaderCache, library_path

FACT = "cudnn"
LIBRARY = "libcudnn.so"
_SONAME = re.compile(r"libcudnn\.so\.([0-9]{1,2}(?:\.[0-9]{1,3}){0,3})")
_HEADER = re.compile(r"^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL)\s+([0-9]{1,4})\s*$", re.M)


def read_cudnn(
    outside: Outside, cache: LoaderCache, toolkit: Toolkit | None, target: Target | None
) -> tuple[Cudnn | None, tuple[Evidence, ...]]:
    """The machine's cuDNN (a wheel is none: it is in `installed`), and evidence of every one."""
    found: list[Cudnn] = []
    evidence: list[Evidence] = []
    seen: set[str] = set()
    for source, library in _libraries(outside, cache, toolkit):
        real = outside.realpath(library)
        if real in seen:
            continue
        seen.add(real)
        folder = library.rpartition("/")[0]
        version, read_from = _version(outside, real, folder)
        if version is not None:
            found.append(Cudnn(version=version, path=folder))
            evidence.append(piece(FACT, source, Outcome.FOUND, f"{version} in {folder} {read_from}"))
    if not found:
        evidence.append(
            piece(FACT, "every usual place", Outcome.ABSENT, f"no {LIBRARY}.* outside the environment")
        )
    return (found[0] if found else None), (*evidence, *_wheels(target))


def parse_header(text: str) -> CudnnRelease | None:
    """From the three numbers of cudnn_version.h."""
    numbers = {name: number for name, number in _HEADER.findall(text)}
    if len(numbers) != 3:
        return None
    return CudnnRelease(f"{numbers['MAJOR']}.{numbers['MINOR']}.{numbers['PATCHLEVEL']}")


def parse_name(name: str) -> CudnnRelease | None:
    """From a file's name: `libcudnn.so.9.8.0` is 9.8.0, and `libcudnn.so.8` tells the major only."""
    found = _SONAME.fullmatch(name)
    return CudnnRelease(found[1]) if found else None


def _libraries(outside: Outside, cache: LoaderCache, toolkit: Toolkit | None) -> Iterator[tuple[str, str]]:
    """How it is found, and the library: in the order in which the loader would take it."""
    for folder in library_path(outside):
        for path in _best_first(outside.glob(folder, f"{LIBRARY}.*")):
            yield "LD_LIBRARY_PATH", path
    for path in cache.paths(f"{LIBRARY}."):
        yield "ldconfig -p", path
    home = known(toolkit.path, "") if toolkit else ""
    for folder in ("lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib") if home else ():
        for path in _best_first(outside.glob(f"{home}/{folder}", f"{LIBRARY}.*")):
            yield "the toolkit's folder", path


def _best_first(paths: tuple[str, ...]) -> list[str]:
    """The file with the longest version in its name first: the others are links to it."""
    return sorted(paths, key=lambda path: (-path.count("."), path))


def _version(outside: Outside, real: str, folder: str) -> tuple[CudnnRelease | None, str]:
    """The library's own name before a header, which may belong to another release's package."""
    named = parse_name(real.rpartition("/")[2])
    if named is not None and len(named.parts) >= 3:
        return named, "(from the file's name)"
    prefix = re.sub(r"(/targets/[^/]+)?/(lib64|lib)(/[^/]+-linux-gnu)?$", "", folder)
    multiarch = folder.rpartition("/")[2]
    for header in (f"{prefix}/include", f"/usr/include/{multiarch}", "/usr/include"):
        version = parse_header(read_file(outside, f"{header}/cudnn_version.h").text)
        if version is not None and (named is None or version.major == named.major):
            return version, f"(from {header}/cudnn_version.h)"
    return named, "(from the file's name, which tells the major only)" if named else ""


def _wheels(target: Target | None) -> tuple[Evidence, ...]:
    return tuple(
        piece(f"installed.{dist.name}", "wheel", Outcome.FOUND, f"{dist.version} in {dist.location}")
        for dist in (target.installed if target else ())
        if dist.name.startswith("nvidia-cudnn-")
    )
