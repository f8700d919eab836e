"""What a change leaves, says and puts back at its rarer ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from envfix.errors import InputError, InstallFailed
from envfix.install import loader
from envfix.install.apply import apply
from envfix.install.transaction import history, journal, recover
from envfix.install.transaction.ending import ended
from envfix.install.transaction.journal import State
from envfix.install.transaction.undoable import changing
from envfix.resolve.planning import make_plan
from tests.index_server import IndexServer, build_wheel, serving
from tests.rooms import HOME, Observed, Room

LARGE = "x" * 20_000


@pytest.fixture(scope="module")
def served() -> Iterator[IndexServer]:
    with serving(
        build_wheel("one", "1.0", modules={"one/__init__.py": "", "one/part/large.py": LARGE}),
        build_wheel("one", "2.0", modules={"one/__init__.py": "2", "one/part/large.py": f"{LARGE}2"}),
        build_wheel("an-other", "1.0", modules={"other/__init__.py": "", "other/old/deep/__init__.py": ""}),
        build_wheel("an-other", "2.0", modules={"other/__init__.py": "", "other/new/__init__.py": ""}),
    ) as server:
        yield server


@pytest.fixture(scope="module")
def made(served: IndexServer, tmp_path_factory: pytest.TempPathFactory) -> Room:
    found = Room(tmp_path_factory.mktemp("room"), served)
    found.apply(found.lock("one<2", "an-other<2"), disposable=True)
    found.keep()
    return found


@pytest.fixture
def room(made: Room) -> Room:
    made.renew()
    return made


def cut_off(room: Room, *requirements: str) -> None:
    """Leave a change half done, as an envfix does that is killed after the installer."""
    lock, whole = room.lock(*requirements), journal.write

    def die(outside: Observed, folder: str, entry: journal.Journal) -> None:
        if entry.state is State.INSTALLED:
            os._exit(9)
        whole(outside, folder, entry)

    pid = os.fork()
    if pid == 0:
        journal.write = die  # type: ignore[assignment]
        room.apply(lock)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_folders_that_others_took_away_meanwhile_stay_away(room: Room) -> None:
    (room.site() / "empty/in").mkdir(parents=True)
    cut_off(room, "one==2.0", "an-other<2")
    assert room.installed()["one"] == "2.0"
    # What somebody does by hand after the crash, before any envfix runs.
    for name in ("other/old/deep/__init__.py", "other/old/deep", "other/old"):
        path = room.site() / name
        path.rmdir() if path.is_dir() else path.unlink()
    (done,) = recover.recover(room.outside, str(room.site()))
    assert room.installed()["one"] == "1.0" and (room.site() / "one/part/large.py").exists()
    assert not (room.site() / "other/old").exists()
    assert any(path.endswith("other/old/deep/__init__.py") for path in done.outcome.strange)
    assert (room.site() / "empty/in").is_dir()


def test_an_empty_folder_that_was_taken_away_comes_back(room: Room) -> None:
    (room.site() / "one/part/empty/in").mkdir(parents=True)
    cut_off(room, "one==2.0", "an-other<2")
    (room.site() / "one/part/empty/in").rmdir()
    (room.site() / "one/part/empty").rmdir()
    recover.recover(room.outside, str(room.site()))
    assert (room.site() / "one/part/empty/in").is_dir()


def test_the_loader_beside_packages_that_are_all_there_is_undone_too(room: Room) -> None:
    before, target, lock = room.tree(), room.target(), room.lock("one<2", "an-other<2")
    plan = make_plan(lock.resolution, target, {}, {})
    assert not plan.changes
    again = partial(apply, room.outside, lock, plan, room.installer(room.outside), room.target)
    with pytest.raises(InstallFailed), changing(room.outside, target, room.target) as change:
        again(change)
        loader.install(room.outside, target)
        assert recover.unfinished(room.outside, str(room.site()))
        raise InstallFailed("no more")
    assert room.tree() == before
    with changing(room.outside, target, room.target) as change:
        again(change)
    assert change.number is None and not (room.site() / HOME).exists()
    with changing(room.outside, target, room.target) as change:
        again(change)
        loader.install(room.outside, target)
    assert change.number == 1
    history.undo(room.outside, str(room.site()), 1)
    assert room.tree() == before


def test_a_rollback_ends_what_was_cut_off_since_it_looked(room: Room) -> None:
    room.apply(room.lock("one==2.0", "an-other<2"))
    after = room.tree()
    assert history.undoable(room.outside, str(room.site()), None).number == 1
    cut_off(room, "one==2.0", "an-other==2.0")
    history.undo(room.outside, str(room.site()), 1)
    assert room.installed() == {"one": "1.0", "an-other": "1.0"}
    assert any("did not finish and was put back" in line for line in room.outside.said)
    assert room.tree() != after and not (room.site() / HOME).exists()


@pytest.mark.parametrize(
    ("installer", "hint"),
    [
        ("uv", "uv cache clean an-other"),
        pytest.param("pip", "run it again", marks=pytest.mark.live),  # for its seconds
    ],
)
def test_a_damaged_file_names_the_cache_to_clean(room: Room, installer: str, hint: str) -> None:
    before, lock = room.tree(), room.lock("one<2", "an-other==2.0")

    def damage(argv: object) -> None:
        path = room.site() / "other/new/__init__.py"
        if path.exists():
            path.unlink()
            path.write_text("damaged")

    room.outside.after_run = damage
    with pytest.raises(InstallFailed, match=r"its RECORD says: .*; the environment is as it was") as caught:
        room.apply(lock, installer)
    assert caught.value.hint == hint
    room.outside.after_run = lambda argv: None
    assert room.tree() == before


def test_a_disk_that_does_not_take_what_was_written_is_no_success(room: Room) -> None:
    before, target = room.tree(), room.target()

    def full(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    whole = room.outside.settle_all
    once = iter([full])
    room.outside.settle_all = lambda path: next(once, whole)(path)  # type: ignore[method-assign]
    with pytest.raises(InstallFailed, match="Input/output error; the environment is as it was"):
        room.apply(room.lock("one==2.0", "an-other<2"))
    assert room.tree() == before and room.target() == target


def test_what_is_known_of_a_failure_is_kept_with_it(room: Room) -> None:
    class Change:
        target = room.target()

        def after_failure(self) -> str:
            return "the environment is as it was"

    told = ended(Change(), InstallFailed("no", "do it", data={"rejected": 1}))
    assert isinstance(told, InstallFailed)
    assert (told.message, told.hint, told.data) == (
        "no; the environment is as it was",
        "do it",
        {"rejected": 1},
    )


def test_a_later_number_cannot_be_undone_before_what_stands_on_it(room: Room) -> None:
    room.apply(room.lock("one==2.0", "an-other<2"))
    room.apply(room.lock("one==2.0", "an-other==2.0"))
    with pytest.raises(InputError, match="transaction 2 was made after 1"):
        history.undo(room.outside, str(room.site()), 1)


def test_what_a_killed_envfix_left_beside_a_transaction_goes_and_the_transaction_stays(room: Room) -> None:
    before = room.tree()
    room.apply(room.lock("one==2.0", "an-other<2"))
    home = room.site() / HOME
    there = sorted(path.name for path in home.iterdir())
    assert not recover.has_leftovers(room.outside, str(room.site()))
    (home / "one").touch()
    (home / "of-somebody").mkdir()
    assert recover.recover(room.outside, str(room.site())) == ()
    (home / "of-somebody").rmdir()
    assert sorted(path.name for path in home.iterdir()) == there
    history.undo(room.outside, str(room.site()), 1)
    assert room.tree() == before and not home.exists()


HOLDING = """
import sys, time
from envfix.system.outside import RealOutside
outside = RealOutside()
print(outside.temporary_dir(), flush=True)
sys.stdin.read()
"""


def holding(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    env = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_temporary_folders_of_killed_envfixes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    others = [tmp_path / "envfix-notes", tmp_path / "envfix-run-file"]
    others[0].mkdir()
    others[1].write_text("somebody's")
    aim = tmp_path / "aim"
    aim.mkdir()
    (aim / "file").write_text("kept")
    (tmp_path / "envfix-run-link").symlink_to(aim)
    living, there = holding(tmp_path)
    killed, gone = holding(tmp_path)
    (gone / "file").write_text("left")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert gone.is_dir()
    last, _ = holding(tmp_path)
    assert not gone.parent.exists()
    assert there.is_dir() and all(path.exists() for path in others) and (aim / "file").exists()
    for process in (living, last):
        process.communicate("")
    assert not there.parent.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "aim", "envfix-notes", "envfix-run-file", "envfix-run-link",
    ]  # fmt: skip
