"""What real wheels print today is what is stored: one generation and an installer, recorded anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.pythons import python_of
from tests.recordings import DATA, recorder

pytestmark = pytest.mark.live

CASES = ("cuinit-803", "no-library", "runtime-35", "one-library-lost")
# What differs from machine to machine: the CPU's instructions.
_LOCAL = re.compile(r"^(?:To enable .*|.*cpu_feature_guard.*)$", re.M)
_PREFIX = re.compile(r"^(?:2026-\S+ \S+ [IWEF] |[IWEF]0000 \S+ +4242 )\S+:\d+\] ", re.M)


def cores(text: str) -> list[str]:
    """The messages without time, path and line number, the machine's own left out."""
    return [line for line in _PREFIX.sub("", _LOCAL.sub("", text)).splitlines() if line.strip()]


@pytest.mark.skipif(os.geteuid() != 0, reason="the recorder needs a mount namespace")
def test_one_generation_prints_what_is_stored(tmp_path: Path) -> None:
    where = ["--output", str(tmp_path / "new"), "--work", str(tmp_path), "--python", python_of("3.12")]
    assert recorder.main(["2.18", *where, "--only", *CASES]) == 0
    made = sorted((tmp_path / "new").iterdir())
    assert len(made) == 7
    for path in made:
        assert cores(path.read_text()) == cores((DATA / path.name).read_text()), path.name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_an_installer_refuses_as_it_is_stored(tmp_path: Path) -> None:
    where = ["--output", str(tmp_path / "new"), "--work", str(tmp_path), "--python", python_of("3.12")]
    assert recorder.main(["installs", *where, "--only", "pip-python-too-new"]) == 0
    text = (tmp_path / "new" / "pip-python-too-new.log").read_text()
    assert "No matching distribution found for tensorflow==2.10.1" in text
