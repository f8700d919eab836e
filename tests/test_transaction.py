"""An install that fails anywhere leaves the environment as it was: the same files, bytes, modes and times."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest

from envfix.errors import EnvironmentChanged, InputError, InstallFailed, Interrupted
from envfix.install import loader
from envfix.install.transaction import history, imports, journal, recover
from envfix.install.transaction.change import Contended
from envfix.install.transaction.journal import State
from envfix.install.transaction.undoable import changing
from envfix.system.outside import RealOutside
from tests import ground
from tests.faults import deaths, in_child
from tests.ground import LARGE, small_tensorflows
from tests.index_server import IndexServer, build_wheel, serving
from tests.rooms import HOME, Room, tree

BOTH = pytest.mark.parametrize("installer", ["uv", "pip"])


def numb(version: str, **more: str) -> dict[str, str | bytes]:
    """The wheel of the faults, with a file in each place that only one version has."""
    data = f"numb-{version}.data"
    return {
        **ground.numb(version),
        f"{data}/scripts/numb-{version[0]}": "#!python\n",
        f"{data}/data/share/numb/about.txt": version,
        f"{data}/data/etc/numb-{version[0]}.conf": version,
        **more,
    }


@pytest.fixture(scope="module")
def served() -> Iterator[IndexServer]:
    with serving(
        *small_tensorflows(),
        build_wheel("numb", "1.0", modules=numb("1.0")),
        build_wheel("numb", "2.0", modules=numb("2.0")),
        build_wheel("numb", "3.0", modules=numb("3.0")),
        build_wheel("needy", "1.0", ["numb<2"]),
    ) as server:
        yield server


@pytest.fixture
def room(tmp_path: Path, served: IndexServer) -> Room:
    """An environment with an old version, another package in the way, and what people leave lying about."""
    served.faults.clear()
    made = Room(tmp_path, served)
    made.apply(made.lock("numb<2", "tensorflow-cpu"))
    forget(made)
    site = made.site()
    (site / "mine").mkdir()
    (site / "mine/notes.txt").write_text("notes")
    (site / "mine/link").symlink_to("../numb")
    (site / "mine/gone").symlink_to("/nowhere")
    (site / "numb/loop").symlink_to(".")
    (site / "numb/local.cfg").write_text("of the user")
    (site / os.fsdecode(b"odd\n\xff.txt")).write_text("odd")
    (site / "numb/only_1.py").chmod(0o600)
    (site / "numb").chmod(0o750)
    return made


def forget(room: Room) -> None:
    home = journal.home_of(room.outside, str(room.site()))
    for number in journal.numbers(room.outside, home):
        recover.discard(room.outside, f"{home}/{number}")
    held, _ = recover.acquire(room.outside, home)
    assert held
    recover.leave(room.outside, home, held)


def everything(room: Room) -> dict[str, tuple[object, ...]]:
    """The whole environment, what envfix keeps included, and the times of folders."""
    root = Path(room.python).parents[1]
    times = {
        str(path): (path.stat().st_mtime_ns,)
        for path in [room.site(), *room.site().rglob("*")]
        if path.is_dir() and not path.is_symlink()
    }
    return tree(root, ()) | times  # type: ignore[operator]


def when(room: Room, word: str, act: Callable[[], object], *, after: bool = False) -> None:
    """Do something before or after the run of the installer whose command is `word` in the environment."""

    def hook(argv: Sequence[str]) -> None:
        if word in argv and "--target" not in argv:
            act()

    setattr(room.outside, "after_run" if after else "before_run", hook)


STEPS = ("download", "uninstall", "install")


def interrupt() -> None:
    raise KeyboardInterrupt


def no_space() -> None:
    raise OSError(28, "No space left on device", "/some/file")


@BOTH
def test_a_complete_install_changes_what_it_should_and_keeps_the_way_back(room: Room, installer: str) -> None:
    before = room.tree()
    assert room.apply(room.lock("tensorflow"), installer).after["numb"] == "3.0"
    (done,) = history.complete(room.outside, str(room.site()))
    assert [tuple(row) for row in done.packages] == [
        ("numb", "1.0", "3.0"), ("tensorflow", None, "2.0"), ("tensorflow-cpu", "1.9", None),
    ]  # fmt: skip
    assert done.state is State.COMMITTED and done.kept_bytes > len(LARGE)
    history.undo(room.outside, str(room.site()), done.number)
    assert room.tree() == before
    assert not (room.site() / HOME).exists()


@pytest.mark.parametrize(
    ("installer", "word", "after", "act"),
    [
        *(("uv", *rest) for rest in product(STEPS, (False, True), (interrupt, no_space))),
        pytest.param("pip", "download", True, no_space, marks=pytest.mark.slow),
        pytest.param("pip", "uninstall", True, interrupt, marks=pytest.mark.slow),
        ("pip", "install", True, no_space),
    ],
)
def test_whatever_stops_it_everything_is_as_it_was(
    room: Room, installer: str, word: str, after: bool, act: Callable[[], object]
) -> None:
    before = everything(room)
    lock = room.lock("tensorflow")
    when(room, word, act, after=after)
    if installer == "uv" and word == "download":
        room.outside.before_run = lambda argv: act() if "--target" in argv else None
    ends = Interrupted if act is interrupt else InstallFailed
    with pytest.raises(ends, match=r"; the environment is as it was$"):
        room.apply(lock, installer)
    assert everything(room) == before


def test_an_installer_that_fails_half_way_is_undone(room: Room) -> None:
    before = everything(room)
    lock = room.lock("tensorflow")

    def half() -> None:
        site = room.site()
        (site / "numb/__init__.py").unlink()
        (site / "numb/large.py").rename(site / "numb/~arge.py")
        (site / "numb-1.0.dist-info/RECORD").write_text("half")
        (site / "~umb").mkdir()
        (site / "~umb/rest.py").write_text("")
        (site / ".tmpAbCdEf").write_text("")
        raise OSError(5, "Input/output error", "/dev/disk")

    when(room, "install", half)
    with pytest.raises(InstallFailed, match="as it was"):
        room.apply(lock)
    assert everything(room) == before


def test_a_file_that_is_written_in_place_comes_back_and_a_large_one_is_named(room: Room) -> None:
    before = room.tree()
    lock = room.lock("tensorflow")

    def in_place(*names: str) -> None:
        for name in names:
            with (room.site() / name).open("r+b") as file:
                file.write(b"#!")
        no_space()

    when(room, "install", lambda: in_place("numb/__init__.py", "numb-1.0.dist-info/METADATA", "numb_1.pth"))
    with pytest.raises(InstallFailed, match="as it was"):
        room.apply(lock)
    assert room.tree() == before
    when(room, "install", lambda: in_place("numb/large.py"))
    with pytest.raises(EnvironmentChanged, match=r"written into while it was replaced.*numb/large\.py`$"):
        room.apply(lock)
    after = room.tree()
    assert [name for name in before if before[name] != after[name]] == [
        name for name in before if name.endswith("numb/large.py")
    ]
    assert not (room.site() / HOME).exists()


def test_read_only_files_and_folders_come_back(room: Room) -> None:
    for path in [*(room.site() / "numb").glob("*.py"), room.site() / "numb"]:
        path.chmod(0o444 if path.is_file() else 0o555)
    before = everything(room)
    when(room, "install", interrupt, after=True)
    with pytest.raises(Interrupted, match="as it was"):
        room.apply(room.lock("tensorflow"))
    assert everything(room) == before


def test_what_others_add_or_change_meanwhile_is_left_alone_and_said(room: Room) -> None:
    lock, site = room.lock("tensorflow"), room.site()

    def others() -> None:
        (site / "theirs").mkdir()
        (site / "theirs/work.py").write_text("work")
        (site / "mine/notes.txt").write_text("new notes")
        no_space()

    when(room, "install", others, after=True)
    with pytest.raises(EnvironmentChanged, match=r"left alone, .*mine/notes\.txt.*theirs") as caught:
        room.apply(lock)
    assert caught.value.exit_code == 5
    assert (site / "theirs/work.py").exists() and (site / "mine/notes.txt").read_text() == "new notes"
    assert room.installed()["numb"] == "1.0" and not (site / HOME).exists()


def test_what_is_installed_is_checked_by_its_content(room: Room) -> None:
    before, lock = everything(room), room.lock("tensorflow")

    def cut() -> None:
        path = room.site() / "tensorflow/gpu.py"
        path.unlink()
        path.write_text(LARGE[:-1] + "y")

    when(room, "install", cut, after=True)
    with pytest.raises(InstallFailed, match=r"not as its RECORD says: `.*gpu\.py`; the environment is as"):
        room.apply(lock)
    assert everything(room) == before


def test_a_new_break_undoes_it_and_an_old_one_does_not(room: Room) -> None:
    info = room.site() / "needy-1.0.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: needy\nVersion: 1.0\nRequires-Dist: {}\n"
    (info / "METADATA").write_text(metadata.format("absent>1"))
    room.apply(room.lock("numb==2.0"))
    lock = room.lock("numb==3.0")

    def need() -> None:
        (info / "METADATA").write_text(metadata.format("numb<3"))

    when(room, "install", need)  # nobody could know of it when the plan was made
    with pytest.raises(EnvironmentChanged, match=r"needy 1\.0 needs numb<3, found 3\.0"):
        room.apply(lock)
    assert room.installed()["numb"] == "2.0"


@pytest.mark.slow
def test_killed_at_any_moment_the_next_envfix_puts_it_right(room: Room) -> None:
    """SIGKILL before each change of the world that an install makes; then what a next command does first.

    Between the making of `.envfix` and its journal nobody can know when the folder around it was changed.
    """
    lock, site = room.lock("tensorflow"), str(room.site())
    before = {path: state for path, state in everything(room).items() if path != site}
    for _ in deaths(room.outside, lambda outside: room.apply(lock, outside=outside)):
        done = recover.recover(room.outside, site)
        if history.complete(room.outside, site):
            break  # it was complete when it was killed
        assert all(not one.outcome.lost and not one.outcome.strange for one in done)
        assert {path: state for path, state in everything(room).items() if path != site} == before
    assert room.installed()["numb"] == "3.0"


@pytest.mark.slow
def test_killed_while_it_puts_back_the_next_one_goes_on(room: Room) -> None:
    before, lock, site = everything(room), room.lock("tensorflow"), str(room.site())

    def broken() -> None:
        when(room, "install", lambda: os.kill(os.getpid(), signal.SIGKILL), after=True)
        room.apply(lock)

    assert in_child(broken) == -signal.SIGKILL
    assert everything(room) != before
    for _ in deaths(room.outside, lambda outside: recover.recover(outside, site)):
        assert recover.has_leftovers(room.outside, site) or everything(room) == before
    assert everything(room) == before


def test_two_are_rolled_back_in_their_order_and_exactly(room: Room) -> None:
    site, first = str(room.site()), room.tree()
    room.apply(room.lock("numb==2.0"))
    second = room.tree()
    room.apply(room.lock("tensorflow"))
    with pytest.raises(InputError, match=r"transaction 2 was made after 1") as caught:
        history.undoable(room.outside, site, 1)
    assert caught.value.hint == "roll it back first: envfix rollback 2"
    with pytest.raises(InputError, match=r"no transaction 7 in .*, found 2, 1"):
        history.undoable(room.outside, site, 7)
    history.undo(room.outside, site, history.undoable(room.outside, site, None).number)
    assert room.tree() == second
    history.undo(room.outside, site, 1)
    assert room.tree() == first
    with pytest.raises(InputError, match="changed nothing"):
        history.undoable(room.outside, site, None)


@pytest.mark.slow
def test_killed_while_it_undoes_the_next_one_goes_on(room: Room) -> None:
    before, site = room.tree(), str(room.site())
    room.apply(room.lock("tensorflow"))
    env, copy = Path(room.python).parents[1], Path(room.python).parents[2] / "copy"
    shutil.copytree(env, copy, symlinks=True)
    after = room.tree()
    for _ in deaths(room.outside, lambda outside: history.undo(outside, site, 1), step=5):
        recover.recover(room.outside, site)
        assert room.tree() in (before, after)
        shutil.rmtree(env)
        shutil.copytree(copy, env, symlinks=True)
    assert room.tree() == before and not (room.site() / HOME).exists()


def test_what_was_changed_since_by_others_is_not_rolled_back(room: Room) -> None:
    room.apply(room.lock("tensorflow"))
    before, site = everything(room), str(room.site())
    path = room.site() / "numb/__init__.py"
    was, text = path.stat(), path.read_text()
    path.write_text("mine = 1\n")
    with pytest.raises(InputError, match=r"others have changed its files since: `.*numb/__init__\.py`$"):
        history.undo(room.outside, site, 1)
    path.write_text(text)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert everything(room) == before
    (room.site() / "numb/__pycache__").mkdir()
    (room.site() / "numb/__pycache__/only_3.cpython-311.pyc").write_text("Python's own")
    history.undo(room.outside, site, 1)
    assert not (room.site() / "numb/__pycache__").exists()


def test_old_ones_are_forgotten_and_one_that_is_cut_off_is_not(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = str(room.site())
    home = journal.home_of(room.outside, site)
    for version in ("2.0", "3.0", "1.0", "2.0", "3.0"):
        room.apply(room.lock(f"numb=={version}"))
    assert [one.number for one in history.complete(room.outside, site)] == [5, 4, 3]
    monkeypatch.setattr(history, "KEEP_BYTES", 1)
    cut = journal.read(room.outside, f"{home}/3")
    assert cut
    journal.write(room.outside, f"{home}/3", cut._replace(state=State.INSTALLING))
    history.prune(room.outside, home)
    assert journal.numbers(room.outside, home) == (3, 5)  # the newest stays whatever it holds


def test_a_clock_that_goes_back_changes_no_order(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.apply(room.lock("numb==2.0"))
    monkeypatch.setattr(history, "now", lambda: "1970-01-01 00:00:00")
    room.apply(room.lock("numb==3.0"))
    found = history.complete(room.outside, str(room.site()))
    assert (found[0].number, found[0].started[:4]) == (2, "1970")
    history.undo(room.outside, str(room.site()), 2)
    assert room.installed()["numb"] == "2.0"


def test_a_second_envfix_waits_and_then_decides_anew(room: Room, tmp_path: Path) -> None:
    lock, go = room.lock("tensorflow"), tmp_path / "go"

    def first() -> None:
        when(room, "install", lambda: wait_for(go))
        room.apply(lock)

    child = threading.Thread(target=lambda: ended.append(in_child(first)), daemon=True)
    ended: list[int] = []
    child.start()
    wait_for(room.site() / HOME / "1/journal.json")

    def say(text: str) -> None:
        assert "another envfix changes" in text
        go.touch()

    room.outside.say = say  # type: ignore[method-assign]
    with pytest.raises(Contended):
        room.apply(room.lock("numb==2.0"))
    child.join()
    assert ended == [0] and go.exists() and room.installed()["numb"] == "3.0"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_nobody_recovers_while_the_installer_of_a_killed_envfix_goes_on(room: Room, tmp_path: Path) -> None:
    """SIGKILL ends envfix, not uv: what uv still writes must not come after the putting back."""
    started, lock = tmp_path / "started", str(tmp_path / "lock")
    program = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(2)"

    def killed() -> None:
        assert room.outside.hold(lock)
        room.outside.run([sys.executable, "-c", program], timeout=60)

    pid = os.fork()
    if pid == 0:
        killed()
        os._exit(0)
    wait_for(started)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert room.outside.hold(lock) is None
    deadline = time.monotonic() + 30
    while (held := room.outside.hold(lock)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert held is not None


def test_an_environment_that_changed_after_it_was_read_is_decided_anew(room: Room) -> None:
    target = room.target()
    room.apply(room.lock("numb==2.0"))
    before = everything(room)
    with pytest.raises(Contended), changing(room.outside, target, room.target):
        raise AssertionError("the block must not run")
    assert everything(room) == before


def test_only_the_loader_is_a_transaction_too(room: Room) -> None:
    before = everything(room)
    target = room.target()
    with pytest.raises(Interrupted, match="as it was"), changing(room.outside, target, room.target) as change:
        change.begin((journal.Moved(loader.NAME, None, loader.VERSION),), ())
        loader.install(room.outside, target)
        interrupt()
    assert everything(room) == before
    with changing(room.outside, target, room.target) as change:
        change.begin((journal.Moved(loader.NAME, None, loader.VERSION),), ())
        loader.install(room.outside, target)
    assert loader.is_current(room.outside, target)
    history.undo(room.outside, str(room.site()), 1)
    assert everything(room) == before


def test_putting_back_needs_nothing_but_the_standard_library() -> None:
    root = Path(imports.__file__).parents[3]
    program = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from envfix.install.transaction import history, recover\n"
        "from envfix import cli, own\n"
        "from envfix.system import outside\n"
    )
    # -S: there are no site-packages.
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)


@pytest.mark.parametrize("disposable", [True, False])
def test_what_was_there_before_waits_for_the_disk_and_imports_ahead(
    disposable: bool, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = room.target()
    settled: list[str] = []
    imported: list[tuple[str, ...]] = []
    monkeypatch.setattr(room.outside, "settle_all", settled.append)
    monkeypatch.setattr(imports, "import_all", lambda _, sites: imported.append(tuple(sites)))
    with changing(room.outside, target, room.target, disposable=disposable) as change:
        change.begin((journal.Moved(loader.NAME, None, loader.VERSION),), ())
        loader.install(room.outside, target)
    assert bool(settled) is not disposable
    assert imported == ([] if disposable else [(target.purelib, target.platlib)])


@pytest.mark.parametrize("below", [True, False])
def test_what_envfix_runs_on_is_imported_before_it_changes(
    below: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    for folder in (site, elsewhere):
        folder.mkdir()
    (tmp_path / "link").symlink_to("site")
    (site / "needed_later.py").write_text("")
    monkeypatch.setattr(imports, "MODULES", ("not_there_at_all", "needed_later"))
    monkeypatch.syspath_prepend(str(tmp_path / "link"))
    monkeypatch.delitem(sys.modules, "needed_later", raising=False)
    (tmp_path / "site2").symlink_to("site")
    imports.import_all(RealOutside(), [str(tmp_path / "site2" if below else elsewhere)])
    assert ("needed_later" in sys.modules) is below


def test_everything_that_envfix_may_import_is_named() -> None:
    """Before packages change below it, all of it is imported: half of an old and half of a new one would not
    work together. Attestations are checked before the first change, and completion changes nothing."""
    root = Path(imports.__file__).parents[2]
    children = (
        "payload",
        "children",
        "child.py",
        "deep_child.py",
        "deep_model.py",
        "attestations.py",
        "completing.py",
    )
    found: set[str] = set()
    for path in root.rglob("*.py"):
        if not any(part in children for part in path.parts):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found.add(str(node.module))
    own = ("envfix", *sys.stdlib_module_names)
    assert {name for name in found if name.partition(".")[0] not in own} == set(imports.MODULES)


def test_what_a_loss_of_power_must_not_take_is_on_the_disk(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, lasting = room.lock("numb"), set()
    synced = threading.local()
    monkeypatch.setattr(os, "fsync", lambda number: setattr(synced, "times", 1))
    write = room.outside.write_bytes

    def note(path: str, *more: object, **options: object) -> None:
        synced.times = 0
        write(path, *more, **options)  # type: ignore[arg-type]
        if synced.times:
            lasting.add(Path(path).name)

    monkeypatch.setattr(room.outside, "write_bytes", note)
    room.apply(lock)
    assert {"pack0", "before.json", "after.json", "journal.json"} <= lasting
