"""Hints can be pasted into a shell, also where a path has a space."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from envfix.errors import EnvfixError
from envfix.install.venv import check_venv
from envfix.installing import install
from envfix.lock.pylock import render_pylock
from envfix.matrix import load
from envfix.model.request import ANY, Accelerator, InstallOptions, Request
from envfix.probe.interpreter import read_target
from envfix.situation import Parts, Where
from envfix.system.outside import RealOutside
from envfix.verify.libraries import out_of_library_path
from envfix.workflow import check_lock, verify
from tests.fakes import FakeOutside
from tests.test_lock import LOCK


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
