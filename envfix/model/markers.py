"""The environment markers of an interpreter (dependency specifiers, "Environment Markers")."""

from __future__ import annotations

from functools import cache

from msgspec import UNSET

from envfix.model.machine import Arch, Machine, Os
from envfix.model.specifiers import requirement
from envfix.model.versions import PythonRelease


def marker_environment(
    system: Os, arch: Arch, python: PythonRelease, implementation: str = "cpython"
) -> dict[str, str]:
    """Every marker variable. `python` may be a feature release, where its last number is not known."""
    names = {Os.LINUX: ("posix", "linux", "Linux"), Os.WINDOWS: ("nt", "win32", "Windows")}
    os_name, sys_platform, platform_system = names.get(system, ("posix", "darwin", "Darwin"))
    machine = arch.value
    if system is Os.WINDOWS:
        machine = "AMD64" if arch is Arch.X86_64 else "ARM64"
    elif system is Os.MACOS and arch is Arch.AARCH64:
        machine = "arm64"
    full = python if len(python.parts) > 2 else PythonRelease(f"{python}.0")
    return {
        "os_name": os_name,
        "sys_platform": sys_platform,
        "platform_system": platform_system,
        "platform_machine": machine,
        "platform_python_implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(
            implementation, implementation
        ),
        "implementation_name": implementation,
        "implementation_version": str(full),
        "python_version": str(python.cut(2)),
        "python_full_version": str(full),
        "platform_release": "",
        "platform_version": "",
        "extra": "",
    }


def counts(line: str, machine: Machine) -> bool:
    """Whether a Requires-Dist line counts on the machine, without extras; not where too little is known."""
    if machine.os is UNSET or machine.arch is UNSET or machine.python is UNSET:
        return False
    return _counts(line, machine.os, machine.arch, machine.python)


@cache
def _counts(line: str, system: Os, arch: Arch, python: PythonRelease) -> bool:
    parsed = requirement(line)
    if parsed is None:
        return False  # from before PEP 508: it binds nobody
    return parsed.marker is None or parsed.marker.evaluate(dict(marker_environment(system, arch, python)))
