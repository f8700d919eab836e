"""uv as the resolver: `uv pip compile` to a PEP 751 lock, read back as a Resolution."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envfix.errors import InputError, ResolutionFailed
from envfix.installers import (
    absent_constraints,
    drop_absent_constraints,
    uv_binary,
    uv_environment,
    uv_folder,
    uv_settings,
)
from envfix.model.machine import Os
from envfix.model.plan import LockedFile, LockedPackage, Resolution
from envfix.model.target import PipConfig, Target
from envfix.model.urls import redact, without_credentials
from envfix.ports import Outside, Ran, Resolver
from envfix.reading import parse_toml
from envfix.resolve.constraint_files import blamed
from envfix.resolve.places import index_place, is_remote, links_place
from envfix.resolve.staying import installed_versions
from envfix.resolve.unavailable import UV_INDEXES, holds_none
from envfix.resolve.uv_failure import failure, knows_nothing, refusal
from envfix.resolve.wheels import installable, target_tags

TIME_LIMIT = 900.0
# What `uv pip compile --python-platform` can be told (its documentation, "Platform markers").
_UV_GLIBC_MINORS = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)


class UvResolver(Resolver):
    """`index_date` (RFC 3339) leaves out what was uploaded later; uv's own UV_EXCLUDE_NEWER does so too."""

    def __init__(self, outside: Outside, index_date: str | None = None) -> None:
        self.outside = outside
        self.index_date = index_date or outside.environ.get("PIP_UPLOADED_PRIOR_TO")

    def resolve(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        target: Target,
        config: PipConfig,
        *,
        offline: bool,
    ) -> Resolution:
        for setting, place in uv_settings(self.outside.environ, *UV_INDEXES):
            index_place(self.outside, setting, place)
        for setting, place in uv_settings(self.outside.environ, "UV_FIND_LINKS"):
            links_place(self.outside, setting, place)
        for name, place in absent_constraints(self.outside):
            self.outside.say(f"warning: {name}: no file `{redact(place)}` is here, so it constrains nothing")
        found = self._solution(requirements, constraints, target, config, offline)
        # uv 0.13.9 forgets its preference for an installed version where a package is on several indexes, so
        # what moved is asked for once more in the version that is there.
        installed = installed_versions(target)
        moved = [
            f"{package.name}=={installed[package.name]}"
            for package in found.packages
            if installed.get(package.name, package.version) != package.version
        ]
        if not moved:
            return found
        try:
            return self._solution(requirements, [*constraints, *moved], target, config, offline)
        except ResolutionFailed:
            return found  # one of them at least has to move

    def _solution(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        target: Target,
        config: PipConfig,
        offline: bool,
    ) -> Resolution:
        folder = uv_folder(self.outside)
        argv = ["--format", "pylock.toml", *_aim(target)]
        # uv keeps the versions that the file it writes already has, where they fit.
        lock = f"{folder}/pylock.toml"
        self.outside.write_text(lock, _preferred(target), lasting=False)
        argv += ["--output-file", lock]
        env = uv_environment(self.outside.environ, config)
        drop_absent_constraints(self.outside, env)
        files = [place for place in config.constraints if not is_remote(place)]
        # An option on the command line would replace what the user's variable says, so it is joined in.
        files += env.get("UV_CONSTRAINT", "").split()
        bound = tuple(files)
        if constraints:
            self.outside.write_text(f"{folder}/caps.txt", "\n".join(constraints) + "\n", lasting=False)
            files.append(f"{folder}/caps.txt")
        for file in files:
            argv += ["--constraints", file]
        if offline:
            argv.append("--offline")
        # Their addresses may hold credentials, and everybody can read a command line.
        pages = [f"-c {place}" for place in config.constraints if is_remote(place)]
        ran = self._compile([*pages, *requirements], argv, folder, env, config)
        if not ran.ok:
            problem = failure(ran, TIME_LIMIT, offline, env.get("UV_CACHE_DIR", "of the user"))
            if isinstance(problem, ResolutionFailed) and knows_nothing(ran):
                self._check_index(requirements, target, folder, env, config)
            raise blamed(self.outside, problem, bound)
        return read_resolution(self.outside.read_text(lock), target)

    def _compile(
        self, lines: Sequence[str], more: list[str], folder: str, env: dict[str, str], config: PipConfig
    ) -> Ran:
        argv = [uv_binary(self.outside), "pip", "compile", "-", *more, "--quiet", "--no-header"]
        argv += ["--no-annotate", "--no-progress", "--color", "never"]
        argv += ["--no-index"] if config.no_index else []
        if self.index_date and not env.get("UV_EXCLUDE_NEWER"):
            argv += ["--exclude-newer", self.index_date]
        # Away from the user's folder: a project's own `[tool.uv]` there is about that project.
        return self.outside.run(argv, timeout=TIME_LIMIT, env=env, stdin="\n".join(lines) + "\n", cwd=folder)

    def _check_index(
        self, requirements: Sequence[str], target: Target, folder: str, env: dict[str, str], config: PipConfig
    ) -> None:
        """Raises for an index that has not one of the projects: it is the wrong one, or keeps us out.

        uv takes 401 and 403 for "no such project"; only where the first index decides does it say them.
        """
        names = list(dict.fromkeys(canonicalize_name(Requirement(line).name) for line in requirements))
        env = {**env, "UV_INDEX_STRATEGY": "first-index"}
        for name in names:
            ran = self._compile([name], ["--no-deps", *_aim(target)], folder, env, config)
            if not knows_nothing(ran):
                return
            refused = refusal(ran)
            if refused is not None:
                raise refused
        raise holds_none(self.outside.environ, config, names, uv=True)


def _preferred(target: Target) -> str:
    """A lock that holds nothing but the installed versions."""
    rows = [
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\n'
        for name, version in installed_versions(target).items()
    ]
    return 'lock-version = "1.0"\ncreated-by = "envfix"\n' + ("".join(rows) or "packages = []\n")


def _aim(target: Target) -> list[str]:
    """The interpreter itself; for one that is not on this machine, its release and platform."""
    # Any interpreter will do for one that is not here; without a name uv would ask each one on PATH (8 s).
    aim = ["--python", target.executable or sys.executable]
    if target.executable and _is_here(target):
        return aim
    return [*aim, "--python-version", str(target.python), "--python-platform", _platform(target)]


def _is_here(target: Target) -> bool:
    here = {"win32": Os.WINDOWS, "darwin": Os.MACOS}.get(sys.platform, Os.LINUX)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    if (target.os, target.arch.value) != (here, machine):
        return False
    libc = os.confstr("CS_GNU_LIBC_VERSION") if here is Os.LINUX and target.glibc else None
    return libc is None or libc.split()[-1] == str(target.glibc)


def _platform(target: Target) -> str:
    arch = target.arch.value
    if target.os is Os.WINDOWS:
        return f"{arch}-pc-windows-msvc"
    if target.os is Os.MACOS:
        return f"{arch}-apple-darwin"
    if target.glibc is None:
        return f"{arch}-unknown-linux-gnu"
    known = [minor for minor in _UV_GLIBC_MINORS if minor <= target.glibc.minor]
    if not known:
        raise InputError(f"uv resolves for glibc >= 2.17, found {target.glibc}")
    return f"{arch}-manylinux_2_{known[-1]}"


def read_resolution(text: str, target: Target) -> Resolution:
    """The Resolution in uv's lock. Raises ResolutionFailed where a package has no file to lock."""
    data = parse_toml(text, "uv's lock", ResolutionFailed)
    try:
        lock = Pylock.from_dict(data)
    except PylockValidationError as problem:
        raise ResolutionFailed(f"uv's lock is not valid: {problem}") from None
    tags = target_tags(target)
    packages = [_package(package, tags, target) for package in lock.packages]
    return Resolution(packages=tuple(sorted(packages, key=lambda one: one.name)), resolver="uv")


def _package(package: Package, tags: Any, target: Target) -> LockedPackage:
    if package.version is None or package.is_direct:
        raise ResolutionFailed(
            f"`{package.name}` comes from a URL or folder, which cannot be locked by version and hash",
            f"name a released version: --with {package.name}",
        )
    wheels = installable([_file(wheel) for wheel in package.wheels or ()], tags)
    sdist = _file(package.sdist) if package.sdist and not wheels else None
    if not wheels and sdist is None:
        raise ResolutionFailed(
            f"`{package.name}` {package.version} has no file that Python {target.feature} "
            f"on {target.os.value} {target.arch.value} can install"
        )
    return LockedPackage(
        name=package.name,
        version=str(package.version),
        wheels=wheels,
        sdist=sdist,
        requires_python=str(package.requires_python) if package.requires_python else None,
    )


def _file(file: PackageWheel | PackageSdist) -> LockedFile:
    url = file.url or f"file://{file.path}"
    sha256 = file.hashes.get("sha256")
    if sha256 is None:
        raise ResolutionFailed(
            f"the index gives no SHA-256 for {redact(url)}",
            "use an index that serves hashes, or `--resolver pip-tools`",
        )
    # uv writes size 0 for the files of a local folder, which is no size.
    name = file.name or unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    return LockedFile(filename=name, url=without_credentials(url), sha256=sha256, size=file.size or None)
