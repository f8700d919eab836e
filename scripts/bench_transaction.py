"""Measure what keeping an environment safe adds to a real change of 3 GB, in one run.

    python scripts/bench_transaction.py                   two rounds from uv's warm cache
    python scripts/bench_transaction.py --cold            uv's cache is empty each time (3 GB twice a round)
    python scripts/bench_transaction.py --dropped         the files are not in the page cache (needs root)

Each round makes an environment with TensorFlow 2.20.0 and its CUDA wheels, then upgrades it to 2.21.0 in
place, once by `envfix install --no-verify` and once by a bare `uv pip install` of the same locked files, each
first in every other round. What is printed are medians: wall and processor seconds (of envfix and its
children) of each phase, and its part of the whole.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEFORE, AFTER = "2.20.0", "2.21.0"
TARGET = 0.05  # of the whole: what keeping the files may take
FETCH, KEEP, INSTALL, CHECK, COMMIT, SPACE = "fetch", "keep", "install", "content check", "commit", "space"
WHOLE = "whole"
REST = "start, deciding, planning"


class Phases:
    """Wall and processor seconds of each phase, less those of the phases inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._inner = [[0.0, 0.0]]

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = _clocks()
        self._inner.append([0.0, 0.0])
        try:
            yield
        finally:
            took = [now - then for now, then in zip(_clocks(), start, strict=True)]
            within = self._inner.pop()
            for which in (0, 1):
                self.spent[name][which] += took[which] - within[which]
                self._inner[-1][which] += took[which]

    def wrap(self, owner: Any, method: str, name: str) -> None:
        work = getattr(owner, method)

        @functools.wraps(work)
        def timed(*args: Any, **more: Any) -> Any:
            with self.phase(name):
                return work(*args, **more)

        setattr(owner, method, timed)


def _clocks() -> tuple[float, float]:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


def child(answer: str, argv: list[str]) -> int:
    """envfix in this process with its phases timed; what they took is written to the file `answer`."""
    from envfix.cli import main as envfix
    from envfix.install.commands import UvInstaller
    from envfix.install.transaction.change import Transaction

    phases, kept = Phases(), {"linked": 0, "copied": 0, "files": 0, "links": 0}
    phases.wrap(UvInstaller, "fetch", FETCH)
    phases.wrap(UvInstaller, "install", INSTALL)
    phases.wrap(UvInstaller, "uninstall", INSTALL)
    phases.wrap(Transaction, "copied_bytes", SPACE)
    phases.wrap(Transaction, "begin", KEEP)
    phases.wrap(Transaction, "_check", CHECK)
    phases.wrap(Transaction, "finish", COMMIT)
    begin = Transaction.begin

    def counted(self: Transaction, *args: Any, **more: Any) -> None:
        begin(self, *args, **more)
        assert self.keeper is not None
        ways = [place[0] for place in self.keeper.places.values()]
        kept.update(files=len(ways), copied=self.keeper.taken, links=ways.count("link"))
        folder = Path(self.keeper.folder)
        links = (place[1] for place in self.keeper.places.values() if place[0] == "link")
        kept["linked"] = sum((folder / name).stat().st_size for name in links)

    Transaction.begin = counted  # type: ignore[method-assign]
    code = 0
    with phases.phase(WHOLE):
        try:
            code = int(envfix(argv) or 0)
        except SystemExit as ended:
            code = int(ended.code or 0)
    rows = dict(phases.spent)
    Path(answer).write_text(json.dumps({"phases": rows, "kept": kept}))
    return code


class Bench:
    """The environments, the locks and the two ways to change one."""

    def __init__(self, work: Path, python: str, *, cold: bool, dropped: bool) -> None:
        from bench import own_indexes, uv_program

        self.work, self.python, self.cold, self.dropped = work, python, cold, dropped
        self.uv, self.indexes, self.venv = uv_program(), own_indexes(), work / "venv"
        self.machine = work / "t4.yaml"
        feature = self._run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
        self.machine.write_text(
            "driver: {release: 550.54.15, cuda: 12.4}\n"
            "gpus: [{name: Tesla T4, compute_capability: 7.5, memory_mib: 15360}]\n"
            f"os: linux\narch: x86_64\nglibc: 2.35\npython: {feature}\ncpu_flags: [avx]\n"
        )
        for version in (BEFORE, AFTER):
            self._run([
                sys.executable, "-m", "envfix", "lock", "--machine", str(self.machine), "--tf", version,
                "-o", str(work / "pylock.envfix.toml"), "--requirements", self._lock(version),
            ])  # fmt: skip

    def _lock(self, version: str) -> str:
        return str(self.work / f"requirements-{version}.txt")

    def _run(self, argv: list[str], cache: Path | None = None) -> str:
        own = {"UV_CACHE_DIR": str(cache)} if cache else {}
        done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **self.indexes, **own})
        if done.returncode:
            sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    @contextlib.contextmanager
    def old(self) -> Iterator[Path | None]:
        """An environment with the old TensorFlow, and the cache that the change may use."""
        self._run([self.uv, "venv", "--quiet", "--seed", "--python", self.python, str(self.venv)])
        self._run(self._bare(BEFORE))
        cache = self.work / "uv" if self.cold else None
        os.sync()
        if self.dropped:
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
        try:
            yield cache
        finally:
            for folder in (self.venv, self.work / "uv"):
                shutil.rmtree(folder, ignore_errors=True)

    def _bare(self, version: str) -> list[str]:
        python = str(self.venv / "bin/python")
        return [
            self.uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", python,
            "-r", self._lock(version),
        ]  # fmt: skip

    def theirs(self) -> dict[str, Any]:
        with self.old() as cache:
            start = _clocks()
            self._run(self._bare(AFTER), cache)
            took = [now - then for now, then in zip(_clocks(), start, strict=True)]
        return {"phases": {WHOLE: took}}

    def ours(self) -> dict[str, Any]:
        answer = self.work / "answer.json"
        argv = [
            sys.executable, __file__, "--child", str(answer), "--", "install", "--machine", str(self.machine),
            "--tf", AFTER, "--python", str(self.venv / "bin/python"), "--yes", "--no-verify", "--json",
        ]  # fmt: skip
        with self.old() as cache:
            start = _clocks()
            self._run(argv, cache)
            took = [now - then for now, then in zip(_clocks(), start, strict=True)]
            found: dict[str, Any] = json.loads(answer.read_text())
        inside = [sum(column) for column in zip(*found["phases"].values(), strict=True)]
        own = found["phases"].pop(WHOLE)
        found["phases"][REST] = [
            all_of_it - phases + mine for all_of_it, phases, mine in zip(took, inside, own, strict=True)
        ]
        found["phases"][WHOLE] = took
        return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cold", action="store_true", help="with an empty cache of uv's")
    parser.add_argument("--dropped", action="store_true", help="with nothing in the page cache")
    parser.add_argument("--python", default=sys.executable, help="of the environments")
    parser.add_argument(
        "--in", dest="folder", help="where the environments are made: uv's cache's filesystem"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("argv", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.argv)
    work = Path(tempfile.mkdtemp(prefix="envfix-bench-", dir=options.folder))
    try:
        bench = Bench(work, options.python, cold=options.cold, dropped=options.dropped)
        runs: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
        for number in range(options.rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                runs[which].append((bench.ours, bench.theirs)[which]())
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return _print(*runs)


def _print(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> int:
    def median(runs: list[dict[str, Any]], name: str) -> list[float]:
        rows = [run["phases"].get(name, [0.0, 0.0]) for run in runs]
        return [statistics.median(column) for column in zip(*rows, strict=True)]

    whole, bare = median(ours, WHOLE), median(theirs, WHOLE)
    print("| phase | wall s | CPU s | of the whole |\n|---|---|---|---|")
    for name in (FETCH, SPACE, KEEP, INSTALL, CHECK, COMMIT, REST, WHOLE):
        wall, cpu = median(ours, name)
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {100 * wall / whole[0]:.1f} % |")
    print(f"| bare `uv pip install` | {bare[0]:.2f} | {bare[1]:.2f} | {100 * bare[0] / whole[0]:.1f} % |")
    kept = ours[-1]["kept"]
    print(
        f"kept: {kept['files']} files, {kept['links']} by a link ({kept['linked'] / 1e9:.2f} GB), "
        f"{kept['copied'] / 1e6:.1f} MB copied"
    )
    share = median(ours, KEEP)[0] / whole[0]
    print(f"keeping: {100 * share:.1f} % of the install, target <= {100 * TARGET:g} %")
    return 0 if share <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
