"""A real virtual environment beside a real small index, and the steps from requirements to an install."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import structs

from envfix.install.apply import apply
from envfix.install.commands import Installer, installer_named
from envfix.install.transaction.undoable import changing
from envfix.model.outcome import InstallResult
from envfix.model.plan import Floors, Lock
from envfix.model.target import PipConfig, Target
from envfix.ports import Outside, Ran
from envfix.probe.interpreter import read_target
from envfix.resolve.planning import make_plan
from envfix.resolve.uv import UvResolver
from envfix.system.outside import RealOutside
from tests.apart import Apart
from tests.index_server import IndexServer

HOME = ".envfix"


def tree(folder: Path | str, without: Sequence[str] = (HOME, "__pycache__")) -> dict[str, tuple[object, ...]]:
    """Everything below the folder: kind, mode, and content with its time, or where a link leads."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if any(part in without for part in path.parts):
            continue
        state = path.lstat()
        mode = oct(stat.S_IMODE(state.st_mode))
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))  # noqa: PTH115
        elif path.is_dir():
            found[name] = ("folder", mode)
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = ("file", mode, state.st_mtime_ns, digest)
    return found


class Observed(Apart):
    """One that keeps what is said, tells of each program, and has a free disk that a test can shrink."""

    def __init__(self, cache: Path) -> None:
        super().__init__(cache)
        self.said: list[str] = []
        self.free: int | None = None
        self.before_run: Callable[[Sequence[str]], None] = lambda argv: None
        self.after_run: Callable[[Sequence[str]], None] = lambda argv: None

    def say(self, text: str) -> None:
        self.said.append(text)

    def free_bytes(self, path: str) -> int:
        return super().free_bytes(path) if self.free is None else self.free

    def run(self, argv: Sequence[str], **more: object) -> Ran:  # type: ignore[override]
        self.before_run(argv)
        ran = super().run(argv, **more)  # type: ignore[arg-type]
        self.after_run(argv)
        return ran


class Room:
    """A virtual environment, the index, and the steps from requirements to an install."""

    def __init__(self, folder: Path, index: IndexServer) -> None:
        self.outside = Observed(folder / "cache")
        self.config = PipConfig(index_url=index.simple)
        self.index = index
        self.python = self._make(folder / "env")

    def _make(self, env: Path) -> str:
        """The path of the interpreter of a new environment."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
        return str(env / "bin/python")

    def keep(self) -> None:
        """Keep the environment as it is now for `renew`."""
        env = Path(self.python).parents[1]
        shutil.copytree(env, env.with_name("kept"), symlinks=True)

    def renew(self) -> None:
        """Put down what was kept, and forget what a test has said or changed."""
        env = Path(self.python).parents[1]
        shutil.rmtree(env)
        shutil.copytree(env.with_name("kept"), env, symlinks=True)
        self.outside = Observed(self.outside.cache)

    def target(self) -> Target:
        return read_target(RealOutside(), self.python)

    def installed(self) -> dict[str, str]:
        return {dist.name: dist.version for dist in self.target().installed}

    def lock(self, *requirements: str) -> Lock:
        # Resolved as for an empty environment, so that the newest comes in place of what is there.
        empty = structs.replace(self.target(), installed=())
        resolution = UvResolver(self.outside).resolve(requirements, [], empty, self.config, offline=False)
        floors = Floors(python=str(self.target().feature), os="linux", arch="x86_64")
        return Lock(
            tensorflow="2.0",
            requirements=requirements,
            resolution=resolution,
            floors=floors,
            matrix_digest="",
        )

    def installer(self, outside: Outside, name: str = "uv", **more: object) -> Installer:
        """The one of this name for the environment."""
        given = {"offline": False, "break_system_packages": False, **more}
        return installer_named(name, outside, self.target(), self.config, **given)  # type: ignore[arg-type]

    def apply(
        self,
        lock: Lock,
        installer: str = "uv",
        *,
        disposable: bool = False,
        outside: Apart | None = None,
        **more: object,
    ) -> InstallResult:
        """Install the lock as a transaction; `reread` may be handed in, to fail where the result is read."""
        target, outside = self.target(), outside or self.outside
        plan = make_plan(lock.resolution, target, {}, {})
        reread = more.pop("reread", self.target)
        assert callable(reread)
        program = self.installer(outside, installer, **more)
        with changing(outside, target, reread, disposable=disposable) as change:
            return apply(outside, lock, plan, program, reread, change)

    def tree(self) -> dict[str, tuple[object, ...]]:
        return tree(Path(self.python).parents[1])

    def site(self) -> Path:
        return Path(self.target().purelib)
