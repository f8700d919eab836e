"""What a program that proves the matrix was asked for: releases, interpreters, a machine."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from msgspec import UNSET, structs

from envfix.errors import EnvfixError
from envfix.matrix import load, proofs
from envfix.model.machine import Machine, known
from envfix.model.matrix import Release
from envfix.model.versions import ComputeCapability, PythonRelease
from envfix.probe.machine_file import load_machine
from envfix.reading import convert, parse_yaml
from envfix.system.outside import RealOutside


class Job(NamedTuple):
    """A release to prove, and the Python and its interpreter to do it with."""

    release: Release
    python: PythonRelease
    interpreter: str


def read_options(about: str | None) -> argparse.Namespace:
    """What the program was started with; `about` is what its `--help` says first."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="in this order")
    parser.add_argument("--machine", default="colab-t4", help="whose driver and GPUs (default: %(default)s)")
    parser.add_argument(
        "--python", nargs="+", metavar="PATH", default=[sys.executable], help="interpreters to use"
    )
    parser.add_argument("--all-pythons", action="store_true", help="the named versions on all given Pythons")
    parser.add_argument("--again", action="store_true", help="also what is proven with the same pins")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "envfix-proofs")
    parser.add_argument(
        "--cache-limit", type=int, default=6, metavar="GB", help="empty it when larger (default: %(default)s)"
    )
    parser.add_argument(
        "--matrix", type=Path, default=Path(load.matrix_dir()), help="the folder to write into"
    )
    return parser.parse_args()


def jobs_of(options: argparse.Namespace) -> Iterator[Job]:
    """What is to be done, in order. Exits for a release that the matrix has not; raises OSError or
    CalledProcessError for an interpreter that does not start."""
    interpreters = {_feature(path): path for path in options.python}
    releases = release_table(options.matrix).releases
    for release, python in _asked(releases, options.versions, tuple(interpreters), options.all_pythons):
        yield Job(release, python, interpreters[python])


def described_machine(name: str) -> Machine:
    """The machine without what an interpreter that is really here says of itself. Raises InputError for a
    name that is none."""
    machine = load_machine(RealOutside(), name, f"{load.matrix_dir()}/machines")
    return structs.replace(machine, python=UNSET, glibc=UNSET, environment=UNSET)


def shared_capability(machine: Machine) -> ComputeCapability | None:
    """The compute capability of its GPUs where they are alike."""
    found = {gpu.compute_capability for gpu in known(machine.gpus, ())}
    return known(found.pop(), None) if len(found) == 1 else None


def release_table(folder: Path) -> load.ReleaseTable:
    """The releases of a matrix that lies in `folder`. Raises EnvfixError for a malformed one."""
    file = folder / "tensorflow.yaml"
    return convert(parse_yaml(file.read_text(), file.name), load.ReleaseTable, file.name)


def ended(main: Callable[[], int]) -> NoReturn:
    """Exits with the code of `main`, or with an EnvfixError in a sentence on standard error."""
    try:
        sys.exit(main())
    except EnvfixError as problem:
        print(f"error: {problem.message}", file=sys.stderr)
        sys.exit(problem.exit_code)


def _asked(
    releases: Sequence[Release], versions: Sequence[str], pythons: Sequence[PythonRelease], every: bool
) -> Iterator[tuple[Release, PythonRelease]]:
    if not versions:
        yield from proofs.to_prove(releases, pythons)
    for version in versions:
        rows = [row for row in releases if str(row.version) == version]
        if not rows:
            sys.exit(f"error: tensorflow {version} is not in the matrix")
        shared = [python for python in reversed(proofs.pythons_of(rows[0])) if python in pythons]
        if not shared:
            print(f"{version}: none of the given Pythons has a wheel", file=sys.stderr)
        for python in shared if every else shared[:1]:
            yield rows[0], python


def _feature(path: str) -> PythonRelease:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run([path, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        sys.exit(f"error: `{path}` is no Python that runs: {problem}")
    return PythonRelease(asked.stdout.strip())
