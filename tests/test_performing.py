"""A new environment is made while the resolver works, unless somebody is asked first."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from envfix import installing, mending
from envfix.cli import parsed
from envfix.commands import _index, _resolver, asking, command
from envfix.errors import IndexUnreachable, InputError, InstallFailed, Interrupted
from envfix.install import making, venv
from envfix.install.venv import check_venv, finish_venv, make_venv
from envfix.matrix import load
from envfix.matrix.tf_request import parse_tf
from envfix.model.request import InstallOptions, Request
from envfix.model.results import Installed
from envfix.model.target import PipConfig
from envfix.ports import Ran
from envfix.situation import Parts, Situation, Where
from envfix.system.outside import RealOutside
from tests.environments import TF, user
from tests.index_server import IndexServer

SOON = 30.0  # seconds


class Watched(RealOutside):
    """Tells when uv's commands begin and end, in order; the resolver begins when `go_on` is set."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.did: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.wakes: tuple[str, ...] = ()
        self.hesitates = 0.0

    def run(self, argv: Sequence[str], **more: Any) -> Ran:
        words = {"venv": "venv", "compile": "resolve", "cache": "cache"}
        name = next((words[word] for word in argv if word in words), "")
        if name == "venv" and "--offline" in argv:
            name = "venv offline"
        elif name == "venv":
            self.did.append("venv begins")
        if name == "resolve":
            self.go_on.wait(SOON)
            time.sleep(self.hesitates)
        ran = super().run(argv, **more)
        if name:
            self.did.append(name if ran.ok else f"{name} failed")
        if name in self.wakes:
            self.go_on.set()
        return ran


@pytest.fixture
def outside(
    tmp_path: Path, index: IndexServer, byte_code: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    index.faults.clear()
    for name, value in user(tmp_path, index, byte_code).items():
        monkeypatch.setenv(name, value)
    for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    yield Watched()


def parts_of(outside: RealOutside) -> Parts:
    return Parts(
        outside=outside,
        matrix_dir=load.matrix_dir(),
        index=_index,
        resolver=lambda name, config: _resolver(outside, name, config),
    )


def install(outside: Watched, folder: Path, *, asks: bool, approve: Any = lambda planned: None) -> Installed:
    where = Where(machine="colab-t4", venv=str(folder / "demo"))
    options = InstallOptions(approve=approve, asks=asks, verify=False)
    return installing.install(parts_of(outside), Request(tf=parse_tf(TF)), where, options)


def seeded(outside: Watched, folder: Path, index: IndexServer) -> None:
    """uv has a pip in its cache."""
    place, config = check_venv(outside, str(folder / "other"), None), PipConfig(index_url=index.simple)
    make_venv(outside, place, config, offline=False, before_asking=lambda: None)
    outside.did.clear()


def test_it_is_made_while_the_resolver_works(outside: Watched, tmp_path: Path, index: IndexServer) -> None:
    seeded(outside, tmp_path, index)
    outside.go_on.clear()  # the resolver begins only when the environment is there, and uv's cache is known
    outside.wakes = ("cache",)
    done = install(outside, tmp_path, asks=False)
    assert outside.did == ["venv offline", "cache", "resolve"]
    assert done.result is not None and "tensorflow" in done.result.changed


def test_the_index_is_asked_for_pip_only_when_the_resolver_has_its_answers(
    outside: Watched, tmp_path: Path
) -> None:
    outside.hesitates = 0.5
    install(outside, tmp_path, asks=False)
    assert outside.did[:4] == ["venv offline failed", "resolve", "venv begins", "venv"]
    assert list((tmp_path / "demo").glob("lib/python*/site-packages/pip"))


def test_nothing_is_made_before_a_person_agrees(outside: Watched, tmp_path: Path) -> None:
    def no(planned: Installed) -> None:
        assert planned.plan.download_bytes and not (tmp_path / "demo").exists()
        raise Interrupted("stopped before the first change, as you said")

    with pytest.raises(Interrupted):
        install(outside, tmp_path, asks=True, approve=no)
    assert outside.did == ["resolve"] and not (tmp_path / "demo").exists()


def test_it_goes_again_where_the_plan_is_refused(
    outside: Watched, tmp_path: Path, index: IndexServer
) -> None:
    seeded(outside, tmp_path, index)

    def no(planned: Installed) -> None:
        assert planned.plan.download_bytes and (tmp_path / "demo").is_dir()
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        install(outside, tmp_path, asks=False, approve=no)
    assert not (tmp_path / "demo").exists()


def test_it_goes_again_where_the_resolver_fails(outside: Watched, tmp_path: Path, index: IndexServer) -> None:
    seeded(outside, tmp_path, index)
    index.faults["/tensorflow/"] = 503
    outside.go_on.clear()
    outside.wakes = ("venv offline",)
    with pytest.raises(IndexUnreachable):
        install(outside, tmp_path, asks=False)
    assert outside.did[0] == "venv offline" and outside.did.count("resolve failed") == 1
    assert not (tmp_path / "demo").exists()


def test_the_resolver_is_not_left_at_work(
    outside: Watched, tmp_path: Path, index: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else makes the environment meanwhile: all is decided anew, with one resolver."""
    asked = threading.Event()
    index.faults["/tensorflow/"] = lambda handler: (asked.set(), time.sleep(SOON))  # type: ignore[func-returns-value]

    def contended(*all: Any, **more: Any) -> Any:
        assert asked.wait(SOON)
        raise InstallFailed("no more")

    monkeypatch.setattr(venv, "make_venv", contended)
    begun = time.monotonic()
    with pytest.raises(InstallFailed):
        install(outside, tmp_path, asks=False)
    while "resolve failed" not in outside.did:
        assert time.monotonic() - begun < SOON / 2, "it is at work still"
        time.sleep(0.02)


def test_what_another_envfix_makes_meanwhile_is_waited_for(
    outside: Watched, tmp_path: Path, index: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has begun, or has even ended, since this one looked: `here` is of a folder that was not there."""
    seeded(outside, tmp_path, index)
    config, read, times = PipConfig(index_url=index.simple), mending.situate, []

    def late(parts: Parts, where: Where, *more: Any, **options: Any) -> Situation:
        here = read(parts, where, *more, **options)
        times.append(here.new_venv)
        if len(times) == 1:
            place = check_venv(outside, str(tmp_path / "demo"), None)
            held = make_venv(outside, place, config, offline=True, before_asking=lambda: None)
            finish_venv(outside, place, held)
        return here

    monkeypatch.setattr(mending, "situate", late)
    done = install(outside, tmp_path, asks=False)
    assert times == [True, False] and done.result is not None
    assert done.transaction == "1"  # of an environment that was there


def test_one_that_is_not_there_whole_is_looked_at_again(
    outside: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read, times = tmp_path / "demo", mending.situate, []

    def early(parts: Parts, where: Where, *more: Any, **options: Any) -> Situation:
        times.append(folder.exists())
        if len(times) == 1:
            folder.mkdir()
            held = making.mark(outside, str(folder), str(tmp_path))
            assert held is not None
            held.release()  # it is killed
            raise InputError("its Python is not there yet")
        return read(parts, where, *more, **options)

    monkeypatch.setattr(mending, "situate", early)
    where = Where(venv=str(folder), machine="colab-t4")
    assert mending.put_right(parts_of(outside), where, makes=True).new_venv
    assert times == [False, False] and not folder.exists()


def test_one_that_was_not_finished_is_refused_with_both_ways_out(outside: Watched, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    assert making.mark(outside, str(folder), str(tmp_path)) is not None
    where = Where(venv=str(folder), machine="colab-t4", command="verify")
    with pytest.raises(InputError, match="was not finished by the envfix that makes it") as caught:
        mending.put_right(parts_of(outside), where)
    assert caught.value.hint is not None and caught.value.hint.splitlines() == [
        f"to make it anew: envfix install --machine colab-t4 --venv {folder}",
        f"to remove it: rm -r {folder}",
    ]
    # What is half there is not counted on for a dry run.
    assert mending.look(parts_of(outside), where, to_install=True).new_venv


@pytest.mark.parametrize(
    ("yes", "answers", "expected"), [(True, True, False), (False, True, True), (False, False, False)]
)
def test_who_is_asked(monkeypatch: pytest.MonkeyPatch, yes: bool, answers: bool, expected: bool) -> None:
    monkeypatch.setattr(asking, "can_answer", lambda outside, options: answers)
    assert asking.asks(RealOutside(), argparse.Namespace(yes=yes)) is expected


def test_the_command_says_whether_somebody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[InstallOptions] = []

    def stop(parts: Any, request: Any, where: Any, how: InstallOptions) -> None:
        seen.append(how)
        raise Interrupted("enough")

    monkeypatch.setattr(installing, "install", stop)
    monkeypatch.setattr(asking, "can_answer", lambda outside, options: True)
    for argv in (["install"], ["install", "--yes"]):
        with pytest.raises(Interrupted):
            command("install")(parts_of(RealOutside(quiet=True)), parsed(argv))
    assert [how.asks for how in seen] == [True, False]
