"""Load real TensorFlow wheels under the driver stub and write the proofs into `compat_matrix/`.

    python scripts/prove_matrix.py [VERSION ...] --python PATH ... [--again] [--cache DIR]

For each release and Python: the environment that envfix itself installs for the machine, the loader proof
with library discovery and without, and the environment removed again. What is proven with the same pins is
skipped, so that a run that was interrupted goes on where it was. Without VERSION: every stable release from
2.8 on, the newest three on all given Pythons, the others on the newest that they have.

One environment and one cache of wheels at a time: 14 GB of free disk, and about a minute for each. The exit
code is 1 when one could not be installed, did not come to its end or does not register.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import UNSET, structs
from packaging.version import Version
from proof_room import GB, make_room

from envfix.errors import EnvfixError
from envfix.lock.pylock import read_pylock
from envfix.matrix import load, proofs, write
from envfix.model.machine import Machine, known
from envfix.model.matrix import LoaderProof, Release
from envfix.model.outcome import Proof
from envfix.model.request import Accelerator
from envfix.model.versions import ComputeCapability, PythonRelease
from envfix.ports import Ran
from envfix.probe.interpreter import read_target
from envfix.probe.machine_file import load_machine
from envfix.reading import convert, parse_yaml, to_plain
from envfix.system.outside import RealOutside
from envfix.verify import checks, transcript
from envfix.verify.stub import build

VERIFY_SECONDS = 300.0


class NotInstalled(Exception):
    """envfix did not lock or install the release; the text is envfix's own."""


class NotProven(Exception):
    """TensorFlow's process did not come to its end, so that nothing is known; the text says how it ended."""


class Job(NamedTuple):
    release: Release
    python: PythonRelease
    interpreter: str


class Listening(RealOutside):
    """The real outside with library discovery on or off, that keeps what the last child said."""

    def __init__(self, loader: bool) -> None:
        super().__init__(quiet=True)
        self._switch = {} if loader else {"ENVFIX_LOADER": "0"}
        self.heard: Ran | None = None

    @property
    def environ(self) -> Mapping[str, str]:
        return {**super().environ, **self._switch}

    def run(self, *args: Any, **options: Any) -> Ran:
        self.heard = super().run(*args, **options)
        return self.heard


def main() -> int:
    options = _options()
    machine = _machine(options.machine)
    jobs = list(_jobs(options))
    failed = 0
    for number, job in enumerate(jobs, start=1):
        name = f"[{number}/{len(jobs)}] {job.release.version} on Python {job.python}"
        started = time.monotonic()
        make_room(options.cache, options.cache_limit * GB)
        try:
            proof = prove(job, machine, options.cache, options.again)
        except NotInstalled as problem:
            failed += 1
            print(f"{name}: not installed: {problem}", file=sys.stderr, flush=True)
            continue
        except NotProven as problem:
            failed += 1
            print(f"{name}: nothing recorded: {problem}", file=sys.stderr, flush=True)
            continue
        if proof is None:
            print(f"{name}: proven already with these pins", file=sys.stderr, flush=True)
            continue
        failed += not proof.registers_with_envfix
        _keep(options.matrix, job.release, proof)
        print(f"{name}: {_said(proof)} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    return 1 if failed else 0


def prove(job: Job, machine: Machine, cache: Path, again: bool) -> LoaderProof | None:
    """One release in an environment of its own; None when it is proven already with the same pins.

    Raises NotInstalled with envfix's message, NotProven where TensorFlow crashed or hung.
    """
    folder = Path(tempfile.mkdtemp(prefix="proof-", dir=cache))
    try:
        described, lock = folder / "machine.json", folder / "pylock.proof.toml"
        described.write_text(json.dumps(to_plain(machine)))
        asked = ["--tf", f"=={job.release.version}", "--machine", str(described), "--python", job.interpreter]
        # What the interpreter itself has installed stays out of it: both are asked of a new environment.
        asked += ["--venv", str(folder / "venv")]
        _envfix(cache, "lock", "-o", str(lock), *asked)
        resolution = read_pylock(lock.read_text(), lock.name).resolution
        locked = {package.name: package.version for package in resolution.packages}
        pins = proofs.pins_digest(locked.items())
        if not again and proofs.is_proven(job.release, job.python, pins):
            return None
        # By the same request and not by the lock: what a lock names goes by its URLs, past uv's cache.
        made = _envfix(cache, "install", "--yes", "--no-verify", *asked)
        python = made["data"]["python"]
        _require_installed(python, locked)
        alone, missing_alone = _loaded(python, machine, loader=False)
        found, missing = _loaded(python, machine, loader=True)
        return LoaderProof(
            date=datetime.date.today().isoformat(),
            python=job.python,
            registers_as_published=alone,
            registers_with_envfix=found,
            pins=pins,
            missing_as_published=missing_alone,
            missing_with_envfix=missing,
            gpu=_capability(machine),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _require_installed(python: str, locked: Mapping[str, str]) -> None:
    """Raises NotInstalled where the environment holds other versions than those the digest is of."""
    target = read_target(RealOutside(), python)
    for name, version in locked.items():
        found = target.version_of(name)
        if found is None or Version(found) != Version(version):
            raise NotInstalled(f"the lock holds {name} {version}, the environment {found}")


def _loaded(python: str, machine: Machine, *, loader: bool) -> tuple[bool, tuple[str, ...]]:
    """Whether every GPU of the machine registers, and the libraries that TensorFlow could not open.

    Raises NotProven.
    """
    outside = Listening(loader)
    stub = build.build(outside)
    verification = checks.verify(
        outside, python, accelerator=Accelerator.GPU, machine=machine, stub=stub, timeout=VERIFY_SECONDS
    )
    assert outside.heard is not None
    missing = _missing(outside.heard, loader)
    registers = verification.proof is Proof.LOADER
    if not registers and not missing:
        # Neither proven nor explained by a library: say what it was, for a proof must not be taken on trust.
        for check in verification.checks:
            if check.cause:
                print(f"  {check.name}: {check.observed}: {check.cause}", file=sys.stderr)
    return registers, missing


def _missing(ran: Ran, loader: bool) -> tuple[str, ...]:
    """The libraries that were not opened. Raises NotProven where the child did not come to its end: a crash,
    a hang or an exception would else be stored as "no GPU"."""
    heard = transcript.read(ran)
    for step, done in heard.answer.get("done", {}).items():
        if "error" in done:
            raise NotProven(f"`{step}` raised {done['error'].strip().splitlines()[0][:500]}")
    if not heard.complete or heard.ended != "exit 0":
        step = f" at `{heard.answer['doing']}`" if heard.answer.get("doing") else ""
        raise NotProven(
            f"TensorFlow {'with' if loader else 'without'} library discovery ended{step} with {heard.ended}: "
            f"{heard.cause or 'no reason given'}"
        )
    return tuple(sorted(heard.not_opened))


def _envfix(cache: Path, *argv: str) -> dict[str, Any]:
    env = {**os.environ, "UV_CACHE_DIR": str(cache / "uv")}
    done = subprocess.run(
        [sys.executable, "-m", "envfix", *argv, "--json"], capture_output=True, text=True, env=env
    )
    try:
        answer = dict(json.loads(done.stdout))
    except ValueError:
        raise NotInstalled(f"no answer from envfix: {done.stderr.strip()[-500:]}") from None
    if answer["exit_code"] != 0:
        raise NotInstalled("; ".join(problem["message"] for problem in answer["errors"]))
    return answer


def _said(proof: LoaderProof) -> str:
    alone = "registers" if proof.registers_as_published else "no GPU"
    missing = ", ".join(proof.missing_as_published or ()) or "nothing"
    with_envfix = "registers" if proof.registers_with_envfix else "NO GPU"
    return f"as published {alone} (missing: {missing}), with envfix {with_envfix}"


def _keep(folder: Path, release: Release, proof: LoaderProof) -> None:
    """Write the proof into its row and the table into the README, each whole or not at all."""
    table = _table(folder)
    rows = proofs.with_proof(table.releases, release.package, release.version, proof)
    outside, readme = RealOutside(), folder / "README.md"
    outside.write_text(str(folder / "tensorflow.yaml"), write.file_text(table.date, rows))
    outside.write_text(str(readme), proofs.with_table(readme.read_text(), proofs.table(rows)))


def _table(folder: Path) -> load.ReleaseTable:
    file = folder / "tensorflow.yaml"
    return convert(parse_yaml(file.read_text(), file.name), load.ReleaseTable, file.name)


def _machine(name: str) -> Machine:
    """The machine without what an interpreter that is really here says of itself."""
    machine = load_machine(RealOutside(), name, f"{load.matrix_dir()}/machines")
    return structs.replace(machine, python=UNSET, glibc=UNSET, environment=UNSET)


def _capability(machine: Machine) -> ComputeCapability | None:
    """Of its GPUs where they are alike."""
    found = {gpu.compute_capability for gpu in known(machine.gpus, ())}
    return known(found.pop(), None) if len(found) == 1 else None


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    interpreters = {_feature(path): path for path in options.python}
    releases = _table(options.matrix).releases
    for release, python in _asked(releases, options.versions, tuple(interpreters), options.all_pythons):
        yield Job(release, python, interpreters[python])


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
    return PythonRelease(
        subprocess.run([path, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    )


def _options(about: str | None = __doc__) -> argparse.Namespace:
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


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EnvfixError as problem:
        print(f"error: {problem.message}", file=sys.stderr)
        sys.exit(problem.exit_code)
