"""Ports that answer from what a test hands them: real subclasses, so a new method cannot be forgotten."""

from __future__ import annotations

import atexit
import contextlib
import fnmatch
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from envfix.ports import Outside, Ran
from envfix.tree import FILE, FOLDER, LINK, Entry, Held

Answer = Ran | Callable[[Sequence[str], str | None], Ran]


class FakeOutside(Outside):
    """A machine of dictionaries.

    `files` maps paths to their text or bytes (an OSError instance is raised on reading); `programs` maps
    what PATH finds; `answers` maps a program's base name to how it ends; `disks` maps where other disks are
    mounted to what is free there; other users can write what is
    below `of_others`. What was run, written and said is
    kept in `ran`, `written` and `said`.
    """

    def __init__(
        self,
        files: Mapping[str, str | bytes | OSError] | None = None,
        programs: Mapping[str, str] | None = None,
        answers: Mapping[str, Answer] | None = None,
        environ: Mapping[str, str] | None = None,
        links: Mapping[str, str] | None = None,
        free: int = 1 << 40,
        disks: Mapping[str, int] | None = None,
        read_only: Sequence[str] = (),
        of_others: Sequence[str] = (),
    ) -> None:
        self.files = dict(files or {})
        self.programs = dict(programs or {})
        self.answers = dict(answers or {})
        self._environ = dict(environ or {})
        self.links = dict(links or {})
        self.free = free
        self.disks = dict(disks or {})
        self.read_only = tuple(read_only)
        self.of_others = tuple(of_others)
        self.ran: list[tuple[str, ...]] = []
        self.written: dict[str, bytes] = {}
        self.said: list[str] = []
        self.made: set[str] = set()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        cwd: str | None = None,
        show: bool = False,
        keep: Callable[[str], str] | None = None,
    ) -> Ran:
        self.ran.append(tuple(argv))
        answer = self.answers.get(Path(argv[0]).name)
        if answer is None:
            return Ran(tuple(argv), None, "", "", error="could not be started: No such file or directory")
        return answer if isinstance(answer, Ran) else answer(argv, stdin)

    def end_children(self) -> None:
        pass

    def follow(self, argv: Sequence[str], *, patience: float, each: Callable[[str], None]) -> Ran:
        ran = self.run(argv, timeout=patience)
        for line in ran.out.splitlines():
            each(line)
        return ran._replace(out="")

    def which(self, name: str) -> str | None:
        return self.programs.get(name)

    @property
    def environ(self) -> Mapping[str, str]:
        return self._environ

    def read_bytes(self, path: str, limit: int = 16 << 20) -> bytes:
        content = self.files.get(self.realpath(path))
        if content is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        if isinstance(content, OSError):
            raise content
        return (content.encode() if isinstance(content, str) else content)[:limit]

    def exists(self, path: str) -> bool:
        return self.realpath(path) in self.files or self.is_dir(path)

    def size(self, path: str) -> int | None:
        try:
            return len(self.read_bytes(path)) if self.exists(path) else None
        except OSError:
            return 0

    def trusted(self, path: str) -> bool:
        there = path in self.made or self.exists(path)
        return there and not any(path.startswith(folder) for folder in self.of_others)

    def is_dir(self, path: str) -> bool:
        start = self.realpath(path).rstrip("/") + "/"
        return any(name.startswith(start) for name in self.files)

    def listdir(self, path: str) -> tuple[str, ...]:
        start = self.realpath(path).rstrip("/") + "/"
        return tuple(
            sorted({name[len(start) :].split("/")[0] for name in self.files if name.startswith(start)})
        )

    def glob(self, folder: str, pattern: str) -> tuple[str, ...]:
        start = folder.rstrip("/") + "/"
        paths = set(self.files)
        for name in self.files:
            paths.update(str(parent) for parent in Path(name).parents)
        below = {path: path[len(start) :] for path in paths if path.startswith(start)}
        depth = pattern.count("/")
        return tuple(
            sorted(
                path
                for path, rest in below.items()
                if rest.count("/") == depth and fnmatch.fnmatchcase(rest, pattern)
            )
        )

    def realpath(self, path: str) -> str:
        for _ in range(8):
            for link, goal in self.links.items():
                if path == link or path.startswith(link + "/"):
                    path = goal + path[len(link) :]
                    break
            else:
                break
        return path

    def writable(self, path: str) -> bool:
        return not any(path.startswith(folder) for folder in self.read_only)

    def free_bytes(self, path: str) -> int:
        return next((free for mount, free in self.disks.items() if path.startswith(mount)), self.free)

    def device(self, path: str) -> int:
        return next((at for at, mount in enumerate(self.disks, 1) if path.startswith(mount)), 0)

    def write_bytes(self, path: str, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
        if not self.writable(path):
            raise PermissionError(13, "Permission denied", path)
        self.written[path] = data
        self.files[path] = data

    def make_dirs(self, path: str) -> None:
        if not self.writable(path):
            raise PermissionError(13, "Permission denied", path)
        self.made.add(path)

    def claim_dir(self, path: str) -> bool:
        there = self.exists(path)
        self.make_dirs(path)
        return not there

    def temporary_dir(self) -> str:
        path = tempfile.mkdtemp(prefix="envfix-test-")
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        return path

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def remove_tree(self, path: str) -> None:
        for name in [name for name in self.files if name.startswith(path.rstrip("/") + "/")]:
            del self.files[name]

    def say(self, text: str) -> None:
        self.said.append(text)

    def look(self, path: str) -> Entry | None:
        if path in self.links:
            return Entry(LINK, 0o777, 0, 0, 0, 0, 0, self.links[path])
        if path in self.files:
            return Entry(FILE, 0o644, self.size(path) or 0, 0, 0, 0, 0)
        return Entry(FOLDER, 0o755, 0, 0, 0, 0, 0) if self.is_dir(path) else None

    def walk(self, folder: str) -> Iterator[tuple[str, Entry]]:
        for name in self.listdir(folder):
            entry = self.look(f"{folder}/{name}")
            if entry is not None:
                yield f"{folder}/{name}", entry
                if entry.kind == FOLDER:
                    yield from self.walk(f"{folder}/{name}")

    def sha256(self, path: str) -> bytes:
        return hashlib.sha256(self.read_bytes(path)).digest()

    def small(self, path: str, limit: int) -> bytes:
        return self.read_bytes(path, limit)

    def link(self, path: str, other: str) -> None:
        self.copy(path, other)

    def symlink(self, goal: str, path: str) -> None:
        self.links[path] = goal

    def copy(self, path: str, other: str) -> None:
        self.write_bytes(other, self.read_bytes(path))

    def create(self, path: str, data: bytes) -> None:
        self.write_bytes(path, data)

    def rename(self, path: str, other: str) -> None:
        self.copy(path, other)
        self.remove(path)

    def make_dir(self, path: str, mode: int = 0o777) -> None:
        self.make_dirs(path)

    def remove_dir(self, path: str) -> None:
        pass  # folders are there as long as something is in them

    def dress(self, path: str, entry: Entry) -> None:
        pass

    def settle(self, path: str) -> None:
        pass

    def settle_all(self, path: str) -> None:
        pass

    def hold(self, path: str) -> Held | None:
        return FakeHeld()

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        yield


class FakeHeld(Held):
    def release(self) -> None:
        pass
