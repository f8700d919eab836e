"""`pylock.envfix.toml`: the lock as PEP 751 has it, with what it was decided from in `[tool.envfix]`.

The same lock gives the same bytes: no timestamps, fixed order, no credentials.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Literal

import msgspec
from msgspec import Struct
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError
from packaging.version import Version

from envfix.errors import InputError
from envfix.model.machine import Arch, Os
from envfix.model.plan import Floors, Lock, LockedFile, LockedPackage, Resolution
from envfix.model.urls import redact
from envfix.model.versions import ComputeCapability, Dotted, DriverRelease, GlibcRelease, PythonRelease
from envfix.pep751 import basename, is_fetchable, lock_text
from envfix.ports import Outside
from envfix.reading import convert, parse_toml

LOCK_VERSION = 1
LIMIT = 4 << 20  # bytes; that of TensorFlow with its CUDA wheels has 25 kB
_PIN = re.compile(r"nvidia-[a-z0-9-]+==[0-9]+(\.[0-9]+)*")
_LARGEST = 1 << 40  # bytes of one file


class _Tool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.envfix]` as it stands in the file."""

    version: int
    tensorflow: str
    requirements: tuple[str, ...]
    resolver: str
    cuda: Literal["wheels", "system"]
    matrix_digest: str
    floors: dict[str, Any]
    left_out: tuple[str, ...] = ()


def render_pylock(lock: Lock) -> str:
    """The text of the lock file. Raises ValueError (a bug in envfix) if it would not be valid."""
    floors = lock.floors
    ours = {
        "version": LOCK_VERSION,
        "tensorflow": lock.tensorflow,
        "requirements": list(lock.requirements),
        "resolver": lock.resolution.resolver,
        "cuda": lock.cuda,
        **({"left-out": list(lock.left_out)} if lock.left_out else {}),
        "matrix-digest": lock.matrix_digest,
        "floors": {
            key.replace("_", "-"): value
            for key, value in msgspec.to_builtins(floors).items()
            if value not in (None, (), [])
        },
    }
    extra = {
        "requires-python": f"=={floors.python}.*",
        "environments": [marker(floors)],
        "tool": {"envfix": ours},
    }
    return lock_text(lock.resolution.packages, extra)


def marker(floors: Floors) -> str:
    """The environment the wheels were chosen for, so that other installers refuse elsewhere too."""
    system = {Os.WINDOWS.value: "win32", Os.MACOS.value: "darwin"}.get(floors.os, "linux")
    machine = {
        (Os.WINDOWS.value, Arch.X86_64.value): "AMD64",
        (Os.WINDOWS.value, Arch.AARCH64.value): "ARM64",
        (Os.MACOS.value, Arch.AARCH64.value): "arm64",
    }.get((floors.os, floors.arch), floors.arch)
    return f"sys_platform == '{system}' and platform_machine == '{machine}'"


def read_lock(outside: Outside, path: str) -> Lock:
    """The lock in a file. Raises InputError for one that cannot be read or is none of envfix's."""
    try:
        text = outside.read_text(path, LIMIT + 1)
    except OSError as problem:
        raise InputError(f"`{path}` cannot be read: {problem.strerror}") from None
    if len(text) > LIMIT:
        raise InputError(f"{path}: expected a lock of at most {LIMIT >> 20} MiB, found a larger file")
    return read_pylock(text, path)


def read_pylock(text: str, name: str) -> Lock:
    """The lock in a file that envfix wrote. Raises InputError with the place for anything else."""
    data = parse_toml(text, name)
    try:
        lock = Pylock.from_dict(data)
    except PylockValidationError as problem:
        place = f"{name}: {problem.context}" if problem.context else name
        what = problem.message
        raise InputError(f"{place}: {what[:1].lower()}{what[1:]}", _AGAIN) from None
    tool = (lock.tool or {}).get("envfix")
    if tool is None:
        raise InputError(f"{name}: has no `[tool.envfix]`, so envfix did not write it", _AGAIN)
    version = tool.get("version") if isinstance(tool, dict) else None
    if isinstance(version, int) and version > LOCK_VERSION:
        raise InputError(
            f"{name}: tool.envfix.version: this envfix reads {LOCK_VERSION}, found {version}",
            "pip install --upgrade envfix-tf",
        )
    ours = convert(tool, _Tool, f"{name}: tool.envfix")
    try:
        Version(ours.tensorflow)
    except ValueError:
        raise InputError(
            f"{name}: tool.envfix.tensorflow: expected a version, found `{ours.tensorflow}`", _AGAIN
        ) from None
    packages = tuple(
        _read_package(package, f"{name}: packages[{number}]") for number, package in enumerate(lock.packages)
    )
    _check_whole(packages, ours.tensorflow, name)
    return Lock(
        tensorflow=ours.tensorflow,
        requirements=ours.requirements,
        resolution=Resolution(packages=packages, resolver=ours.resolver),
        floors=_floors(ours.floors, f"{name}: tool.envfix.floors"),
        matrix_digest=ours.matrix_digest,
        cuda=ours.cuda,
        left_out=_left_out(ours.left_out, f"{name}: tool.envfix.left-out"),
    )


_AGAIN = "envfix lock"


def _floors(value: dict[str, Any], name: str) -> Floors:
    known = {field.replace("_", "-"): field for field in Floors.__struct_fields__}
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise InputError(f"{name}: object contains unknown field `{unknown[0]}`", _AGAIN)
    floors = convert({known[key]: item for key, item in value.items()}, Floors, name)
    if floors.accelerator not in ("gpu", "cpu"):
        raise InputError(
            f"{name}: accelerator: expected `gpu` or `cpu`, found `{floors.accelerator}`", _AGAIN
        )
    numbers: list[tuple[str, type[Dotted], str]] = [("python", PythonRelease, floors.python)]
    numbers += [("glibc", GlibcRelease, floors.glibc)] if floors.glibc else []
    numbers += [("driver", DriverRelease, floors.driver)] if floors.driver else []
    numbers += [("compute-capabilities", ComputeCapability, one) for one in floors.compute_capabilities]
    for key, kind, text in numbers:
        try:
            kind(text)
        except ValueError as problem:
            raise InputError(f"{name}: {key}: {problem}", _AGAIN) from None
    return floors


def _left_out(texts: tuple[str, ...], name: str) -> tuple[str, ...]:
    for number, text in enumerate(texts):
        if not _PIN.fullmatch(text):
            raise InputError(f"{name}[{number}]: expected a pin of a wheel, found `{text}`", _AGAIN)
    return texts


def _check_whole(packages: tuple[LockedPackage, ...], tensorflow: str, name: str) -> None:
    """Each package once, and the TensorFlow that the lock was decided for among them."""
    counted = Counter(package.name for package in packages)
    twice = next((package for package, count in counted.items() if count > 1), None)
    if twice:
        raise InputError(f"{name}: packages: `{twice}` stands twice", _AGAIN)
    held = [package for package in packages if package.name.startswith("tensorflow")]
    if not any(Version(package.version) == Version(tensorflow) for package in held):
        found = ", ".join(f"{package.name} {package.version}" for package in held) or "none"
        raise InputError(
            f"{name}: tool.envfix.tensorflow: expected {tensorflow} among the packages, found {found}", _AGAIN
        )


def _read_package(package: Package, place: str) -> LockedPackage:
    if package.version is None or package.is_direct:
        raise InputError(f"{place}: `{package.name}` has no version from an index", _AGAIN)
    if package.marker is not None:
        raise InputError(f"{place}.marker: a lock of envfix's has none, found `{package.marker}`", _AGAIN)
    wheels = tuple(
        _read_file(wheel, f"{place}.wheels[{number}]") for number, wheel in enumerate(package.wheels or ())
    )
    sdist = _read_file(package.sdist, f"{place}.sdist") if package.sdist else None
    if not wheels and sdist is None:
        raise InputError(f"{place}: `{package.name}` has neither wheels nor an sdist", _AGAIN)
    return LockedPackage(
        name=package.name,
        version=str(package.version),
        wheels=wheels,
        sdist=sdist,
        requires_python=str(package.requires_python) if package.requires_python else None,
    )


def _read_file(file: PackageWheel | PackageSdist, place: str) -> LockedFile:
    sha256 = file.hashes.get("sha256", "")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise InputError(
            f"{place}.hashes: expected `sha256` with 64 hexadecimal digits, found `{dict(file.hashes)}`"
        )
    if file.url is None:
        raise InputError(f"{place}: expected a `url`, found the path `{file.path}`", _AGAIN)
    if not is_fetchable(file.url):
        raise InputError(
            f"{place}.url: expected a URL of http, https or file, found `{redact(file.url)}`", _AGAIN
        )
    if file.size is not None and not 0 <= file.size < _LARGEST:
        raise InputError(f"{place}.size: expected bytes, found {file.size}", _AGAIN)
    return LockedFile(filename=file.name or basename(file.url), url=file.url, sha256=sha256, size=file.size)
