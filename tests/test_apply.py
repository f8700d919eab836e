"""Real installs into a real virtual environment from the loopback index, and every way they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from envfix.errors import InputError, InstallFailed, Interrupted
from envfix.install.apply import apply
from envfix.install.commands import UvInstaller
from envfix.install.disk import check_space, spoken_size, uv_cache
from envfix.install.transaction import recover
from envfix.install.transaction.undoable import changing
from envfix.lock.pylock import render_pylock
from envfix.model.plan import Change, Plan, PlannedPackage, Resolution
from envfix.model.target import Target
from envfix.resolve.planning import make_plan
from tests.fakes import FakeOutside
from tests.faults import in_child
from tests.index_server import IndexServer, build_wheel, serving
from tests.rooms import Room, tree

# pip takes some ten times as long to start as uv.
BOTH = pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.slow)])


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with serving(
        build_wheel(
            "tensorflow", "2.0", ["numb>=1"], modules={"tensorflow/__init__.py": "", "tensorflow/gpu.py": ""}
        ),
        build_wheel("tensorflow-cpu", "1.9", modules={"tensorflow/__init__.py": "", "tensorflow/cpu.py": ""}),
        build_wheel("numb", "1.0"),
        build_wheel("numb", "2.0"),
    ) as server:
        yield server


@pytest.fixture
def room(tmp_path: Path, index: IndexServer) -> Room:
    return Room(tmp_path, index)


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_what_changes_is_installed_and_named(room: Room, installer: str) -> None:
    assert room.apply(room.lock("numb<2"), installer).after == {"numb": "1.0"}
    result = room.apply(room.lock("tensorflow"), installer)
    assert result.changed == ("numb", "tensorflow")
    assert result.before == {"numb": "1.0", "tensorflow": None}
    assert result.after == {"numb": "2.0", "tensorflow": "2.0"}
    said = subprocess.run(
        [room.python, "-c", "import numb, tensorflow; print(numb.__version__)"],
        text=True,
        capture_output=True,
    )
    assert said.stdout == "2.0\n"


@BOTH
def test_no_direct_url_is_recorded(room: Room, installer: str) -> None:
    """With one, `pip freeze` would name a URL instead of a version, and upgrades would be refused."""
    room.apply(room.lock("tensorflow"), installer)
    assert list(room.site().glob("*/direct_url.json")) == []


def test_what_is_there_is_neither_fetched_nor_touched(room: Room) -> None:
    room.apply(room.lock("tensorflow"))
    before = (room.site() / "numb/__init__.py").stat().st_mtime_ns
    lock = room.lock("tensorflow")
    asked = len(room.index.asked)
    result = room.apply(lock)
    assert (result.changed, len(room.index.asked)) == ((), asked)
    assert (room.site() / "numb/__init__.py").stat().st_mtime_ns == before


def test_a_local_build_of_the_pinned_version_stays(room: Room) -> None:
    room.index.add(build_wheel("numb", "2.0+local"))
    room.apply(room.lock("numb==2.0+local"))
    del room.index.wheels["numb-2.0+local-py3-none-any.whl"]
    room.apply(room.lock("tensorflow", "numb==2.0"))
    assert room.installed()["numb"] == "2.0+local"


@BOTH
def test_a_file_that_is_not_what_the_lock_says_changes_nothing(room: Room, installer: str) -> None:
    room.apply(room.lock("numb<2"), installer)
    lock = room.lock("tensorflow")
    room.index.add(build_wheel("numb", "2.0", modules={"numb/__init__.py": '__version__ = "6.6"\n'}))
    with pytest.raises(InstallFailed, match=r"numb.*(?s:.*)the environment is as it was") as caught:
        room.apply(lock, installer)
    # The page says the same hash as the file; the lock does not, and of the size both agree.
    assert "hash" in caught.value.message.lower()
    assert room.installed()["numb"] == "1.0"
    assert caught.value.exit_code == 4


@BOTH
@pytest.mark.parametrize("fault", [404, 500, "drop"])
def test_a_file_that_does_not_come_changes_nothing(room: Room, installer: str, fault: int | str) -> None:
    room.apply(room.lock("numb<2"), installer)
    lock = room.lock("tensorflow")
    room.index.faults["/files/numb-2.0-py3-none-any.whl"] = fault
    with pytest.raises(InstallFailed, match="the environment is as it was"):
        room.apply(lock, installer)
    assert room.installed()["numb"] == "1.0"


def test_offline_installs_from_the_cache_and_says_when_it_is_not_there(room: Room) -> None:
    lock = room.lock("tensorflow")
    with pytest.raises(InstallFailed, match="the environment is as it was"):
        room.apply(lock, offline=True)
    room.apply(lock)
    subprocess.run(
        [sys.executable, "-m", "venv", "--clear", "--without-pip", Path(room.python).parent.parent],
        check=True,
    )
    asked = len(room.index.asked)
    assert room.apply(lock, offline=True).changed == ("numb", "tensorflow")
    assert len(room.index.asked) == asked


@BOTH
def test_another_tensorflow_goes_before_this_one_comes(room: Room, installer: str) -> None:
    room.apply(room.lock("tensorflow-cpu"), installer)
    result = room.apply(room.lock("tensorflow"), installer)
    assert result.after == {"numb": "2.0", "tensorflow": "2.0", "tensorflow-cpu": None}
    assert sorted(path.name for path in (room.site() / "tensorflow").glob("*.py")) == [
        "__init__.py",
        "gpu.py",
    ]


@BOTH
@pytest.mark.parametrize("from_urls", [False, True])
def test_what_is_in_the_way_stays_until_everything_is_fetched(
    room: Room, installer: str, from_urls: bool
) -> None:
    room.apply(room.lock("tensorflow-cpu"), installer)
    before = room.tree()
    lock = room.lock("tensorflow")
    room.index.faults["/files/numb-2.0-py3-none-any.whl"] = 500
    with pytest.raises(InstallFailed, match="the environment is as it was"):
        room.apply(lock, installer, from_urls=from_urls)
    assert room.tree() == before
    del room.index.faults["/files/numb-2.0-py3-none-any.whl"]
    fetched: list[int] = []

    def note(argv: Sequence[str]) -> None:
        if "uninstall" in argv:
            fetched.append(len(room.index.asked))

    room.outside.before_run = note
    assert room.apply(lock, installer, from_urls=from_urls).after["tensorflow-cpu"] is None
    assert fetched == [len(room.index.asked)]  # after it nothing was asked for
    assert not list((room.site().parents[3] / "cache").glob("envfix-*"))


def test_what_a_killed_envfix_had_fetched_is_no_leak_in_uvs_cache(room: Room) -> None:
    cache = room.site().parents[3] / "cache"

    def killed(argv: Sequence[str]) -> None:
        if "--target" in argv:
            os.kill(os.getpid(), signal.SIGKILL)

    room.outside.after_run = killed
    lock = room.lock("tensorflow")
    assert in_child(lambda: room.apply(lock)) == -signal.SIGKILL
    assert list(cache.glob("envfix-*"))
    room.outside.after_run = lambda argv: None
    recover.recover(room.outside, str(room.site()))
    room.apply(lock)
    assert not list(cache.glob("envfix-*"))


@pytest.mark.parametrize("switch", ["1", "0"])
def test_without_a_cache_too_everything_is_fetched_first(room: Room, switch: str) -> None:
    room.apply(room.lock("tensorflow-cpu"))
    before = room.tree()
    lock = room.lock("tensorflow")
    room.outside._own["UV_NO_CACHE"] = switch
    # Away from the cache that the other lines have filled: nothing may be taken from there.
    room.outside._own["UV_CACHE_DIR"] = cache = str(room.site().parents[3] / "other")
    room.index.faults["/files/numb-2.0-py3-none-any.whl"] = 500
    with pytest.raises(InstallFailed, match=r"could not download.*(?s:.*)the environment is as it was"):
        room.apply(lock)
    assert room.tree() == before
    del room.index.faults["/files/numb-2.0-py3-none-any.whl"]
    fetched: list[int] = []
    room.outside.before_run = lambda argv: (
        fetched.append(len(room.index.asked)) if "uninstall" in argv else None
    )
    made = spied_folders(room)
    assert room.apply(lock).after["tensorflow-cpu"] is None
    assert fetched == [len(room.index.asked)]
    assert Path(cache).exists() == (switch == "0")
    assert not [folder for folder in made if Path(folder, "cache").exists()]


def spied_folders(room: Room) -> list[str]:
    """The temporary folders that are made from now on."""
    made: list[str] = []
    make = room.outside.temporary_dir

    def noted() -> str:
        made.append(make())
        return made[-1]

    room.outside.temporary_dir = noted  # type: ignore[method-assign]
    return made


def test_a_full_temporary_folder_is_an_install_that_failed(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = room.lock("tensorflow")

    def full(path: str, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(room.outside, "write_bytes", full)
    with pytest.raises(InstallFailed, match="No space left on device; the environment is as it was"):
        room.apply(lock)


def test_the_files_are_looked_at_while_the_environment_is_read_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, read, times = room.lock("tensorflow"), threading.Event(), []
    whole = room.outside.sha256
    monkeypatch.setattr(room.outside, "sha256", lambda path: (read.set(), whole(path))[1])

    def reread() -> Target:
        times.append(read.wait(20) if times else True)  # the first is before the change
        return room.target()

    room.apply(lock, reread=reread)
    assert times == [True, True, True]


def test_nothing_is_looked_at_any_more_when_a_change_is_put_back(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, begun, reading = room.lock("tensorflow"), threading.Event(), threading.Event()
    said: list[str] = []
    whole = room.outside.sha256

    def slow(path: str) -> bytes:
        reading.set()
        begun.set()
        time.sleep(0.5)
        found = whole(path)
        reading.clear()
        return found

    monkeypatch.setattr(room.outside, "sha256", slow)
    target = room.target()
    plan = make_plan(lock.resolution, target, {}, {})
    with pytest.raises(InstallFailed, match="no more"), changing(room.outside, target, room.target) as change:
        monkeypatch.setattr(change, "after_failure", lambda: said.append(str(reading.is_set())) or "")
        apply(room.outside, lock, plan, room.installer(room.outside), room.target, change)
        assert begun.wait(20)
        raise InstallFailed("no more")
    assert said == ["False"]


def test_an_installer_that_claims_success_is_not_believed(room: Room) -> None:
    lock, before = room.lock("tensorflow"), room.tree()

    def damage(argv: Sequence[str]) -> None:
        if "install" in argv and "--target" not in argv:
            for path in room.site().glob("numb-*/METADATA"):
                path.write_text("Name: numb\nVersion: 9\n")
            for path in room.site().glob("numb-*"):
                path.rename(path.with_name("numb-9.dist-info"))

    room.outside.after_run = damage
    with pytest.raises(InstallFailed, match=r"numb should be 2\.0, found 9; the environment is as it was"):
        room.apply(lock)
    assert room.tree() == before


def test_a_read_only_environment_is_refused(room: Room) -> None:
    lock, target = room.lock("tensorflow"), room.target()
    outside = FakeOutside(read_only=(target.purelib,))
    plan = make_plan(lock.resolution, target, {}, {})
    with (
        pytest.raises(InputError, match="site-packages` cannot be written by this user"),
        changing(outside, target, room.target) as change,
    ):
        apply(outside, lock, plan, room.installer(outside), room.target, change)
    assert outside.ran == [] and outside.written == {}


def test_nothing_to_install_runs_nothing(room: Room) -> None:
    resolution = Resolution(packages=(), resolver="uv")
    lock = structs.replace(room.lock("numb"), resolution=resolution)
    before, seen = tree(room.site(), ()), []
    room.outside.before_run = seen.append
    assert room.apply(lock).changed == ()
    assert seen == [] and tree(room.site(), ()) == before


def test_a_new_environment_that_is_removed_again_is_not_said_to_be_changed(room: Room) -> None:
    lock = room.lock("tensorflow")

    def interrupt(argv: Sequence[str]) -> None:
        if "install" in argv:
            raise KeyboardInterrupt

    room.outside.after_run = interrupt
    with pytest.raises(Interrupted, match="interrupted; the new environment is removed again"):
        room.apply(lock, disposable=True)


INSTALL = """
import signal, sys
# A shell that starts a job in the background makes it ignore SIGINT, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from envfix.errors import EnvfixError
from envfix.install.apply import apply
from envfix.install.commands import installer_named
from envfix.install.transaction import recover
from envfix.install.transaction.undoable import changing
from envfix.lock.pylock import read_pylock
from envfix.model.target import PipConfig
from envfix.probe.interpreter import read_target
from envfix.model.target import Target
from envfix.resolve.planning import make_plan
from envfix.system.outside import RealOutside
python, path = sys.argv[1:]
outside, lock = RealOutside(), read_pylock(Path(path).read_text(), path)
target = read_target(outside, python)
plan = make_plan(lock.resolution, target, {}, {})
installer = installer_named(
    "uv", outside, target, PipConfig(), offline=False, break_system_packages=False, from_urls=True
)
read = lambda: read_target(outside, python)
try:
    with changing(outside, target, read) as change:
        apply(outside, lock, plan, installer, read, change)
except EnvfixError as problem:
    print(problem.code, problem.message)
"""


def command(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # the process has ended


def test_a_real_ctrl_c_ends_the_installer(room: Room, tmp_path: Path) -> None:
    """SIGINT while uv waits for a file that never comes: uv is gone, and the state is said."""
    lock = tmp_path / "pylock.envfix.toml"
    lock.write_text(render_pylock(room.lock("tensorflow")))
    room.index.faults["/files/numb-2.0-py3-none-any.whl"] = "stall"
    child = subprocess.Popen(
        [sys.executable, "-c", INSTALL, room.python, str(lock)],
        env=dict(room.outside.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 20
    while "GET /files/numb-2.0-py3-none-any.whl" not in room.index.asked and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=15)
    assert out == "interrupted interrupted; the environment is as it was\n"
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if room.python in command(path)]


def test_a_full_disk_is_said_before_anything_is_fetched(room: Room) -> None:
    lock = room.lock("tensorflow")
    room.outside.free = 1000
    asked = len(room.index.asked)
    with pytest.raises(
        InstallFailed, match=r"needs 67\.\d MB free for .*, found 1\.0 kB; the environment is as it was"
    ):
        room.apply(lock)
    assert len(room.index.asked) == asked


def test_what_is_in_uvs_cache_needs_no_room(room: Room) -> None:
    lock = room.lock("tensorflow")
    room.apply(lock)
    uv = UvInstaller(room.outside, room.target(), room.config, offline=False, break_system_packages=False)
    assert uv.uninstall(["tensorflow", "numb"]).ok
    room.outside.free = 1000
    assert set(room.apply(lock).changed) == {"numb", "tensorflow"}


def test_a_disk_that_fills_up_on_the_way_is_the_installers_error(room: Room, tmp_path: Path) -> None:
    """A real full filesystem, where this user may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        room.index.add(build_wheel("fat", "1.0", modules={"fat.py": os.urandom(100_000).hex()}))
        lock = room.lock("fat")
        room.outside._own["UV_CACHE_DIR"] = str(small)
        room.outside.free = 1 << 40
        with pytest.raises(InstallFailed, match=r"(?i)no space left.*the environment is as it was"):
            room.apply(lock)
    finally:
        subprocess.run(["umount", small], check=True)


def test_break_system_packages_is_passed_only_when_told(room: Room) -> None:
    marker = Path(room.target().prefix) / "EXTERNALLY-MANAGED"
    seen: list[Sequence[str]] = []
    room.outside.before_run = seen.append
    room.apply(room.lock("numb"))
    assert not any("--break-system-packages" in argv for argv in seen)
    room.apply(room.lock("tensorflow"), break_system_packages=True)
    assert "--break-system-packages" in seen[-1]
    assert not marker.exists()


def test_credentials_do_not_show_in_the_installers_words(room: Room) -> None:
    lock = room.lock("tensorflow")
    room.index.faults["/files/numb-2.0-py3-none-any.whl"] = 500
    room.config = structs.replace(room.config, index_url=room.index.simple.replace("//", "//me:s3cr3t@"))
    with pytest.raises(InstallFailed) as caught:
        room.apply(lock)
    assert "s3cr3t" not in caught.value.message


def test_space_counts_what_the_plan_knows() -> None:
    changed = PlannedPackage(name="x", version="1", size=5, change=Change.ADD, because="")
    plan = Plan(packages=(changed,), download_bytes=3 * 10**9, installed_bytes=None)
    check_space(FakeOutside(free=4 * 10**9), plan, "/env")
    with pytest.raises(InstallFailed, match=r"needs 3\.1 GB free for `/env`.*found 1\.0 GB"):
        check_space(FakeOutside(free=10**9), plan, "/env")
    check_space(FakeOutside(free=0), structs.replace(plan, packages=()), "/env")


def test_sizes_are_spoken_and_the_cache_is_found() -> None:
    assert [spoken_size(n) for n in (3_400_000_000, 5_000_000, 12_000, 7)] == [
        "3.4 GB",
        "5.0 MB",
        "12.0 kB",
        "7 bytes",
    ]
    assert uv_cache({"HOME": "/h"}) == "/h/.cache/uv"
    assert uv_cache({"HOME": "/h", "XDG_CACHE_HOME": "/x"}) == "/x/uv"
    assert uv_cache({"HOME": "/h", "UV_CACHE_DIR": "/u"}) == "/u"


def test_a_fetch_that_fails_is_not_looked_through(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of 3 GB unpacked is tens of thousands of files, and nobody asks what is among them."""
    room.apply(room.lock("tensorflow-cpu"))
    walked: list[str] = []
    walk = room.outside.walk
    monkeypatch.setattr(room.outside, "walk", lambda folder: [walked.append(folder), *walk(folder)][1:])
    room.index.faults["/files/numb-2.0-py3-none-any.whl"] = 500
    with pytest.raises(InstallFailed):
        room.apply(room.lock("tensorflow"))
    del room.index.faults["/files/numb-2.0-py3-none-any.whl"]
    assert not [folder for folder in walked if "/envfix-" in folder]
    room.apply(room.lock("tensorflow"))
    assert [folder for folder in walked if "/envfix-" in folder]
