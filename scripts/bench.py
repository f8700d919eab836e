"""Measure envfix beside the tools it stands on, as ratios in one run.

    python scripts/bench.py                    start-up, probe, decisions, offline report, lock
    python scripts/bench.py --install 2        also a cold install against uv's of the same lock, two rounds
                                               (each downloads 3 GB twice)

Times on a shared machine are noise; what is compared runs alternately in the same minutes, each first as
often as the other, and the median counts. uv is given the same indexes as envfix reads from pip's
configuration. The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ENVFIX = (sys.executable, "-m", "envfix")


class Row(NamedTuple):
    """One line of the table: `value` and `target` in the same unit, smaller is better."""

    name: str
    value: float
    target: float
    unit: str
    detail: str

    @property
    def met(self) -> bool:
        return self.value <= self.target


def seconds(argv: Sequence[str], env: dict[str, str] | None = None, ok: tuple[int, ...] = (0,)) -> float:
    """Wall time of one run in seconds; the output is kept back, and a wrong exit code ends the bench."""
    # Installed packages have their byte code; a setting that keeps it back would time the compiler.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, env={**own, **(env or {})}, text=True)
    took = time.perf_counter() - start
    if done.returncode not in ok:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return took


def alternate(first: Callable[[], float], second: Callable[[], float], times: int) -> tuple[float, float]:
    """The medians of both, run side by side `times` times, each first in every other round."""
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(times):
        for which in (0, 1) if number % 2 else (1, 0):
            took[which].append((first, second)[which]())
    return statistics.median(took[0]), statistics.median(took[1])


def start_up(times: int) -> Row:
    script = shutil.which("envfix", path=str(Path(sys.executable).parent)) or shutil.which("envfix")
    if script is None:
        sys.exit("the `envfix` command is not installed beside this Python")
    ours, bare = alternate(
        lambda: seconds([script, "--help"]), lambda: seconds([sys.executable, "-c", "pass"]), times
    )
    return Row(
        "envfix --help / python -c pass", ours / bare, 3.0, "x", f"{ours * 1000:.0f} / {bare * 1000:.0f} ms"
    )


def command(name: str, argv: Sequence[str], target: float, times: int, ok: tuple[int, ...] = (0,)) -> Row:
    """A command's work: processor time with its children's, less a bare Python's; wall time beside it."""
    runs = [(work_of([*ENVFIX, *argv], ok), work_of([sys.executable, "-c", "pass"])) for _ in range(times)]
    ours, bare, wall = (
        statistics.median(column)
        for column in zip(*((mine[0], theirs[0], mine[1]) for mine, theirs in runs), strict=True)
    )
    return Row(name, ours - bare, target, "s", f"{wall:.2f} s of wall time on a machine that others share")


def within(times: int) -> list[Row]:
    """The least processor time of what every decision does, inside one process."""
    from packaging.specifiers import SpecifierSet

    from envfix.matrix import change, load, rank
    from envfix.model.request import Accelerator, Request, TensorFlowRequest
    from envfix.probe.machine_file import load_machine
    from envfix.system.outside import RealOutside

    outside, folder = RealOutside(), load.matrix_dir()
    read = least(lambda: load.load(outside, folder), times)
    rows = [Row("reading the matrix", read, 0.15, "s", "as it is kept from an earlier run")]
    matrix = load.load(outside, folder)
    request = Request(tf=TensorFlowRequest(specifier=SpecifierSet(), text=""), accelerator=Accelerator.GPU)
    for name in ("h100-535", "k80-470", "gh200", "windows-rtx-3060", "kaggle-p100"):
        facts = load_machine(outside, name, f"{folder}/machines")
        decision = rank.decide(matrix, facts, request)
        asked = rank.ask(matrix, facts, request)
        took = least(lambda d=decision, a=asked: change.for_newer(matrix, d, a), times)
        rows.append(Row(f"what newer releases take on {name}", took, 0.1, "s", ""))
    return rows


def least(work: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def work_of(argv: Sequence[str], ok: tuple[int, ...] = (0,)) -> tuple[float, float]:
    """Processor and wall seconds of one run and all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = seconds(argv, ok=ok)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def lock(times: int, work: Path) -> Row:
    """`envfix lock` against `uv pip compile --generate-hashes` of what it asks the resolver for."""
    machine = ["--machine", "colab-t4"]
    locked = work / "pylock.envfix.toml"
    argv = [*ENVFIX, "lock", *machine, "-o", str(locked)]
    seconds(argv)
    wanted = work / "wanted.in"
    wanted.write_text("\n".join(_requirements(locked)) + "\n")
    uv = [
        uv_program(), "pip", "compile", "--generate-hashes", "--quiet", "--python",
        sys.executable,
        "--python-version", "3.12",
        "--python-platform", "x86_64-manylinux_2_35", "-o", str(work / "uv.txt"), str(wanted),
    ]  # fmt: skip
    indexes = own_indexes()
    ours, theirs = alternate(lambda: seconds(argv), lambda: seconds(uv, indexes), times)
    return Row(
        "envfix lock / uv pip compile --generate-hashes",
        ours / theirs,
        1.5,
        "x",
        f"{ours:.2f} / {theirs:.2f} s",
    )


def install(work: Path, rounds: int) -> Row:
    """A cold `envfix install --no-verify` against `uv venv --seed && uv pip install` of the same lock."""
    machine, locked = work / "t4.yaml", work / "pylock.envfix.toml"
    feature = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine.write_text(
        "driver: {release: 550.54.15, cuda: 12.4}\n"
        "gpus: [{name: Tesla T4, compute_capability: 7.5, memory_mib: 15360}]\n"
        f"os: linux\narch: x86_64\nglibc: 2.35\npython: {feature}\ncpu_flags: [avx]\n"
    )
    seconds([*ENVFIX, "lock", "--machine", str(machine), "-o", str(locked)])
    venv, indexes = work / "venv", own_indexes()
    python = str(venv / "bin" / "python")
    theirs = [
        [uv_program(), "venv", "--quiet", "--seed", "--python", sys.executable, str(venv)],
        [uv_program(), "pip", "install", "--quiet", "--python", python, "-r", str(locked)],
    ]
    ours = [[
        *ENVFIX, "install", "--machine", "colab-t4", "--lock", str(locked), "--venv", str(venv),
        "--python", sys.executable, "--yes", "--no-verify",
    ]]  # fmt: skip

    def cold(argv_lists: Sequence[Sequence[str]]) -> float:
        cache = {"UV_CACHE_DIR": str(work / "uv"), "XDG_CACHE_HOME": str(work / "cache")}
        took = sum(seconds(argv, {**indexes, **cache}) for argv in argv_lists)
        for folder in (venv, work / "uv", work / "cache"):
            shutil.rmtree(folder, ignore_errors=True)
        return took

    mine, uvs = alternate(lambda: cold(ours), lambda: cold(theirs), rounds)
    detail = f"{mine:.1f} / {uvs:.1f} s, {rounds} rounds"
    return Row("envfix install / uv pip install, cold", mine / uvs, 1.1, "x", detail)


def own_indexes() -> dict[str, str]:
    """uv's environment with the indexes that envfix takes from pip's configuration."""
    from envfix.installers import uv_environment
    from envfix.resolve.pip_config import read_pip_config
    from envfix.system.outside import RealOutside

    outside = RealOutside()
    return uv_environment(outside.environ, read_pip_config(outside, None))


def _requirements(locked: Path) -> list[str]:
    from envfix.reading import parse_toml

    return list(parse_toml(locked.read_text(), str(locked))["tool"]["envfix"]["requirements"])


def uv_program() -> str:
    import uv

    return str(uv.find_uv_bin())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--install", type=int, default=0, metavar="ROUNDS", help="also the cold install, 6 GB a round"
    )
    parser.add_argument("--offline", action="store_true", help="only what needs no network")
    parser.add_argument("--times", type=int, default=9)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="envfix-bench-"))
    try:
        rows = [
            start_up(options.times * 3),
            command("envfix probe, work", ["probe", "--json"], 0.3, options.times),
            command(
                "envfix report --offline",
                ["report", "--offline", "--machine", "colab-t4"],
                0.5,
                options.times,
            ),
            *within(options.times),
        ]
        if not options.offline:
            rows.append(lock(max(3, options.times // 2), work))
        if options.install:
            rows.append(install(work, options.install))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("| measured | value | target | |\n|---|---|---|---|")
    for row in rows:
        mark = "met" if row.met else "MISSED"
        value, target = f"{row.value:.2f} {row.unit}", f"{row.target:g} {row.unit}"
        print(f"| {row.name} | {value} | <= {target} | {mark}: {row.detail} |")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
