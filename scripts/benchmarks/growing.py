"""How time grows with the matrix, with what is installed and with a log, on synthesised ones."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from packaging.version import Version

from benchmarks.options import Options
from benchmarks.ratios import Spread, alternately, growth
from benchmarks.table import Goal, Row
from benchmarks.workshop import Run, Workshop, envfix_command

SECTION = "growth"
LINEAR = 1.5  # what one more may cost at the end, in terms of one more at the start
NEARLY = 0.1  # so far from 1 is linear
NOTE = (
    "Where something grows, the times are processor time, one for each size. Linear is where one more "
    "release, package or megabyte costs as much at the largest sizes as at the smallest; the target allows "
    f"{LINEAR:g} times as much."
)
TIMES = (1, 10, 100)
PACKAGES = (0, 500, 2000)
MEGABYTES = (0.1, 1, 10, 50)
ROUNDS = 3
DRY_RUN = ("report", "--offline", "--machine", "colab-t4")
# Run by this Python: envfix with the matrix of another folder.
WITH_MATRIX = """\
import sys
from envfix.matrix import load
folder = sys.argv.pop(1)
load.matrix_dir = lambda: folder
from envfix.cli import entry
entry()
"""
CAUSE = (
    "2026-11-23 12:00:00.000000: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2343] Cannot dlopen some "
    "GPU libraries. Please make sure the missing libraries mentioned above are installed properly if you "
    "would like to use GPU.\nSkipping registering GPU devices...\n"
)


def rows(shop: Workshop, options: Options) -> list[Row]:
    return [_releases(shop), _packages(shop), _logs(shop)]


def _releases(shop: Workshop) -> Row:
    from envfix.matrix import load

    source, counts, commands = Path(load.matrix_dir()), [], []
    for times in TIMES:
        folder = shop.folder / f"matrix-{times}"
        counts.append(write_matrix(source, folder, times))
        argv = [sys.executable, "-c", WITH_MATRIX, str(folder), *DRY_RUN]
        cache = {"XDG_CACHE_HOME": f"{folder}-cache"}
        shop.say(f"the first report with {counts[-1]} releases ...")
        shop.run(argv, env=cache)
        commands.append(partial(shop.run, argv, env=cache))
    found = _row(shop, "`report --offline` as the matrix grows: {} releases", counts, commands)
    shop.remove(*(f"matrix-{times}{end}" for times in TIMES for end in ("", "-cache")))
    return found


def _packages(shop: Workshop) -> Row:
    commands = []
    for count in PACKAGES:
        name = f"packages-{count}"
        python = shop.venv(name) / "python"
        write_packages(next((shop.folder / name / "lib").glob("python*/site-packages")), count)
        argv = [*envfix_command(), *DRY_RUN, "--python", str(python)]
        shop.run(argv)
        commands.append(partial(shop.run, argv))
    found = _row(shop, "`report --offline` as more is installed: {} packages", PACKAGES, commands)
    shop.remove(*(f"packages-{count}" for count in PACKAGES))
    return found


def _logs(shop: Workshop) -> Row:
    commands = []
    for size in MEGABYTES:
        path = shop.folder / f"{size}.log"
        write_log(path, size)
        argv = [*envfix_command(), "explain", str(path)]
        commands.append(partial(shop.run, argv))
    found = _row(shop, "`explain` as the log grows: {} MB", MEGABYTES, commands)
    for size in MEGABYTES:
        (shop.folder / f"{size}.log").unlink()
    return found


def _row(shop: Workshop, what: str, sizes: Sequence[float], commands: Sequence[Callable[[], Run]]) -> Row:
    """Processor time at each size, and whether it grows faster than the size does."""
    shown = ", ".join(f"{size:g}" for size in sizes)
    shop.say(f"{what.format(shown)}, {ROUNDS} rounds ...")
    took = [Spread.of([run.cpu for run in runs]).median for runs in alternately(commands, ROUNDS)]
    more, goal, how = growth(sizes, took), None, "the start is too short to be measured"
    if more is not None:
        goal, how = Goal(more, LINEAR, "times linear"), growth_text(more)
    return Row(
        SECTION,
        what.format(shown),
        ", ".join(f"{seconds:.2f}" for seconds in took) + " s",
        goal=goal,
        note=how,
    )


def growth_text(more: float) -> str:
    """In words what `ratios.growth` came to."""
    if abs(more - 1) <= NEARLY:
        return "grows linearly"
    if more < 1:
        return "grows more slowly than linearly"
    return f"grows {more:.1f} times as fast as linearly"


def write_matrix(source: Path, folder: Path, times: int) -> int:
    """A copy of the matrix with `times` as many releases, under numbers that nobody has published, each
    beside the one that it is a copy of; how many there are then."""
    shutil.copytree(source, folder)
    path = folder / "tensorflow.yaml"
    head, *blocks = re.split(r"(?m)^(?=- version: )", path.read_text(encoding="utf-8"))
    rows: list[tuple[Version, str]] = []
    for block in blocks:
        first, _, rest = block.partition("\n")
        version = first.removeprefix("- version: ").strip("'\"")
        rows.append((Version(version), block))
        if not Version(version).is_postrelease:
            copies = (f"{version}.{number}" for number in range(1, times))
            rows += [(Version(copy), f"- version: {copy}\n{rest}") for copy in copies]
    rows.sort(key=lambda row: row[0])
    path.write_text(head + "".join(block for _, block in rows), encoding="utf-8")
    return len(rows)


def write_packages(site: Path, count: int) -> None:
    """The metadata of `count` packages of which each needs up to three others, and numpy."""
    for at in range(count):
        folder = site / f"pkg_{at}-1.{at}.0.dist-info"
        folder.mkdir()
        needs = [f"pkg-{at // by}>=1.0" for by in (2, 3, 5) if at >= by]
        lines = ["Metadata-Version: 2.1", f"Name: pkg-{at}", f"Version: 1.{at}.0", "Requires-Python: >=3.7"]
        lines += [f"Requires-Dist: {need}" for need in (*needs, "numpy<3,>=1.20", "pytest; extra == 'test'")]
        text = "\n".join(lines) + "\n\n" + "A line of a long description.\n" * 150
        (folder / "METADATA").write_text(text)
        (folder / "INSTALLER").write_text("pip\n")
        (folder / "RECORD").write_text(f"{folder.name}/METADATA,,\n{folder.name}/RECORD,,\n")


def write_log(path: Path, megabytes: float) -> None:
    """A training's log with one cause of a missing GPU in its middle."""
    wanted, written, number = megabytes * 1e6, 0, 0
    with path.open("w", encoding="utf-8") as file:
        said = False
        while written < wanted:
            if not said and written >= wanted / 2:
                written += file.write(CAUSE)
                said = True
            second = f"{number // 60 % 60:02d}:{number % 60:02d}"
            written += file.write(f"2026-11-23 11:{second} I step {number}: loss={7 / (number + 1):.6f} ok\n")
            number += 1
