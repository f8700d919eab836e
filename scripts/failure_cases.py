"""What `record_failures.py` records: the cases of `recordings.yaml`, and the names of their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from envfix.reading import convert, parse_yaml

DATA = Path(__file__).resolve().parents[1] / "tests" / "data" / "failures" / "real"
CASES = "recordings.yaml"
RELEASE = "550.54.15"


class Generation(Struct, frozen=True, forbid_unknown_fields=True):
    tf: str
    python: str
    accelerator: str = "gpu"
    noise: tuple[str, ...] = ()


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """`stub` sets ENVFIX_STUB_*; `kernel` is the release of the kernel module (null: none is loaded).

    `install` and `uninstall` change the environment for this case alone; `broken` names empty files that
    LD_LIBRARY_PATH leads to. `expect` and a generation's `noise` are for the tests.
    """

    name: str
    how: str
    generations: tuple[str, ...]
    programs: tuple[str, ...]
    stub: dict[str, str] = {}
    kernel: str | None = RELEASE
    driver: bool = True
    environment: dict[str, str] = {}
    install: tuple[str, ...] = ()
    uninstall: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    expect: dict[str, str] = {}


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """An install that an installer refuses, in an environment with nothing in it."""

    name: str
    how: str
    python: str
    argv: tuple[str, ...]
    expect: dict[str, str] = {}


class Recordings(Struct, frozen=True, forbid_unknown_fields=True):
    programs: dict[str, str]
    generations: dict[str, Generation]
    installs: tuple[Refusal, ...]
    cases: tuple[Case, ...]


def read(path: Path) -> Recordings:
    return convert(parse_yaml(path.read_text(), path.name), Recordings, path.name)


def pairs(recordings: Recordings, generation: str) -> Iterator[tuple[Case, str]]:
    """The cases of a generation with their programs, those that change the environment last."""
    cases = [case for case in recordings.cases if generation in case.generations]
    for case in sorted(cases, key=lambda case: bool(case.install or case.uninstall)):
        for program in case.programs:
            yield case, program


def file_name(generation: str, case: Case, program: str) -> str:
    return f"tf-{generation}-{case.name}{'' if program == 'list' else '-' + program}.log"
