"""What can go wrong in the middle of a change, really happening: the environment is the old or the new one.

The README names the files that print its table with `-m "live or not live" -s`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from envfix.commands import _end_like_ctrl_c
from envfix.errors import EnvironmentChanged, InputError, InstallFailed, Interrupted
from envfix.install.transaction import history, recover
from tests.faults import Dying, Struck, deaths, in_child
from tests.ground import LIBRARY, TRIED, Ground, disk, fill, numb, small_tensorflows, without_times
from tests.index_server import IndexServer, build_wheel, serving
from tests.rooms import tree

EVERY = [pytest.param(9, id="some"), pytest.param(1, id="every", marks=pytest.mark.live)]


@pytest.fixture(scope="module")
def served() -> Iterator[IndexServer]:
    with serving(
        *small_tensorflows(),
        build_wheel("numb", "1.0", modules=numb("1.0")),
        build_wheel("numb", "2.0", modules=numb("2.0")),
    ) as server:
        yield server


@pytest.fixture(scope="module")
def only(served: IndexServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("ground")
    yield Ground(folder, served, ["numb<2", "tensorflow-cpu"], ["tensorflow"])
    TRIED.print()


@pytest.fixture
def ground(only: Ground) -> Iterator[Ground]:
    only.put("old")
    only.index.faults.clear()
    yield only
    only.index.faults.clear()
    only.room.outside.before_run = only.room.outside.after_run = lambda argv: None
    only.room.outside.free = None


def at_install(ground: Ground, act: Callable[[], object], *, after: bool = True) -> None:
    """Do something when the installer has changed the environment, or is about to."""

    def hook(argv: object) -> None:
        assert isinstance(argv, list)
        if "install" in argv and "--target" not in argv:
            act()

    setattr(ground.room.outside, "after_run" if after else "before_run", hook)


# --- killed and interrupted


@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.live)])
@pytest.mark.parametrize("step", EVERY)
def test_killed_before_any_change(ground: Ground, installer: str, step: int) -> None:
    seen = set()
    with installed_by(ground, installer):
        for _ in deaths(ground.room.outside, lambda outside: ground.install(outside, installer), step=step):
            ground.next()
            seen.add(ground.ended(f"SIGKILL during an install ({installer}), then the next command"))
            ground.put("old")
        assert ground.ended("an install that nothing disturbs") == "new" and "old" in seen


@contextmanager
def installed_by(ground: Ground, installer: str) -> Iterator[None]:
    """What is new is what this installer makes of the old: pip writes another RECORD than uv."""
    was = ground.new
    ground.install(installer=installer)
    ground.new = without_times(tree(ground.env))
    ground.put("old")
    try:
        yield
    finally:
        ground.new = was


@pytest.mark.parametrize("step", EVERY)
def test_killed_while_it_puts_back_and_while_the_next_one_does(ground: Ground, step: int) -> None:
    at_install(ground, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert in_child(ground.install) == -signal.SIGKILL
    half = ground.folder / "half"
    shutil.copytree(ground.env, half, symlinks=True)
    try:
        for _ in deaths(
            ground.room.outside, lambda outside: recover.recover(outside, str(ground.site)), step=step
        ):
            ground.next()
            ground.ended("SIGKILL while the next command puts back, then another one", "old")
            ground.put("half")
        ground.ended("SIGKILL during an install (uv), then the next command", "old")
    finally:
        shutil.rmtree(half)


@pytest.mark.parametrize("step", EVERY)
def test_killed_while_it_undoes(ground: Ground, step: int) -> None:
    def undo(outside: Struck) -> None:
        history.undo(outside, str(ground.site), 1)

    ground.put("new")
    for _ in deaths(ground.room.outside, undo, step=step):
        ground.next()
        ground.ended("SIGKILL during a rollback, then the next command")
        ground.put("new")
    ground.ended("a rollback that nothing disturbs", "old")


def interrupted(ground: Ground, number: int, moments: range) -> None:
    """Ends the process: 130 for an interrupted install, 1 where it took no notice, 0 if nothing came."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _end_like_ctrl_c()
    outside = Struck(ground.room.outside, lambda at: os.kill(os.getpid(), number) if at in moments else None)
    try:
        ground.install(outside)
    except (Interrupted, KeyboardInterrupt):
        os._exit(130)
    os._exit(1 if moments[0] <= len(outside.done) else 0)


@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_before_any_change(ground: Ground, step: int, number: signal.Signals, times: int) -> None:
    """envfix itself puts everything back, and a second one does not keep it from that."""
    name = f"{number.name}{' twice' if times == 2 else ''} during an install"
    for first in range(1, 400, step):
        ended = in_child(partial(interrupted, ground, number, range(first, first + times)))
        ground.ended(name)
        ground.put("old")
        if ended == 0:
            return
        assert ended == 130
    raise AssertionError("it never came to its end")


# --- full disks


@pytest.mark.parametrize(
    "step", [pytest.param(48, id="some"), pytest.param(4, id="every", marks=pytest.mark.live)]
)
def test_the_environments_disk_fills_up_after_it_was_checked(ground: Ground, step: int) -> None:
    """envfix must do with what others leave. Without any room it says so, and the next one does it."""
    ground.room.outside.free = 1 << 40
    seen = set()
    for room in range(0, 260, step):
        with disk(ground.env, "8m"):
            ground.put("old")
            filler = ground.env / "filler"
            at_install(ground, lambda filler=filler: fill(filler), after=True)  # type: ignore[misc]
            fill(filler, room << 10)
            try:
                ground.install()
            except EnvironmentChanged as problem:
                assert "No space left" in problem.message and problem.hint
                seen.add(5)
            except InstallFailed as problem:
                assert problem.message.endswith("; the environment is as it was")
                seen.add(4)
            filler.unlink(missing_ok=True)
            ground.next()
            ground.ended("the environment's disk full during an install")
    assert 4 in seen


@pytest.mark.parametrize("step", EVERY)
def test_the_disk_is_full_during_a_rollback(ground: Ground, step: int) -> None:
    """Whatever a change of the rollback frees, others take at once."""
    for first in range(1, 400, step):
        with disk(ground.env, "8m"):
            ground.put("new")
            filler = ground.env / "filler"

            def blow(at: int, first: int = first, filler: Path = filler) -> None:
                if at >= first:
                    fill(filler)

            outside = Struck(ground.room.outside, blow)
            try:
                history.undo(outside, str(ground.site), 1)
            except EnvironmentChanged as problem:
                assert "No space left" in problem.message
                assert problem.hint == "make room or writable, then run the same command again"
            filler.unlink(missing_ok=True)
            ground.next()
            ground.ended("the environment's disk full during a rollback")
            if first > len(outside.done):
                return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("size", ["16k", "128k"])
def test_uvs_disk_is_full(ground: Ground, tmp_path: Path, size: str) -> None:
    ground.room.outside.free = 1 << 40
    with disk(tmp_path / "cache", size) as cache:
        with_cache(ground, cache)
        with pytest.raises(InstallFailed, match="; the environment is as it was"):
            ground.install()
        ground.ended("the cache's disk full", "old")


@pytest.fixture
def own_cache(ground: Ground, tmp_path: Path) -> Iterator[Ground]:
    """Nothing is in uv's cache: all is fetched."""
    with_cache(ground, tmp_path / "uv")
    yield ground


def with_cache(ground: Ground, cache: Path) -> None:
    ground.room.outside._own["UV_CACHE_DIR"] = str(cache)


@pytest.fixture(autouse=True)
def same_cache(only: Ground) -> Iterator[None]:
    yield
    only.room.outside._own["UV_CACHE_DIR"] = str(only.room.outside.cache)


# --- the network


def answering(
    length: int | None, sent: int | None, junk: bytes = b""
) -> Callable[[BaseHTTPRequestHandler], None]:
    """A file with `length` added to what its Content-Length should be (None: none is said), of which only a
    part is sent, or with junk in its place."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        index = handler.index  # type: ignore[attr-defined]
        data = junk or index.wheels[handler.path.rpartition("/")[2]].data
        handler.send_response(200)
        handler.send_header("Content-Type", "application/zip")
        handler.send_header("Connection", "close")
        if length is not None:
            handler.send_header("Content-Length", str(len(data) + length))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(data[:sent])
        handler.close_connection = True

    return answer


NETWORK = {
    "a connection that drops": "drop",
    "a connection that stalls": "stall",
    "an index that answers 500": 500,
    "an index that answers 404": 404,
    "an index that answers rubbish": "portal",
    "a wheel with the wrong hash": answering(0, None, build_wheel("numb", "2.0").data),
    "no wheel at all": answering(0, None, b"PK\3\4" + b"junk" * 500),
    "a Content-Length that is too long": answering(1000, None),
    "a Content-Length that is too short": answering(-1000, None),
    "half a file without a Content-Length": answering(None, 300),
}


# pip takes a file that is whole, whatever length was said of it.
OF_PIP = [fault for fault in NETWORK if fault != "a Content-Length that is too long"]


@pytest.mark.parametrize(
    ("installer", "fault"),
    [
        *(("uv", fault) for fault in NETWORK),
        *(pytest.param("pip", fault, marks=pytest.mark.live) for fault in OF_PIP),
    ],
)
def test_a_file_that_does_not_come_as_it_should(own_cache: Ground, fault: str, installer: str) -> None:
    own_cache.index.faults["/files/numb-2.0-py3-none-any.whl"] = NETWORK[fault]  # type: ignore[assignment]
    own_cache.room.outside._own |= {"UV_HTTP_TIMEOUT": "1", "PIP_DEFAULT_TIMEOUT": "1"}
    with pytest.raises(InstallFailed, match="; the environment is as it was"):
        own_cache.install(installer=installer)
    own_cache.ended(fault, "old")


def test_a_length_is_not_needed(own_cache: Ground) -> None:
    own_cache.index.faults["/files/numb-2.0-py3-none-any.whl"] = answering(None, None)
    own_cache.install()
    own_cache.ended("a whole file without a Content-Length", "new")


# --- what stands in the way


@pytest.mark.parametrize("name", ["numb/large.py", "numb/__init__.py", "numb", "tensorflow/cpu.py", "."])
def test_something_cannot_be_changed(ground: Ground, name: str) -> None:
    """An immutable file or folder stops the superuser too."""
    path = ground.site / name
    if subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
        pytest.skip("needs a filesystem and the right to make files immutable")
    try:
        with pytest.raises((InstallFailed, InputError)) as caught:
            ground.install()
        assert caught.value.exit_code == (2 if name == "." else 4), caught.value.message
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    ground.ended("an immutable file or folder in the way", "old")


def test_something_cannot_be_put_back_for_a_while(ground: Ground) -> None:
    path = ground.site / "numb"

    def shut() -> None:
        if subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
            pytest.skip("needs a filesystem and the right to make files immutable")
        raise OSError(5, "Input/output error", "/dev/disk")

    at_install(ground, shut)
    try:
        with pytest.raises(EnvironmentChanged, match="cannot be put back now") as caught:
            ground.install()
        assert (caught.value.hint or "").startswith("envfix rollback --python")
        with pytest.raises(EnvironmentChanged, match="cannot be put back"):
            ground.next()
    finally:
        subprocess.run(["chattr", "-i", path], check=False, capture_output=True)
    ground.next()
    ground.ended("an immutable folder in the way of a rollback", "old")


# --- the journal itself


SPOILT = {
    "empty": lambda data: b"",
    "cut in the middle": lambda data: data[: len(data) // 2],
    "its last byte is missing": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "rubbish": lambda data: b"\xff\xfe\x00rubbish",
    "another form": lambda data: b"[1, 2]",
    "numbers beyond all": lambda data: json.dumps({**json.loads(data), "number": 1e400}).encode(),
}


@pytest.mark.parametrize("name", ["journal.json", "before.json"])
def test_a_journal_that_cannot_be_read_is_said_and_nothing_is_touched(ground: Ground, name: str) -> None:
    at_install(ground, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert in_child(ground.install) == -signal.SIGKILL
    path = ground.home() / "1" / name
    data = path.read_bytes()
    spoilt = {how: change(data) for how, change in SPOILT.items()}
    if name == "before.json":
        del spoilt["numbers beyond all"]
    for how, text in spoilt.items():
        path.write_bytes(text)
        before = packages(ground)
        with pytest.raises(EnvironmentChanged, match="its record cannot be read") as caught:
            ground.next()
        assert str(path) in caught.value.message and caught.value.hint, how
        with pytest.raises(EnvironmentChanged, match="its record cannot be read"):
            ground.install()
        assert packages(ground) == before
    path.write_bytes(data)
    ground.next()
    TRIED.times["a journal cut off or overwritten"] += len(spoilt) - 1
    ground.ended("a journal cut off or overwritten", "old")


def packages(ground: Ground) -> dict[str, str]:
    """Everything but what says how far the putting back has come."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in ground.env.rglob("*")
        if path.is_file() and path.name not in ("journal.json", "lock")
    }


# --- time, and those who are at work there too


def test_a_clock_that_goes_back(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are of the future, and each look at the clock finds it an hour earlier."""
    future = 2_500_000_000
    for path in ground.site.rglob("*"):
        os.utime(path, (future, future), follow_symlinks=False)
    was, ground.old = ground.old, tree(ground.env, ())
    hours = iter(range(1000))
    monkeypatch.setattr(history, "now", lambda: f"1970-01-{28 - next(hours):02} 00:00:00")
    try:
        for last in (15, 25):
            in_child(lambda last=last: ground.install(Dying(ground.room.outside, last)))  # type: ignore[misc]
            ground.next()
            ground.ended("a clock that goes back", "old")
        ground.install()
        ground.ended("a clock that goes back", "new")
        history.undo(ground.room.outside, str(ground.site), 1)
        ground.ended("a clock that goes back", "old")
    finally:
        ground.old = was


READER = """
import ctypes, hashlib, mmap, sys
ctypes.CDLL(sys.argv[1])
with open(sys.argv[1], "rb") as file:
    held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    for line in sys.stdin:
        file.seek(0)
        print(hashlib.sha256(held).hexdigest(), hashlib.sha256(file.read()).hexdigest(), flush=True)
"""


def test_a_library_that_a_process_has_loaded_and_mapped(ground: Ground) -> None:
    """It goes on with the file that it opened; the environment changes below it, and back."""
    before = hashlib.sha256((ground.site / LIBRARY).read_bytes()).hexdigest()
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(ground.site / LIBRARY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin and reader.stdout

    def look() -> list[str]:
        print("?", file=reader.stdin, flush=True)
        return reader.stdout.readline().split()  # type: ignore[union-attr]

    fault = "a library that a process has loaded and mapped"
    try:
        assert look() == [before] * 2
        ground.install()
        assert look() == [before] * 2
        ground.ended(fault, "new")
        history.undo(ground.room.outside, str(ground.site), 1)
        assert look() == [before] * 2
        ground.ended(fault, "old")
        at_install(ground, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(Interrupted):
            ground.install()
        assert look() == [before] * 2
        ground.ended(fault, "old")
    finally:
        reader.communicate(timeout=10)
    assert reader.returncode == 0
