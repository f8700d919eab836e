"""An environment that is struck again and again: put down anew each time, and compared as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from envfix.install.transaction import recover
from envfix.model.outcome import InstallResult
from envfix.system.outside import RealOutside
from tests.faults import Struck
from tests.index_server import IndexServer, Wheel, build_wheel
from tests.rooms import HOME, Room, tree

Tree = dict[str, tuple[object, ...]]
LARGE = "x" * 20_000  # is kept by a link, not copied
LIBRARY = "numb/lib/libcudnn.so.9"


def library() -> bytes:
    """Any library that can be loaded."""
    return Path(str(msgspec._core.__file__)).read_bytes()


def small_tensorflows() -> tuple[Wheel, ...]:
    """Two that have a file in common, as `tensorflow` and `tensorflow-cpu` have."""
    gpu = {"tensorflow/__init__.py": "", "tensorflow/gpu.py": LARGE, "shared/both.py": "gpu\n"}
    cpu = {"tensorflow/__init__.py": "", "tensorflow/cpu.py": LARGE, "shared/both.py": "cpu\n"}
    return (
        build_wheel("tensorflow", "2.0", ["numb>=1"], modules=gpu),
        build_wheel("tensorflow-cpu", "1.9", modules=cpu),
    )


def numb(version: str) -> dict[str, str | bytes]:
    data = f"numb-{version}.data"
    return {
        "numb/__init__.py": f'__version__ = "{version}"\n',
        "numb/large.py": f"# {version}\n{LARGE}",
        f"numb/only_{version[0]}.py": "",
        f"numb_{version[0]}.pth": "",
        LIBRARY: library() + version.encode(),
        f"{data}/scripts/numb-tool": f"#!python\nprint('{version}')\n",
        f"{data}/headers/numb.h": version,
        f"{data}/data/share/numb/{version[0]}/deep.txt": version,
    }


def without_times(found: Tree) -> Tree:
    """What an install brings has the time of its own download."""
    return {path: (*row[:2], row[3]) if row[0] == "file" else row for path, row in found.items()}


def differences(one: Tree, other: Tree) -> list[str]:
    return sorted(path for path in {*one, *other} if one.get(path) != other.get(path))


class Tried:
    """The faults that were tried, and the environments that were neither the old nor the new one after it."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def print(self) -> None:
        """The rows since the last time."""
        print("\n| fault | times | environments lost |\n|---|---|---|")
        for fault, times in self.times.items():
            print(f"| {fault} | {times} | {self.lost[fault]} |")
        self.times.clear()
        self.lost.clear()


TRIED = Tried()


class Compared:
    """An environment that is the `old` or the `new` one, at one and the same path below `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.env = folder / name
        self.old: Tree = {}
        self.new: Tree = {}

    @property
    def site(self) -> Path:
        return next(self.env.glob("lib/python*/site-packages"))

    def keep_old(self) -> None:
        self.old = tree(self.env, ())
        shutil.copytree(self.env, self.folder / "old", symlinks=True)

    def keep_new(self) -> None:
        """What is there now is what an install makes of the old one, which comes back."""
        self.new = without_times(tree(self.env))
        assert differences(without_times(self.old), self.new)
        shutil.copytree(self.env, self.folder / "new", symlinks=True)
        self.put("old")

    def put(self, which: str) -> None:
        """Make the environment the `old` or the `new` one."""
        for path in self.env.iterdir():  # the folder itself may be a filesystem of its own
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(self.folder / which, self.env, symlinks=True, dirs_exist_ok=True)

    def ended(self, fault: str, *wished: str) -> str:
        """Which environment is there now. Fails where it is none of those wished, or something is left."""
        TRIED.times[fault] += 1
        now = tree(self.env, ())
        bare = without_times(tree(self.env))
        if now == self.old:
            state = "old"
        elif bare == self.new and not recover.has_leftovers(RealOutside(), str(self.site)):
            state = "new"
        else:
            state = "lost"
            TRIED.lost[fault] += 1
        wrong = differences(self.old, now), differences(self.new, bare)
        assert state in (wished or ("old", "new")), (fault, state, wrong)
        return state


class Ground(Compared):
    """`old` has the requirements `before`; an install of `lock`, with those `after`, makes `new` of it."""

    def __init__(self, folder: Path, index: IndexServer, before: list[str], after: list[str]) -> None:
        super().__init__(folder, "env")
        self.index = index
        self.room = Room(folder, index)
        self.room.apply(self.room.lock(*before), disposable=True)
        (self.site / "numb/local.cfg").write_text("of the user")
        (self.site / "numb/loop").symlink_to(".")
        (self.site / "numb/only_1.py").chmod(0o640)
        self.lock = self.room.lock(*after)
        self.keep_old()
        self.room.apply(self.lock)
        self.keep_new()

    def install(self, outside: Struck | None = None, installer: str = "uv") -> InstallResult:
        return self.room.apply(self.lock, installer, outside=outside)

    def next(self) -> None:
        """What every command that works on an environment does first."""
        recover.recover(self.room.outside, str(self.site))

    def home(self) -> Path:
        return self.site / HOME


@contextmanager
def disk(path: Path, size: str) -> Iterator[Path]:
    """A filesystem of `size` at the folder, where this user may mount one."""
    path.mkdir(exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if subprocess.run(argv, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Write into the file until its filesystem has no more than `leave` bytes free."""
    found = os.statvfs(path.parent)
    size = found.f_bavail * found.f_frsize - leave
    if size > 0:
        with path.open("ab") as file:
            file.write(b"\0" * size)
