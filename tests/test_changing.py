"""A new environment is made while the resolver works, unless somebody is asked first."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from envfix import installing
from envfix.commands import _index, _resolver
from envfix.errors import IndexUnreachable, Interrupted
from envfix.install.venv import check_venv, make_venv
from envfix.matrix import load
from envfix.matrix.tf_request import parse_tf
from envfix.model.request import InstallOptions, Request
from envfix.model.results import Installed
from envfix.model.target import PipConfig
from envfix.ports import Ran
from envfix.situation import Parts, Where
from envfix.system.outside import RealOutside
from tests.environments import TF, user
from tests.index_server import IndexServer

SOON = 30.0  # seconds


class Watched(RealOutside):
    """Tells of uv's commands as they begin and end, in order; `resolving` waits until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.did: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def run(self, argv: Sequence[str], **more: Any) -> Ran:
        word = "venv" if "venv" in argv else "resolve" if "compile" in argv else ""
        name = f"{word} offline" if word == "venv" and "--offline" in argv else word
        if word == "resolve":
            self.go_on.wait(SOON)
        ran = super().run(argv, **more)
        if name:
            self.did.append(name if ran.ok else f"{name} failed")
        if word == "venv" and ran.ok:
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


def install(outside: Watched, folder: Path, *, asks: bool, approve: Any = lambda planned: None) -> Installed:
    parts = Parts(
        outside=outside,
        matrix_dir=load.matrix_dir(),
        index=_index,
        resolver=lambda name, config: _resolver(outside, name, config),
    )
    where = Where(machine="colab-t4", venv=str(folder / "demo"))
    options = InstallOptions(approve=approve, asks=asks, verify=False)
    return installing.install(parts, Request(tf=parse_tf(TF)), where, options)


def seeded(outside: Watched, folder: Path, index: IndexServer) -> None:
    """uv has a pip in its cache."""
    make_venv(outside, check_venv(outside, str(folder / "other"), None), PipConfig(index_url=index.simple))
    outside.did.clear()


def test_it_is_made_while_the_resolver_works(outside: Watched, tmp_path: Path, index: IndexServer) -> None:
    seeded(outside, tmp_path, index)
    outside.go_on.clear()  # the resolver ends only when the environment is there
    done = install(outside, tmp_path, asks=False)
    assert outside.did == ["venv offline", "resolve"] and outside.go_on.is_set()
    assert done.result is not None and "tensorflow" in done.result.changed


def test_the_index_is_asked_for_pip_only_when_the_resolver_has_its_answers(
    outside: Watched, tmp_path: Path
) -> None:
    install(outside, tmp_path, asks=False)
    assert outside.did == ["venv offline failed", "resolve", "venv"]
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
    with pytest.raises(IndexUnreachable):
        install(outside, tmp_path, asks=False)
    assert outside.did == ["venv offline", "resolve failed"] and not (tmp_path / "demo").exists()
