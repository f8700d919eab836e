"""Peak memory: the largest process of each command, beside uv's where it does the same."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.growing import DRY_RUN, write_log
from benchmarks.locking import compile_command, lock_command, requirements
from benchmarks.options import Options
from benchmarks.ratios import Spread, paired
from benchmarks.table import Row
from benchmarks.workshop import Workshop, envfix_command

SECTION = "memory"
ROUNDS = 3  # memory hardly varies


def rows(shop: Workshop, options: Options) -> list[Row]:
    wanted, log = requirements(shop), shop.folder / "10.log"
    write_log(log, 10)
    found = [
        beside(shop, "`envfix lock`", lock_command(shop), "uv pip compile", compile_command(shop, wanted)),
        alone(shop, "`envfix report --offline`", [*envfix_command(), *DRY_RUN]),
        alone(shop, "`envfix explain`, a log of 10 MB", [*envfix_command(), "explain", str(log)]),
    ]
    log.unlink()
    return found


def alone(shop: Workshop, name: str, argv: Sequence[str]) -> Row:
    shop.say(f"memory of {name} ...")
    peaks = [shop.run(argv).peak / 1e6 for _ in range(ROUNDS)]
    return Row(SECTION, f"peak memory of {name}", Spread.of(peaks).text("MB", 0))


def beside(shop: Workshop, name: str, ours: Sequence[str], other: str, theirs: Sequence[str]) -> Row:
    shop.say(f"memory of {name} beside {other} ...")
    mine, uvs = ([run.peak / 1e6 for run in runs] for runs in shop.alternately([ours, theirs], ROUNDS))
    return row(SECTION, name, mine, other, uvs)


def row(section: str, name: str, mine: Sequence[float], other: str, theirs: Sequence[float]) -> Row:
    """`mine` and `theirs` in megabytes."""
    return Row(
        section,
        f"peak memory of {name} beside `{other}`",
        Spread.of(mine).text("MB", 0),
        Spread.of(theirs).text("MB", 0),
        paired(mine, theirs),
    )
