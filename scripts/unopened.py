"""Which NVIDIA wheels of an environment TensorFlow can do without, by what its files name and what it opens.

A library is opened in one of three ways: another one is linked with it (DT_NEEDED), its file name is asked
for (`libnvrtc.so.12`), or the name is put together from its parts, as TensorFlow does it. Then its functions
are looked up by their names. So a wheel none of whose file names and functions stands in any other file
cannot be used, whatever runs.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name

# Headers, licences, packaging and Python's own: nothing that a program opens to compute.
_BESIDE = (".h", ".hpp", ".cuh", ".py", ".pyi", ".pyc", ".txt", ".md", ".pc", ".cmake", ".typed")


class Wheel(NamedTuple):
    """An installed wheel; `libraries` are its shared libraries, `programs` what else than code to link with
    and headers it holds."""

    name: str
    version: str
    libraries: tuple[Path, ...]
    programs: tuple[str, ...]


class Trace(NamedTuple):
    """What one process asked its dynamic loader for: sonames, and the paths that it opened."""

    searched: frozenset[str]
    opened: frozenset[str]


class Verdict(NamedTuple):
    """Whether a wheel may be left out, and what shows it; `asks` are functions that TensorFlow names."""

    wheel: Wheel
    needed: str
    asks: tuple[str, ...] = ()


def wheels(site: Path) -> tuple[Wheel, ...]:
    """The NVIDIA wheels in a site-packages folder, sorted by name."""
    found = []
    for info in site.glob("nvidia_*.dist-info"):
        name, version = info.name.removesuffix(".dist-info").split("-")
        with (info / "RECORD").open(newline="") as record:
            files = [row[0] for row in csv.reader(record) if row and not row[0].startswith(info.name)]
        libraries = tuple(site / file for file in files if is_library(file))
        programs = tuple(file for file in files if not is_library(file) and not file.endswith(_BESIDE))
        found.append(Wheel(canonicalize_name(name), version, libraries, programs))
    return tuple(sorted(found))


def is_library(file: str) -> bool:
    return bool(re.search(r"\.so(\.[0-9.]+)?$", file))


def read_trace(folder: Path) -> Trace:
    """What glibc has written with LD_DEBUG=libs of the process that searched most: the others are
    programs that it started."""
    text = max((path.read_text(errors="replace") for path in folder.iterdir()), key=len)
    searched = re.findall(r"\tfind library=(\S+) \[", text)
    opened = re.findall(r"\tcalling init: (\S+)", text)
    return Trace(frozenset(searched), frozenset(map(os.path.realpath, opened)))


def verdicts(site: Path, trace: Trace) -> Iterator[Verdict]:
    """One for each NVIDIA wheel: why it is needed, empty where nothing can open it but by its functions."""
    files = [path for path in site.rglob("*.so*") if path.is_file() and not path.is_symlink()]
    for wheel in wheels(site):
        others = [path for path in files if path not in wheel.libraries]
        needed = _opened(wheel, trace) or _programs(wheel) or _named(wheel, others, site)
        yield Verdict(wheel, needed, () if needed else tuple(sorted(set(_functions_named(wheel, others)))))


def searched_for(wheel: Wheel, trace: Trace) -> tuple[str, ...]:
    """Which of the wheel's libraries the process asked for, whether or not it got them."""
    names = {library.name for library in wheel.libraries}
    stems = {name.partition(".so")[0] for name in names}
    asked = {soname for soname in trace.searched if soname.partition(".so")[0] in stems}
    opened = {Path(path).name for path in trace.opened if Path(path).name in names}
    return tuple(sorted(asked | opened))


def _opened(wheel: Wheel, trace: Trace) -> str:
    asked = searched_for(wheel, trace)
    return f"opened when the GPU registers: {', '.join(asked)}" if asked else ""


def _programs(wheel: Wheel) -> str:
    return f"holds what is run or read, such as {wheel.programs[0]}" if wheel.programs else ""


def _named(wheel: Wheel, others: Sequence[Path], site: Path) -> str:
    names = sorted({library.name.partition(".so")[0] + ".so" for library in wheel.libraries})
    found = next((line for name in names for line in _grep(["-laF", name], others)), None)
    return f"{Path(found).relative_to(site)} names one of {', '.join(names)}" if found else ""


def _functions_named(wheel: Wheel, others: Sequence[Path]) -> Iterator[str]:
    """The wheel's functions whose names stand in files of others, as words of their own."""
    for library in wheel.libraries:
        functions = sorted(set(exported(library)))
        if functions:
            yield from _grep(["-haowF", "\n".join(functions)], others)


def exported(library: Path) -> Iterator[str]:
    """The functions that a shared library has for others; binutils' `nm` reads them."""
    argv = ["nm", "-D", "--defined-only", str(library)]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        _, kind, name = line.split()
        # C functions alone: what C++ exports is found under mangled names, and asked for by none.
        if kind in "TW" and not name.startswith("_"):
            yield name.partition("@")[0]


def _grep(options: Sequence[str], files: Sequence[Path]) -> list[str]:
    """grep's lines. What is read is gigabytes: it takes seconds where Python's own search takes minutes."""
    argv = ["grep", *options[:-1], "-e", options[-1], *map(str, files)]
    done = subprocess.run(argv, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode > 1:
        raise OSError(done.stderr.decode(errors="replace").strip())
    return done.stdout.decode(errors="replace").splitlines()
