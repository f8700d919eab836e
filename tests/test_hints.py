"""Hints can be pasted into a shell, also where a path has a space."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from packaging.requirements import Requirement

from envfix import installing
from envfix.choice import Choice
from envfix.deciding import ranked, refuse_without_gpu
from envfix.errors import EnvfixError
from envfix.install.venv import check_venv
from envfix.installing import install
from envfix.lock.pylock import render_pylock
from envfix.matrix import load
from envfix.matrix.tf_request import parse_tf
from envfix.model.machine import Machine
from envfix.model.request import ANY, Accelerator, CudaSource, InstallOptions, Request
from envfix.notes import notes_of
from envfix.probe.interpreter import read_target
from envfix.resolve.wanted import Wanted
from envfix.situation import Parts, Situation, Where
from envfix.system.outside import RealOutside
from envfix.verify.libraries import out_of_library_path
from envfix.workflow import check_lock, verify
from tests.fakes import FakeOutside
from tests.shipped import matrix
from tests.test_lock import LOCK
from tests.values import T4, TARGET


def _none(*_: object) -> Any:
    raise AssertionError("nothing is asked of an index")


def hint_of(action: Callable[[], object]) -> list[str]:
    """The words that a shell takes the hint of the refusal for."""
    with pytest.raises(EnvfixError) as caught:
        action()
    assert caught.value.hint
    return shlex.split(caught.value.hint)


def test_a_folder_with_a_space_stays_one_word(tmp_path: Path) -> None:
    folder = tmp_path / "my env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").write_text("")
    inside, outside = str(folder / "bin/python"), RealOutside()
    assert hint_of(lambda: check_venv(outside, str(folder), None))[-2:] == ["--python", inside]
    assert hint_of(lambda: read_target(outside, str(folder)))[-2:] == ["--python", inside]
    gone = str(tmp_path / "no env")
    parts = Parts(outside=outside, matrix_dir=load.matrix_dir(), index=_none, resolver=_none)
    assert hint_of(lambda: verify(parts, Where(venv=gone), Accelerator.CPU, 1.0)) == [
        "envfix", "install", "--venv", gone,
    ]  # fmt: skip


ASKED = Request(tf=parse_tf(">=2.19"), accelerator=Accelerator.CPU, cuda=CudaSource.WHEELS, minimal=True)
GIVEN = Where(python="/my env/bin/python", machine="no-gpu", command="lock").again
OPTIONS = ["envfix", "install", "--machine", "no-gpu", "--python", "/my env/bin/python", "--tf", ">=2.19"]
NO_GPU = Machine(driver=None, gpus=())


def test_the_offer_of_a_newer_release_keeps_what_was_asked_for() -> None:
    here = Situation(target=TARGET, machine=T4, named=True, again=GIVEN)
    decision = ranked(here, matrix(), ASKED)
    older = next(one for one in decision.candidates if str(one.release.version) == "2.19.1")
    choice = Choice(
        candidate=older,
        accelerator=Accelerator.CPU,
        cuda=CudaSource.WHEELS,
        bounds=(),
        wanted=Wanted(roots=(), caps=(), because={}),
    )
    (offer,) = (one for one in notes_of(here, matrix(), ASKED, decision, choice) if "--upgrade" in one)
    rest = ["--accelerator", "cpu", "--cuda", "wheels", "--minimal", "--upgrade"]
    assert shlex.split(offer.split("`")[1]) == [*OPTIONS, *rest]


def test_the_way_to_the_cpu_keeps_what_was_asked_for() -> None:
    here = Situation(target=TARGET, machine=NO_GPU, named=True, again=GIVEN)
    with pytest.raises(EnvfixError) as caught:
        refuse_without_gpu(here, structs.replace(ASKED, accelerator=Accelerator.GPU))
    last = (caught.value.hint or "").splitlines()[-1]
    rest = ["--cuda", "wheels", "--minimal", "--accelerator", "auto"]
    assert shlex.split(last.split("`")[1]) == [*OPTIONS, *rest]


def test_what_puts_an_environment_right_asks_for_no_gpu_where_there_is_none() -> None:
    where = Where(venv="a")
    assert where.install_command(Accelerator.GPU, T4) == "envfix install --venv a"
    assert where.install_command(Accelerator.GPU, NO_GPU) == "envfix install --venv a --accelerator auto"
    assert where.install_command(Accelerator.CPU, NO_GPU) == "envfix install --venv a --accelerator cpu"


def test_an_environment_of_its_own_gets_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> Any:
        raise EnvfixError("no", "envfix install --venv .venv, or --yes --break-system-packages")

    monkeypatch.setattr(installing, "_install", refuse)
    parts = Parts(outside=FakeOutside(), matrix_dir="", index=_none, resolver=_none)
    options = InstallOptions(approve=_none)
    request = structs.replace(ASKED, companions=(Requirement("torch>=2"),))
    words = hint_of(lambda: installing.install(parts, request, Where(machine="my box"), options))
    given = ["--tf", ">=2.19", "--with", "torch>=2", "--accelerator", "cpu", "--cuda", "wheels", "--minimal"]
    assert words[:-3] == ["envfix", "install", "--venv", ".venv", *given, "--machine", "my box,"]
    locked = structs.replace(options, lock="my.lock")
    plain = structs.replace(ASKED, tf=ANY, accelerator=Accelerator.GPU, cuda=CudaSource.AUTO, minimal=False)
    words = hint_of(lambda: installing.install(parts, plain, Where(), locked))
    assert words[:-3] == ["envfix", "install", "--venv", ".venv", "--lock", "my.lock,"]


def test_a_librarys_path_with_a_space_stays_one_word() -> None:
    outside = FakeOutside(environ={"LD_LIBRARY_PATH": "/old lib:/my lib"})
    command = out_of_library_path(outside, "/old lib/libcudnn.so.9").strip("`")
    assert shlex.split(command) == ["export", "LD_LIBRARY_PATH=/my lib"]


MISMATCHED = (
    ("k80-470", {}, []),  # a rule forbids the release
    ("k80-470", {"left_out": ("nvidia-curand-cu12==10.3.6.82",)}, ["--minimal"]),
    ("colab-l4", {}, []),  # a GPU that the lock was not made for
)


@pytest.mark.parametrize(("machine", "changes", "options"), MISMATCHED)
def test_a_lock_that_does_not_fit_is_made_anew_for_the_same_machine(
    machine: str, changes: dict[str, Any], options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "locked.toml").write_text(render_pylock(structs.replace(LOCK, **changes)))
    parts = Parts(outside=RealOutside(), matrix_dir=load.matrix_dir(), index=_none, resolver=_none)
    where = Where(python=sys.executable, machine=machine, command="lock")
    words = ["envfix", "lock", "--machine", machine, "--python", sys.executable, *options]
    locked = str(tmp_path / "locked.toml")
    assert hint_of(lambda: check_lock(parts, where, locked, offline=True)) == words
    installing = structs.replace(where, command="install")
    how = InstallOptions(approve=_none, lock=locked, dry_run=True)
    request = Request(tf=ANY, offline=True)
    assert hint_of(lambda: install(parts, request, installing, how)) == words
