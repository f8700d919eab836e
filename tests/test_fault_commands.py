"""The whole command line, struck from outside: killed, filled up, refused, and two at a time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.environments import TF, UNAIDED, install, runner, user
from tests.faults import striking
from tests.ground import TRIED, Compared, disk, fill
from tests.index_server import IndexServer, build_wheel
from tests.rooms import HOME, tree

NEW = install("--tf", UNAIDED)
# Puts right what did not finish, like any command that works on an environment, and then does nothing.
NEXT = ["rollback", "99", "--venv", "demo", "--yes", "--json"]
UNDO = ["rollback", "--venv", "demo", "--yes", "--json"]
# Runs the envfix that is named behind it, which waits when its installer is about to change the environment.
_WAITING = """
import pathlib, sys, time
from envfix.system.outside import RealOutside
real = RealOutside.run
def run(self, argv, **more):
    if "pip" in argv and "install" in argv and "--target" not in argv:
        pathlib.Path("at-work").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.02)
    return real(self, argv, **more)
RealOutside.run = run
from envfix.cli import main
sys.exit(main(sys.argv[4:]))
"""
WAITING = [sys.executable, "-c", _WAITING]


class Commanded(Compared):
    """`demo`, in which envfix has installed one release, and then another."""

    def __init__(self, folder: Path, index: IndexServer, parsed: Path, byte_code: Path) -> None:
        super().__init__(folder, "demo")
        self.index = index
        self.run = runner(folder, index, parsed, byte_code)
        self.environ = user(folder, index, byte_code)
        self.answer(install("--tf", TF))
        self.keep_old()
        self.answer(NEW)
        self.keep_new()

    def answer(self, argv: Sequence[str], code: int = 0, **more: Any) -> dict[str, Any]:
        return answered(self.run(*argv, **more), code)

    @contextlib.contextmanager
    def started(self, name: str, *argv: str, under: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """envfix at work, its standard error in the file `name`; nothing of it is left behind."""
        with (self.folder / name).open("wb") as said:
            child = subprocess.Popen(
                [*under, sys.executable, "-m", "envfix", *argv],
                stdout=subprocess.DEVNULL, stderr=said, env=self.environ, cwd=self.folder,
            )  # fmt: skip
        try:
            yield child
        finally:
            kill_all(child.pid)
            child.wait(timeout=60)

    def said(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert true()


def answered(done: subprocess.CompletedProcess[str], code: int) -> dict[str, Any]:
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr + done.stdout
    whole: dict[str, Any] = json.loads(done.stdout)
    return whole


@pytest.fixture(scope="module")
def only(
    index: IndexServer, parsed: Path, byte_code: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Commanded]:
    folder = tmp_path_factory.mktemp("commanded")
    yield Commanded(folder, index, parsed, byte_code)
    TRIED.print()


@pytest.fixture
def demo(only: Commanded) -> Iterator[Commanded]:
    only.put("old")
    yield only
    only.index.faults.clear()
    for name in ("at-work", "go"):
        (only.folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    "step", [pytest.param(45, id="some"), pytest.param(1, id="every", marks=pytest.mark.live)]
)
def test_killed_before_any_change(demo: Commanded, step: int) -> None:
    for last in range(step, 500, step):
        done = demo.run(*NEW, under=striking(signal.SIGKILL, last))
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        demo.answer(NEXT, 2)
        state = demo.ended("SIGKILL during `envfix install`, then the next command")
        if done.returncode == 0:
            assert state == "new"
            return
        if last % 10 == 0:
            demo.answer(NEW)
            demo.ended("SIGKILL during `envfix install`, then the same again", "new")
        demo.put("old")
    raise AssertionError("it never came to its end")


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_interrupted_before_any_change(demo: Commanded, number: signal.Signals) -> None:
    for last in range(1, 500, 4):
        done = demo.run(*NEW, under=striking(number, last))
        if done.returncode:
            answered(done, 130)
        state = demo.ended(f"{number.name} during `envfix install`")
        demo.put("old")
        if done.returncode == 0:
            assert state == "new"
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize(
    "delay", [0.0, *(pytest.param(n / 100, marks=pytest.mark.live) for n in range(1, 13))]
)
def test_all_of_it_is_killed_while_uv_writes(demo: Commanded, delay: float) -> None:
    """As when the machine stops: envfix and the installer end at once, in the middle of 3000 files."""
    demo.index.add(build_wheel("many", "1.0", modules={f"many/m{n}.py": f"# {n}\n" for n in range(3000)}))
    try:
        with demo.started("first", *NEW, "--with", "many"):
            wait_until((demo.site / "many").exists)
            time.sleep(delay)
        came = len(list(demo.site.glob("many/*.py")))
        demo.answer(NEXT, 2)
        if came < 3000:
            demo.ended("SIGKILL of envfix and uv while uv writes", "old")
    finally:
        del demo.index.wheels["many-1.0-py3-none-any.whl"]
    assert delay or came < 3000


def kill_all(pid: int) -> None:
    """The process and everything that it started, the youngest last, so that nothing new comes."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        threads = Path(f"/proc/{pid}/task").iterdir()
        children += [one for thread in threads for one in (thread / "children").read_text().split()]
        for child in dict.fromkeys(children):
            kill_all(int(child))
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def two(demo: Commanded, other: str) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """The one is about to change the environment, and the other waits for it."""
    with demo.started("first", *install("--tf", other), under=WAITING) as first:
        wait_until((demo.folder / "at-work").exists)
        assert (demo.site / HOME / "1/journal.json").exists()
        with demo.started("second", *NEW) as second:
            wait_until(lambda: "waiting until it has ended" in demo.said("second"))
            yield first, second


@pytest.mark.slow
def test_two_at_once_and_the_first_is_killed(demo: Commanded) -> None:
    with two(demo, "2.19.1") as (first, second):
        os.kill(first.pid, signal.SIGKILL)
        assert second.wait(timeout=60) == 0
    assert demo.said("second").count("was put back: the environment is as it was before") == 1
    demo.ended("two at once, the first is killed while the second waits", "new")
    demo.answer(UNDO)
    demo.ended("two at once, the first is killed while the second waits", "old")


@pytest.mark.live
def test_two_at_once(demo: Commanded) -> None:
    """Both are done, one after the other: what the second made is undone first, then what the first made."""
    with two(demo, "2.19.1") as (first, second):
        (demo.folder / "go").touch()
        assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    demo.ended("two at once", "new")
    demo.answer(UNDO)
    assert (demo.site / "tensorflow-2.19.1.dist-info").exists()
    demo.answer(UNDO)
    demo.ended("two at once", "old")


@pytest.mark.live
def test_killed_while_it_undoes(demo: Commanded) -> None:
    demo.put("new")
    for last in range(1, 500):
        done = demo.run(*UNDO, under=striking(signal.SIGKILL, last))
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        demo.answer(NEXT, 2)
        state = demo.ended("SIGKILL during `envfix rollback`, then the next command")
        if done.returncode == 0:
            assert state == "old"
            return
        demo.put("new")
    raise AssertionError("it never came to its end")


# --- disks and folders


@pytest.mark.live
@pytest.mark.parametrize("of", ["TMPDIR", "XDG_CACHE_HOME", "UV_CACHE_DIR"])
def test_a_folder_of_the_users_is_full(demo: Commanded, tmp_path: Path, of: str) -> None:
    with disk(tmp_path / "small", "64k") as small:
        fill(small / "filler")
        done = demo.run(*NEW, **{of: str(small)})
        answered(done, 2 if of == "UV_CACHE_DIR" else 0)
    demo.ended(f"{of} on a full disk", "old" if of == "UV_CACHE_DIR" else "new")


# The superuser is then held to the modes of files like anybody else.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


@pytest.fixture
def ordinary() -> list[str]:
    if os.geteuid():
        return []
    if subprocess.run([*ORDINARY, "true"], capture_output=True).returncode:
        pytest.skip("needs setpriv of util-linux")
    return ORDINARY


@pytest.mark.parametrize(
    "name",
    ["tensorflow", *(pytest.param(one, marks=pytest.mark.live) for one in ("tensorflow/python", "nvidia"))],
)
def test_a_read_only_folder_is_in_the_way(demo: Commanded, ordinary: list[str], name: str) -> None:
    was = demo.old
    (demo.site / name).chmod(0o555)
    demo.old = tree(demo.env, ())
    try:
        demo.answer(NEW, 4, under=ordinary)
        demo.ended("a read-only folder in the way", "old")
    finally:
        demo.old = was
        (demo.site / name).chmod(0o755)


@pytest.mark.live
def test_read_only_files_are_not_in_the_way(demo: Commanded, ordinary: list[str]) -> None:
    for path in demo.site.glob("tensorflow/**/*.py"):
        path.chmod(0o444)
    demo.answer(NEW, under=ordinary)
    demo.ended("read-only files in the way", "new")


@pytest.mark.live
def test_the_home_folder_cannot_be_written(demo: Commanded, ordinary: list[str], tmp_path: Path) -> None:
    """With caches elsewhere that is nothing; uv's cache in it is an error before anything is touched."""
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    demo.answer(NEW, under=ordinary, HOME=str(home))
    demo.ended("HOME cannot be written", "new")
    demo.put("old")
    gone = {"HOME": str(home), "UV_CACHE_DIR": str(home / "uv"), "XDG_CACHE_HOME": str(home / ".cache")}
    refused = demo.answer(NEW, 2, under=ordinary, **gone)
    assert f"uv's cache `{home}/uv` cannot be written" in refused["errors"][0]["message"]
    demo.ended("HOME cannot be written", "old")


# --- the index


@pytest.mark.live
@pytest.mark.parametrize("path", ["/simple/tensorflow/", "/simple/absl-py/"])
@pytest.mark.parametrize("fault", [500, 404, "portal", "broken"])
def test_the_index_answers_something_else(
    demo: Commanded, tmp_path: Path, fault: int | str, path: str
) -> None:
    demo.index.faults[path] = fault
    done = demo.run(*NEW, UV_CACHE_DIR=str(tmp_path / "uv"), XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert done.returncode in (3, 4), done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["errors"][0]["message"]
    what = f"the index's pages answer {fault if isinstance(fault, int) else 'rubbish'}"
    demo.ended(what, "old")
