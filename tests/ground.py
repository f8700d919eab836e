"""An environment that is struck again and again: put down anew each time, and compared as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envfix.install.transaction import recover
from envfix.model.outcome import InstallResult
from tests.faults import Struck, in_child
from tests.index_server import IndexServer
from tests.rooms import HOME, Room, tree

Tree = dict[str, tuple[object, ...]]


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

    def __str__(self) -> str:
        rows = [f"| {fault} | {times} | {self.lost[fault]} |" for fault, times in self.times.items()]
        return "\n".join(["", "| fault | times | environments lost |", "|---|---|---|", *rows])


TRIED = Tried()


class Ground:
    """One environment before (`old`) and after (`new`) an install of `lock`, at one and the same path."""

    def __init__(self, folder: Path, index: IndexServer, before: list[str], after: list[str]) -> None:
        self.folder, self.index = folder, index
        self.room = Room(folder, index)
        self.env = folder / "env"
        self.room.apply(self.room.lock(*before), disposable=True)
        self.site = self.room.site()
        (self.site / "numb/local.cfg").write_text("of the user")
        (self.site / "numb/loop").symlink_to(".")
        (self.site / "numb/only_1.py").chmod(0o640)
        self.lock = self.room.lock(*after)
        self.old = tree(self.env, ())
        shutil.copytree(self.env, folder / "old", symlinks=True)
        self.room.apply(self.lock)
        self.new = without_times(tree(self.env))
        shutil.copytree(self.env, folder / "new", symlinks=True)
        assert differences(self.old, tree(self.env, ()))
        self.put("old")

    def put(self, which: str) -> None:
        """Make the environment the `old` or the `new` one."""
        for path in self.env.iterdir():  # the folder itself may be a filesystem of its own
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(self.folder / which, self.env, symlinks=True, dirs_exist_ok=True)

    def install(self, outside: Struck | None = None, installer: str = "uv") -> InstallResult:
        return self.room.apply(self.lock, installer, outside=outside)

    def struck(self, blow: Callable[[int], object], installer: str = "uv") -> int:
        """An install whose process is struck before each of its changes: how it ended."""
        return in_child(lambda: self.install(Struck(self.room.outside, blow), installer))

    def next(self) -> None:
        """What every command that works on an environment does first."""
        recover.recover(self.room.outside, str(self.site))

    def ended(self, fault: str, *wished: str) -> str:
        """Which environment is there now. Fails where it is none of those wished, or something is left."""
        TRIED.times[fault] += 1
        now = tree(self.env, ())
        if now == self.old:
            state = "old"
        elif without_times(tree(self.env)) == self.new and not recover.has_leftovers(
            self.room.outside, str(self.site)
        ):
            state = "new"
        else:
            state = "lost"
            TRIED.lost[fault] += 1
        wrong = differences(self.old, now), differences(self.new, without_times(tree(self.env)))
        assert state in (wished or ("old", "new")), (fault, state, wrong)
        return state

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
