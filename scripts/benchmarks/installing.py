"""A real install of one lock with empty caches, beside uv, pip and what the network and the disk allow."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks import floor, memory
from benchmarks.locking import lock_command
from benchmarks.options import Options
from benchmarks.ratios import Spread, alternately, paired
from benchmarks.table import Goal, Row
from benchmarks.workshop import Run, Workshop, envfix_command, uv_program

SECTION = "cold"
RATIO_TARGET = 1.05  # of uv's time for the same lock
PAIRS = 3  # rounds with uv for each with pip: one alone is off by 5 % as often as not
COLD = {"UV_CACHE_DIR": "cold-uv", "PIP_CACHE_DIR": "cold-pip", "XDG_CACHE_HOME": "cold-cache"}


def _envfix(shop: Workshop) -> list[list[str]]:
    return [[
        *envfix_command(), "install", "--machine", shop.machine, "--venv", str(shop.folder / "venv"),
        "--lock", str(shop.folder / "pylock.envfix.toml"), "--python", shop.python, "--yes", "--no-verify",
    ]]  # fmt: skip


def _uv(shop: Workshop) -> list[list[str]]:
    """With pip in it as envfix's environments have it."""
    venv, locked = shop.folder / "venv", shop.folder / "pylock.envfix.toml"
    return [
        [uv_program(), "venv", "--quiet", "--seed", "--python", shop.python, str(venv)],
        [uv_program(), "pip", "install", "--quiet", "--python", str(venv / "bin/python"), "-r", str(locked)],
    ]


def _pip(shop: Workshop) -> list[list[str]]:
    venv = shop.folder / "venv"
    options = ["--quiet", "--no-deps", "--require-hashes", "-r", str(shop.folder / "requirements.txt")]
    return [[shop.python, "-m", "venv", str(venv)], [str(venv / "bin/pip"), "install", *options]]


def install(shop: Workshop, commands: Sequence[Sequence[str]], cache: dict[str, str]) -> Run:
    """The commands one after another, as one run; the environment is left."""
    shop.remove("venv")
    os.sync()  # what others have written is not written out in this one's time
    runs = [shop.run(argv, env=cache) for argv in commands]
    wall, cpu = sum(run.wall for run in runs), sum(run.cpu for run in runs)
    return runs[-1]._replace(wall=wall, cpu=cpu, peak=max(run.peak for run in runs))


def rows(shop: Workshop, options: Options) -> list[Row]:
    """With empty caches each time; pip once more with those that it has filled, and the floor."""
    shop.run(lock_command(shop))
    cache = {name: str(shop.folder / folder) for name, folder in COLD.items()}
    warm_pip: list[Run] = []
    least: list[floor.Floor] = []

    def cold(name: str, commands: Sequence[Sequence[str]]) -> Run:
        shop.say(f"a cold install by {name} ...")
        shop.remove(*COLD.values())
        run = install(shop, commands, cache)
        if name == "pip":
            shop.say("the same by pip with its cache ...")
            warm_pip.append(install(shop, commands, cache))
        shop.remove("venv", *COLD.values())
        return run

    def bare() -> Run:
        shop.say("the same files downloaded and unpacked, and no more ...")
        least.append(floor.measure(shop))
        return Run(least[-1].seconds, 0.0, 0, 0, "", "")

    tools = {"envfix": _envfix(shop), "uv": _uv(shop), "pip": _pip(shop)}
    works: list[Callable[[], Run]] = [partial(cold, name, commands) for name, commands in tools.items()]
    mine, uvs = alternately(works[:2], PAIRS * options.installs)
    pips, floors = alternately([*works[2:], bare], options.installs)
    seconds = [[run.wall for run in runs] for runs in (mine, uvs, pips, floors)]
    near = seconds[0][-options.installs :]
    last = least[-1]
    what = "cold `envfix install` beside"
    return [
        beside(SECTION, f"{what} `uv venv` and `uv pip install`", seconds[0], seconds[1], RATIO_TARGET),
        beside(SECTION, f"{what} `python -m venv` and `pip install`", near, seconds[2]),
        beside(SECTION, f"{what} the floor", near, seconds[3])._replace(note=last.text()),
        memory.row(SECTION, "a cold `envfix install`", peaks(mine), "uv pip install", peaks(uvs)),
        Row(SECTION, "`pip install` with its cache filled", "", _seconds(warm_pip)),
    ]


def _seconds(runs: Sequence[Run]) -> str:
    return Spread.of([run.wall for run in runs]).text("s", 1)


def peaks(runs: Sequence[Run]) -> list[float]:
    return [run.peak / 1e6 for run in runs]


def beside(
    section: str, what: str, ours: Sequence[float], theirs: Sequence[float], target: float | None = None
) -> Row:
    ratio = paired(ours, theirs)
    return Row(
        section,
        what,
        Spread.of(ours).text("s", 1),
        Spread.of(theirs).text("s", 1),
        ratio,
        Goal(ratio.median, target) if target else None,
    )
