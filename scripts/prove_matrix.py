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

import datetime
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from packaging.version import Version
from proof_jobs import Job, described_machine, ended, jobs_of, read_options, release_table, shared_capability
from proof_room import GB, make_room
from proof_runs import NotInstalled, NotProven, loaded, run_envfix

from envfix.lock.pylock import read_pylock
from envfix.matrix import proofs, write
from envfix.model.machine import Machine
from envfix.model.matrix import LoaderProof, Release
from envfix.probe.interpreter import read_target
from envfix.reading import to_plain
from envfix.system.outside import RealOutside


def main() -> int:
    options = read_options(__doc__)
    machine = described_machine(options.machine)
    jobs = list(jobs_of(options))
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
        run_envfix(cache, "lock", "-o", str(lock), *asked)
        resolution = read_pylock(lock.read_text(), lock.name).resolution
        locked = {package.name: package.version for package in resolution.packages}
        pins = proofs.pins_digest(locked.items())
        if not again and proofs.is_proven(job.release, job.python, pins):
            return None
        # By the same request and not by the lock: what a lock names goes by its URLs, past uv's cache.
        made = run_envfix(cache, "install", "--yes", "--no-verify", *asked)
        python = made["data"]["python"]
        _require_installed(python, locked)
        alone, missing_alone = loaded(python, machine, loader=False)
        found, missing = loaded(python, machine, loader=True)
        return LoaderProof(
            date=datetime.date.today().isoformat(),
            python=job.python,
            registers_as_published=alone,
            registers_with_envfix=found,
            pins=pins,
            missing_as_published=missing_alone,
            missing_with_envfix=missing,
            gpu=shared_capability(machine),
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


def _said(proof: LoaderProof) -> str:
    alone = "registers" if proof.registers_as_published else "no GPU"
    missing = ", ".join(proof.missing_as_published or ()) or "nothing"
    with_envfix = "registers" if proof.registers_with_envfix else "NO GPU"
    return f"as published {alone} (missing: {missing}), with envfix {with_envfix}"


def _keep(folder: Path, release: Release, proof: LoaderProof) -> None:
    """Write the proof into its row and the table into the README, each whole or not at all."""
    table = release_table(folder)
    rows = proofs.with_proof(table.releases, release.package, release.version, proof)
    outside, readme = RealOutside(), folder / "README.md"
    outside.write_text(str(folder / "tensorflow.yaml"), write.file_text(table.date, rows))
    outside.write_text(str(readme), proofs.with_table(readme.read_text(), proofs.table(rows)))


if __name__ == "__main__":
    ended(main)
