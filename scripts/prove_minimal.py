"""Which NVIDIA wheels TensorFlow never opens, shown on the real wheels and written into `compat_matrix/`.

    python scripts/prove_minimal.py VERSION ... --python PATH [--cache DIR]

For each release, in the environment that envfix installs for the machine: a process that registers the GPU
under the driver stub and then trains on the CPU is traced (LD_DEBUG=libs); what it does not open, what no
other file names, or what TensorFlow answers for itself, is uninstalled; then the loader proof and the same
trace are made without it. A wheel that TensorFlow names functions of, and does not answer for itself, stays:
only a run on a GPU could show that they are never called.

As `prove_matrix.py` it takes one environment at a time, and some three minutes for each.
"""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import unopened
from msgspec import structs
from proof_jobs import Job, described_machine, ended, jobs_of, read_options, release_table, shared_capability
from proof_room import GB, make_room
from proof_runs import VERIFY_SECONDS, NotInstalled, NotProven, loaded, run_envfix

from envfix.lock.pylock import read_pylock
from envfix.matrix import proofs, write
from envfix.model.machine import Machine
from envfix.model.matrix import MinimalProof, Release, Spared
from envfix.model.release import Absence
from envfix.reading import to_plain
from envfix.system.outside import RealOutside
from envfix.verify import checks, loader_log
from envfix.verify.stub import build

STEP = Path(__file__).with_name("traced_step.py")


def main() -> int:
    options = read_options(__doc__)
    if not options.versions:
        sys.exit("error: name the releases to prove")
    machine = described_machine(options.machine)
    failed = 0
    for job in list(jobs_of(options)):  # a misspelt one is said before the first has run
        make_room(options.cache, options.cache_limit * GB)
        name = f"{job.release.version} on Python {job.python}"
        try:
            proof = prove(job, machine, options.cache)
        except (NotInstalled, NotProven) as problem:
            failed += 1
            print(f"{name}: nothing recorded: {problem}", file=sys.stderr, flush=True)
            continue
        _keep(options.matrix, job.release, proof)
        spared = ", ".join(one.name for one in proof.spared) or "nothing"
        print(f"{name}: can be left out: {spared}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def prove(job: Job, machine: Machine, cache: Path) -> MinimalProof:
    """One release in an environment of its own. Raises NotInstalled, or NotProven where TensorFlow does not
    register the GPU without what it seemed to do without."""
    folder = Path(tempfile.mkdtemp(prefix="minimal-", dir=cache))
    try:
        described, lock, venv = folder / "machine.json", folder / "pylock.proof.toml", folder / "venv"
        described.write_text(json.dumps(to_plain(machine)))
        asked = ["--tf", f"=={job.release.version}", "--machine", str(described), "--python", job.interpreter]
        asked += ["--venv", str(venv)]
        run_envfix(cache, "lock", "-o", str(lock), *asked)
        locked = read_pylock(lock.read_text(), lock.name).resolution.packages
        run_envfix(cache, "install", "--yes", "--no-verify", *asked)
        spared = _spared(venv, machine, cache)
        names = {one.name for one in spared}
        capability = shared_capability(machine)
        assert capability is not None
        return MinimalProof(
            date=datetime.date.today().isoformat(),
            python=job.python,
            gpu=capability,
            pins=proofs.pins_digest((one.name, one.version) for one in locked if one.name not in names),
            spared=spared,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _spared(venv: Path, machine: Machine, cache: Path) -> tuple[Spared, ...]:
    """What was left out in the end, each seen with it and without it."""
    python, site = venv / "bin" / "python", next(venv.glob("lib/python*/site-packages"))
    trace, _ = _traced(python, site, machine, ())
    found = []
    for verdict in unopened.verdicts(site, trace):
        why = verdict.needed or (
            f"TensorFlow names {len(verdict.asks)} of its functions" if verdict.asks else ""
        )
        print(f"  {verdict.wheel.name}: {why or 'nothing names it'}", file=sys.stderr, flush=True)
        if not verdict.needed:
            found.append(verdict)
    # Without all of them at once: what answers for itself now has it built in.
    _uninstall(python, [one.wheel.name for one in found])
    versions = [name for one in found for name in one.asks if name.endswith("GetVersion")]
    trace, answers = _traced(python, site, machine, versions)
    spared = []
    for verdict in found:
        asked = unopened.searched_for(verdict.wheel, trace)
        answer = next((answers[name] for name in verdict.asks if answers.get(name)), None)
        if not asked and (answer or not verdict.asks):
            spared.append(_shown(verdict, answer))
        else:
            why = f"its functions are looked for in {', '.join(asked)}" if asked else "no answer without it"
            print(f"  {verdict.wheel.name} stays: {why}", file=sys.stderr, flush=True)
    stays = [one.wheel for one in found if one.wheel.name not in {each.name for each in spared}]
    _install(python, [f"{wheel.name}=={wheel.version}" for wheel in stays], cache)
    registers, missing = loaded(str(python), machine, loader=True)
    if spared and not registers:
        raise NotProven(f"no GPU without them: {', '.join(missing) or 'no library is missing'}")
    return tuple(spared)


def _shown(verdict: unopened.Verdict, answer: int | None) -> Spared:
    name = verdict.wheel.name
    if answer is None:
        files = "no other library of the environment names its libraries or functions"
        return Spared(name=name, how=Absence.UNNAMED, evidence=f"{files}, and the trace opens none")
    function = next(one for one in verdict.asks if one.endswith("GetVersion"))
    seen = f"without it `{function}` in TensorFlow's own library answers {answer}"
    return Spared(name=name, how=Absence.BUILT_IN, evidence=f"{seen}, and no file is searched for")


def _traced(
    python: Path, site: Path, machine: Machine, functions: Sequence[str]
) -> tuple[unopened.Trace, dict[str, int | None]]:
    """What the process of `traced_step.py` opens, all NVIDIA wheels within reach of the dynamic loader alone,
    and what the functions answered. Raises NotProven where it does not come to its end with a GPU."""
    outside = RealOutside(quiet=True)
    stub, folder = build.build(outside), outside.temporary_dir()
    env = checks.environment(outside, machine, stub) | loader_log.environment(folder)
    # envfix's own library discovery would open what TensorFlow does not ask for.
    env["ENVFIX_LOADER"] = "0"
    env["LD_LIBRARY_PATH"] = ":".join([stub, *map(str, sorted(site.glob("nvidia/*/lib")))])
    ran = outside.run([str(python), str(STEP), *functions], timeout=VERIFY_SECONDS, env=env)
    lines = [line for line in ran.out.splitlines() if line.startswith("{")]
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if not answer.get("gpus") or not answer["loss"][1] < answer["loss"][0]:
        raise NotProven(f"the traced step ended with {ran.code}: {ran.err.strip()[-300:]}")
    return unopened.read_trace(Path(folder)), answer["answers"]


def _uninstall(python: Path, names: Sequence[str]) -> None:
    if names:
        _uv("pip", "uninstall", "-q", "-p", str(python), *names)


def _install(python: Path, pins: Sequence[str], cache: Path) -> None:
    if pins:
        _uv("pip", "install", "-q", "--no-deps", "-p", str(python), "--cache-dir", str(cache / "uv"), *pins)


def _uv(*argv: str) -> None:
    import uv

    done = subprocess.run([uv.find_uv_bin(), *argv], capture_output=True, text=True)
    if done.returncode:
        raise NotInstalled(done.stderr.strip()[-300:])


def _keep(folder: Path, release: Release, proof: MinimalProof) -> None:
    """Write the proof into its row."""
    table = release_table(folder)
    rows = [structs.replace(row, minimal=proof) if row.key == release.key else row for row in table.releases]
    RealOutside().write_text(str(folder / "tensorflow.yaml"), write.file_text(table.date, rows))


if __name__ == "__main__":
    ended(main)
