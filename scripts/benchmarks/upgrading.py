"""An upgrade in place of 3 GB: what keeping the environment safe adds to a bare `uv pip install`."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import phases
from benchmarks.options import Options
from benchmarks.ratios import Spread, alternately, paired
from benchmarks.table import Goal, Row
from benchmarks.workshop import Run, Workshop, envfix_command, uv_program

SECTION = "upgrade"
BEFORE, AFTER = "2.20.0", "2.21.0"
KEEP_TARGET = 0.05  # of the whole
ROUNDS = 3


def rows(shop: Workshop, options: Options) -> list[Row]:
    """Each round makes an environment with the old release and upgrades it; what the new one brings is
    downloaded, as it is for a user who has not had it yet."""
    for version in (BEFORE, AFTER):
        shop.say(f"locking tensorflow {version} ...")
        shop.run([
            *envfix_command(), "lock", "--machine", shop.machine, "--python", shop.python, "--tf", version,
            "-o", str(shop.folder / "pylock.upgrade.toml"), "--requirements", str(_lock(shop, version)),
        ])  # fmt: skip
    spent: list[dict[str, list[float]]] = []
    mine, uvs = alternately([partial(_ours, shop, spent), partial(_theirs, shop)], ROUNDS)
    shop.remove("upgraded")
    return [_row(mine, uvs, spent)]


def _lock(shop: Workshop, version: str) -> Path:
    return shop.folder / f"requirements-{version}.txt"


def _bare(shop: Workshop, version: str) -> list[str]:
    python = str(shop.folder / "upgraded" / "bin" / "python")
    return [
        uv_program(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", python,
        "-r", str(_lock(shop, version)),
    ]  # fmt: skip


def _old(shop: Workshop) -> None:
    """An environment with the old release; uv's cache has nothing of what the new one replaces or brings."""
    shop.say(f"an environment with tensorflow {BEFORE} ...")
    shop.remove("upgraded")
    shop.venv("upgraded", seed=True)
    shop.run(_bare(shop, BEFORE))
    before, after = (_pins(shop, version) for version in (BEFORE, AFTER))
    shop.run([uv_program(), "cache", "clean", "--quiet", *sorted(name for name, _ in before ^ after)])
    os.sync()


def _pins(shop: Workshop, version: str) -> set[tuple[str, str]]:
    """Names and versions in the lock."""
    words = (line.split() for line in _lock(shop, version).read_text().splitlines())
    pins = (first[0].partition("==") for first in words if first)
    return {(name, pin) for name, equals, pin in pins if equals}


def _theirs(shop: Workshop) -> Run:
    _old(shop)
    shop.say(f"upgrading it to {AFTER} by uv alone ...")
    return shop.run(_bare(shop, AFTER))


def _ours(shop: Workshop, spent: list[dict[str, list[float]]]) -> Run:
    _old(shop)
    shop.say(f"upgrading it to {AFTER} by envfix ...")
    answer = shop.folder / "phases.json"
    python = str(shop.folder / "upgraded" / "bin" / "python")
    run = shop.run([
        sys.executable, phases.__file__, str(answer), "install", "--machine", shop.machine, "--tf", AFTER,
        "--python", python, "--yes", "--no-verify", "--json",
    ])  # fmt: skip
    spent.append(json.loads(answer.read_text()))
    return run


def _row(mine: Sequence[Run], uvs: Sequence[Run], spent: Sequence[dict[str, list[float]]]) -> Row:
    ours, theirs = [run.wall for run in mine], [run.wall for run in uvs]
    medians = {name: statistics.median(one[name][0] for one in spent) for name in spent[0]}
    share = medians[phases.KEEP] / statistics.median(ours)
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in medians.items())
    return Row(
        SECTION,
        f"`envfix install --tf {AFTER}` over {BEFORE} in place, downloading it, beside `uv pip install`",
        Spread.of(ours).text("s"),
        Spread.of(theirs).text("s"),
        paired(ours, theirs),
        Goal(share * 100, KEEP_TARGET * 100, "% for keeping what was there"),
        f"seconds: {parts}",
    )
