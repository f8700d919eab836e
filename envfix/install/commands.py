"""uv and pip behind one interface: install locked files without resolving, and uninstall."""

from __future__ import annotations

import abc
import json
import os
import secrets
import shlex
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from envfix.errors import InputError
from envfix.install.disk import uv_kept_cache
from envfix.install.progress import UvProgress, pip_progress
from envfix.installers import pip_environment, uv_binary, uv_install_environment, without_settings
from envfix.model.plan import LockedPackage
from envfix.model.target import PipConfig, Target
from envfix.pep751 import lock_text
from envfix.ports import Outside, Ran

TIME_LIMIT = 7200.0  # 3 GB over a slow line
# pip draws its progress on standard output, which envfix keeps for data.
_PIP = (
    "import os, runpy, sys; os.dup2(2, 1); sys.argv[0] = 'pip'; "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
# What the wheels in a folder unpack to (packaging.python.org, "Binary distribution format"), which `pip
# download` leaves packed; no answer where one is still to be built.
_NAMES = """\
import configparser, json, os, sys, zipfile
found = []
for wheel in sorted(os.listdir(sys.argv[1])):
    with zipfile.ZipFile(os.path.join(sys.argv[1], wheel)) as archive:
        if not wheel.endswith(".whl"):
            sys.exit("not a wheel")
        for name in archive.namelist():
            top, _, rest = name.partition("/")
            if top.endswith(".data") and rest:
                scheme, _, rest = rest.partition("/")
                own = wheel.partition("-")[0] + "/"
                name = {"scripts": "bin/", "headers": "include/" + own}.get(scheme, "") + rest
            found.append(name.rstrip("/"))
            if name.endswith(".dist-info/entry_points.txt"):
                points = configparser.RawConfigParser(delimiters=("=",))
                points.optionxform = str
                points.read_string(archive.read(name).decode("utf-8", "replace"))
                for group in ("console_scripts", "gui_scripts"):
                    if points.has_section(group):
                        found += ["bin/" + point.strip() for point in points.options(group)]
parents = {name.rpartition("/")[0] for name in found}
while parents - {""}:
    found += sorted(parents - {""})
    parents = {name.rpartition("/")[0] for name in parents}
print(json.dumps(sorted(set(found))))
"""


class Installer(abc.ABC):
    """Changes one target. Both methods return how the program ended and never raise for it."""

    name: ClassVar[str]

    def __init__(
        self,
        outside: Outside,
        target: Target,
        config: PipConfig,
        *,
        offline: bool,
        break_system_packages: bool,
        from_urls: bool = False,
    ) -> None:
        """`from_urls` takes the files from where the lock says, not from the user's index: the lock may be
        from elsewhere."""
        self.outside = outside
        self.target = target
        self.config = config
        self.offline = offline
        self.from_urls = from_urls
        self.allowed = ["--break-system-packages"] if break_system_packages else []
        self.folder = outside.temporary_dir()
        self.fetched = False
        self.arrives: tuple[str, ...] | None = None

    def prepare(self) -> None:  # noqa: B027 - pip needs nothing
        """Find out what it needs to know before it works, while there is time."""

    @abc.abstractmethod
    def fetch(self, packages: Sequence[LockedPackage]) -> Ran:
        """Download every file and check its hash, the target untouched; `install` then asks no index.

        `arrives` names the files that `install` will write, as if everything went into one folder, or is None
        where that is not known.
        """

    @abc.abstractmethod
    def install(self, packages: Sequence[LockedPackage]) -> Ran:
        """Install exactly these, replacing other versions; no dependency is looked for."""

    @abc.abstractmethod
    def uninstall(self, names: Sequence[str]) -> Ran:
        """Uninstall the distributions of these names."""


def installer_named(
    name: str,
    outside: Outside,
    target: Target,
    config: PipConfig,
    *,
    offline: bool,
    break_system_packages: bool,
    from_urls: bool = False,
) -> Installer:
    """`uv` or `pip`. Raises InputError for pip where neither the target nor envfix has it."""
    kind = {"uv": UvInstaller, "pip": PipInstaller}[name]
    return kind(
        outside,
        target,
        config,
        offline=offline,
        break_system_packages=break_system_packages,
        from_urls=from_urls,
    )


class UvInstaller(Installer):
    """`uv pip install` of pins with hashes, or of a PEP 751 lock by its files' URLs.

    Every hash is checked, no direct URL is recorded, and all files are fetched before the first one is
    installed. Pins are the rule: a wheel known by index, name and version is taken from uv's cache again,
    while one known by its URL is fetched anew where the server sends no caching headers (uv 0.13.9)."""

    name = "uv"

    def prepare(self) -> None:
        _ = self.kept_cache

    @cached_property
    def kept_cache(self) -> str | None:
        """The cache that uv names, None where the user wants none. Raises InputError, and InstallFailed, as
        `uv_kept_cache` does."""
        return uv_kept_cache(self.outside)

    def fetch(self, packages: Sequence[LockedPackage]) -> Ran:
        # Where the user wants no cache, one is kept from here to the end of `install`.
        kept = self.kept_cache
        if kept is None:
            self.outside.make_dirs(self._own_cache)
        # uv has no command that only downloads (0.13.9). In a folder of its cache the files are links to
        # what is there, which take no space.
        cache = kept or self._own_cache
        self._forget_the_killed(cache)
        # Containers that share a cache have the same process numbers.
        aside = f"{cache}/envfix-{os.getpid()}-{secrets.token_hex(4)}"
        self.outside.make_dirs(aside)
        held = self.outside.hold(f"{aside}.lock")
        try:
            offline = ["--offline"] if self.offline else []
            ran = self._uv(["install", "--target", aside, *offline, *self.from_lock(packages)])
            if ran.ok:
                self.arrives = tuple(path[len(aside) + 1 :] for path, _ in self.outside.walk(aside))
        finally:
            self.outside.remove_tree(aside)
            self.outside.remove(f"{aside}.lock")
            if held is not None:
                held.release()
        self.fetched = ran.ok
        return ran

    def _forget_the_killed(self, cache: str) -> None:
        """Folders of envfixes that did not live to remove them: links into the cache, which nothing frees."""
        for lock in self.outside.glob(cache, "envfix-*.lock"):
            held = self.outside.hold(lock)
            if held is not None:
                aside = lock.removesuffix(".lock")
                if self.outside.is_dir(aside):
                    self.outside.remove_tree(aside)
                self.outside.remove(lock)
                held.release()

    def install(self, packages: Sequence[LockedPackage]) -> Ran:
        offline = ["--offline"] if self.offline or self.fetched else []
        # What is there in the pinned version is only asked for because it is damaged.
        damaged = [
            f"--reinstall-package={package.name}"
            for package in packages
            if self.target.version_of(package.name) == package.version
        ]
        ran = self._uv(["install", *offline, *self.allowed, *damaged, *self.from_lock(packages)])
        if self.outside.exists(self._own_cache):
            self.outside.remove_tree(self._own_cache)
        return ran

    def from_lock(self, packages: Sequence[LockedPackage]) -> list[str]:
        """uv's arguments for exactly these packages; writes the file that they name."""
        without_settings(self.outside, self.folder)
        if self.from_urls:
            # uv takes a file for a lock by its name: `pylock.*.toml`.
            path, text, checked = f"{self.folder}/pylock.envfix.toml", lock_text(packages), []
        else:
            path, text = f"{self.folder}/requirements.envfix.txt", "".join(map(_pin, packages))
            checked = ["--require-hashes"]
        self.outside.write_text(path, text, lasting=False)
        return [*checked, "--no-deps", "-r", path]

    def uninstall(self, names: Sequence[str]) -> Ran:
        without_settings(self.outside, self.folder)
        return self._uv(["uninstall", *self.allowed, *names])

    @property
    def _own_cache(self) -> str:
        return f"{self.folder}/cache"

    def _uv(self, arguments: list[str]) -> Ran:
        env = uv_install_environment(self.outside, self.config)
        if self.outside.exists(self._own_cache):
            env.pop("UV_NO_CACHE", None)
            env["UV_CACHE_DIR"] = self._own_cache
            self.outside.write_text(f"{self.folder}/uv.toml", "no-cache = false\n")  # the user's may say true
        argv = [uv_binary(self.outside), "pip", *arguments, "--python", self.target.executable]
        fetches = "--target" in arguments
        if fetches:
            env["UV_LINK_MODE"] = "hardlink"  # whatever the user wants in the target: here it takes no space
        keep = UvProgress(fetches=fetches)
        return self.outside.run(argv, timeout=TIME_LIMIT, env=env, cwd=self.folder, show=True, keep=keep)


class PipInstaller(Installer):
    """pip with `--require-hashes --no-deps`: the target's own pip, else envfix's with `--python`."""

    name = "pip"

    def fetch(self, packages: Sequence[LockedPackage]) -> Ran:
        # pip cannot be told to use its cache alone; without an index, only local files are left.
        offline = ["--no-index"] if self.offline else []
        files = f"{self.folder}/files"
        ran = self._pip(["download", "--dest", files, *offline, *self._from_lock(packages)])
        self.fetched = ran.ok
        if ran.ok:
            listed = self.outside.run([self.target.executable, "-I", "-S", "-c", _NAMES, files], timeout=300)
            self.arrives = tuple(json.loads(listed.out)) if listed.ok else None
        return ran

    def install(self, packages: Sequence[LockedPackage]) -> Ran:
        arguments = ["install", *self.allowed, *self._from_lock(packages)]
        if self.offline or self.fetched:
            arguments.append("--no-index")
        if self.fetched:
            arguments += ["--find-links", f"{self.folder}/files"]
        if any(self.target.version_of(package.name) == package.version for package in packages):
            arguments.append("--force-reinstall")  # damaged; the file holds nothing but what changes
        return self._pip(arguments)

    def _from_lock(self, packages: Sequence[LockedPackage]) -> list[str]:
        path = f"{self.folder}/requirements.envfix.txt"
        self.outside.write_text(path, "".join(_pin(package) for package in packages), lasting=False)
        return ["--no-deps", "--require-hashes", "--disable-pip-version-check", "-r", path]

    def uninstall(self, names: Sequence[str]) -> Ran:
        return self._pip(["uninstall", "--yes", *self.allowed, *names])

    def _pip(self, arguments: list[str]) -> Ran:
        env = pip_environment(self.outside.environ, self.config, offline=self.offline)
        python, first = self._where(env)
        argv = [python, "-c", _PIP, *first, *arguments]
        return self.outside.run(
            argv, timeout=TIME_LIMIT, env=env, cwd=self.folder, show=True, keep=pip_progress
        )

    def _where(self, env: dict[str, str]) -> tuple[str, list[str]]:
        target = self.target.executable
        if self.outside.run([target, "-c", "import pip"], timeout=60, env=env).ok:
            return target, []
        if self.outside.run([sys.executable, "-c", "import pip"], timeout=60, env=env).ok:
            return sys.executable, ["--python", target]
        raise InputError(
            f"`{target}` has no pip, and neither has envfix",
            f"{shlex.quote(target)} -m ensurepip, or --resolver uv",
        )


def _pin(package: LockedPackage) -> str:
    files = [*package.wheels, *([package.sdist] if package.sdist else [])]
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in sorted({file.sha256 for file in files}))
    return f"{package.name}=={package.version} {hashes}\n"
