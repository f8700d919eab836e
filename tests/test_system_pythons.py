"""Exact rollback outside of virtual environments, in `dist-packages`, and on an overlay filesystem."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envfix.install.transaction import history, recover
from tests.faults import Dying, deaths, in_child
from tests.ground import TRIED, Compared, disk, numb
from tests.index_server import IndexServer, build_wheel, serving
from tests.pythons import copied, debian
from tests.rooms import Observed, Room, tree


@pytest.fixture(scope="module")
def served() -> Iterator[IndexServer]:
    with serving(
        build_wheel("numb", "1.0", modules=numb("1.0")), build_wheel("numb", "2.0", modules=numb("2.0"))
    ) as server:
        yield server


class SystemRoom(Room):
    """As Room, with an interpreter that is no virtual environment: a copy of one at `folder/env`."""

    def __init__(self, folder: Path, index: IndexServer, real: str) -> None:
        self.real = real
        super().__init__(folder, index)

    def _make(self, env: Path) -> str:
        python = copied(self.real, env)
        (own,) = env.glob("lib/python*")
        (own / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=as the test wants it\n")
        return str(python)


class System(Compared):
    """An interpreter of the system's: `old` has numb 1.0, `new` 2.0."""

    def __init__(self, folder: Path, index: IndexServer, real: str) -> None:
        super().__init__(folder, "env")
        self.room = SystemRoom(folder, index, real)
        self.site.mkdir(parents=True)  # as the system's packages leave it
        shutil.copytree(self.env, folder / "bare", symlinks=True)
        self.install("numb<2")
        # What a user has there too: a link into the packages, and a script of their own mode.
        (self.site / "numb/loop").symlink_to(".")
        (self.scripts / "numb-tool").chmod(0o750)
        self.keep_old()
        self.install("numb==2.0")
        self.keep_new()

    @property
    def site(self) -> Path:
        return self.room.site()

    @property
    def scripts(self) -> Path:
        return Path(self.room.target().scripts)

    def install(self, requirement: str, installer: str = "uv") -> None:
        self.room.apply(self.room.lock(requirement), installer, break_system_packages=True)


@pytest.fixture(scope="module", params=["debian", "plain"])
def only(
    request: pytest.FixtureRequest, served: IndexServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    real = debian() if request.param == "debian" else f"{sys.base_prefix}/bin/python3"
    found = System(tmp_path_factory.mktemp(request.param), served, real)
    assert found.site.name == ("dist-packages" if request.param == "debian" else "site-packages")
    yield found
    TRIED.print()


@pytest.fixture
def system(only: System) -> System:
    only.put("old")
    return only


@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.live)])
def test_a_rollback_is_exact(system: System, installer: str) -> None:
    system.install("numb==2.0", installer)
    assert system.room.installed()["numb"] == "2.0"
    tool = system.scripts / "numb-tool"
    assert subprocess.run([system.room.python, tool], capture_output=True, text=True).stdout == "2.0\n"
    history.undo(system.room.outside, str(system.site), 2)
    system.ended("rolled back", "old")


def test_the_first_install_is_rolled_back_with_the_folders_that_it_made(system: System) -> None:
    system.put("bare")
    before = tree(system.env, ())
    system.install("numb==2.0")
    assert system.room.installed()["numb"] == "2.0"
    history.undo(system.room.outside, str(system.site), 1)
    assert tree(system.env, ()) == before


@pytest.mark.live
def test_killed_before_any_change(system: System) -> None:
    lock, seen = system.room.lock("numb==2.0"), set()

    def install(outside: Observed) -> None:
        system.room.apply(lock, outside=outside, break_system_packages=True)

    for _ in deaths(system.room.outside, install):
        recover.recover(system.room.outside, str(system.site))
        seen.add(system.ended("SIGKILL during an install outside of a virtual environment"))
        system.put("old")
    system.ended("an install that nothing disturbs", "new")
    assert "old" in seen


class Layers(Compared):
    """A virtual environment of a container's image: what changes it lies in a layer of its own."""

    def __init__(self, folder: Path, index: IndexServer) -> None:
        super().__init__(folder, "env")
        self.room = Room(folder, index)
        self.install("numb<2", disposable=True)
        (self.site / "numb/loop").symlink_to(".")
        self.keep_old()
        self.install("numb==2.0")
        self.keep_new()
        self.env.rename(folder / "lower")
        self.env.mkdir()

    def install(self, requirement: str, *, disposable: bool = False, outside: Observed | None = None) -> None:
        self.room.apply(self.room.lock(requirement), disposable=disposable, outside=outside)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """The environment as its image has it, with a new empty layer."""
        with disk(self.folder / "above", "256m") as above:
            (above / "upper").mkdir()
            (above / "work").mkdir()
            options = f"lowerdir={self.folder}/lower,upperdir={above}/upper,workdir={above}/work"
            argv = ["mount", "-t", "overlay", "-o", options, "overlay", str(self.env)]
            if subprocess.run(argv, capture_output=True).returncode:
                pytest.skip("needs the right to mount an overlay")
            try:
                yield
            finally:
                subprocess.run(["umount", self.env], check=True)


@pytest.fixture(scope="module")
def layers(served: IndexServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layers]:
    yield Layers(tmp_path_factory.mktemp("layers"), served)
    TRIED.print()


def test_a_rollback_above_the_layer_of_an_image_is_exact(layers: Layers) -> None:
    with layers.mounted():
        assert tree(layers.env, ()) == layers.old
        layers.install("numb==2.0")
        assert layers.room.installed()["numb"] == "2.0"
        assert [one.number for one in history.complete(layers.room.outside, str(layers.site))] == [1]
        history.undo(layers.room.outside, str(layers.site), 1)
        layers.ended("rolled back", "old")


@pytest.mark.live
def test_killed_before_any_change_above_the_layer_of_an_image(layers: Layers) -> None:
    seen: set[str] = set()
    with layers.mounted():
        lock = layers.room.lock("numb==2.0")

    def die(last: int) -> int:
        with layers.mounted():
            code = in_child(lambda: layers.room.apply(lock, outside=Dying(layers.room.outside, last)))
            recover.recover(layers.room.outside, str(layers.site))
            seen.add(layers.ended("SIGKILL during an install on an overlay filesystem"))
            return code

    last = 1
    while die(last) == -signal.SIGKILL:
        last += 1
    assert seen == {"old", "new"} and last > 40
