"""A real install of one lock, cold and warm, beside uv, pip and what the network and the disk allow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks import floor, memory
from benchmarks.locking import lock_command
from benchmarks.options import Options
from benchmarks.ratios import Spread, alternately, beyond, paired
from benchmarks.table import Goal, Row
from benchmarks.workshop import Run, Workshop, envfix_command, uv_program

SECTION = "install"
RATIO_TARGET = 1.05  # of uv's time for the same lock
OVER_TARGET = 0.3  # seconds that envfix may take beyond uv
WARM_ROUNDS = 5
VERIFY_ROUNDS = 3
LOOK = "import tensorflow as tf; print(tf.config.list_physical_devices())"
COLD = {"UV_CACHE_DIR": "cold-uv", "PIP_CACHE_DIR": "cold-pip", "XDG_CACHE_HOME": "cold-cache"}


def rows(shop: Workshop, options: Options) -> list[Row]:
    shop.run(lock_command(shop))
    found = [*_cold(shop, options), *_warm(shop)]
    return [*found, *_verified(shop)]


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


def _install(shop: Workshop, commands: Sequence[Sequence[str]], cache: dict[str, str]) -> Run:
    """The commands one after another, as one run; the environment is left."""
    shop.remove("venv")
    os.sync()  # what others have written is not written out in this one's time
    runs = [shop.run(argv, env=cache) for argv in commands]
    wall, cpu = sum(run.wall for run in runs), sum(run.cpu for run in runs)
    return runs[-1]._replace(wall=wall, cpu=cpu, peak=max(run.peak for run in runs))


def _cold(shop: Workshop, options: Options) -> list[Row]:
    """With empty caches each time; pip once more with those that it has filled, and the floor."""
    cache = {name: str(shop.folder / folder) for name, folder in COLD.items()}
    warm_pip: list[Run] = []
    least: list[floor.Floor] = []

    def cold(name: str, commands: Sequence[Sequence[str]]) -> Run:
        shop.say(f"a cold install by {name}, {options.installs} rounds ...")
        shop.remove(*COLD.values())
        run = _install(shop, commands, cache)
        if name == "pip":
            shop.say("the same by pip with its cache ...")
            warm_pip.append(_install(shop, commands, cache))
        shop.remove("venv", *COLD.values())
        return run

    def bare() -> Run:
        shop.say("the same files downloaded and unpacked, and no more ...")
        least.append(floor.measure(shop))
        return Run(least[-1].seconds, 0.0, 0, 0, "", "")

    tools = {"envfix": _envfix(shop), "uv": _uv(shop), "pip": _pip(shop)}
    works: list[Callable[[], Run]] = [partial(cold, name, commands) for name, commands in tools.items()]
    mine, uvs, pips, floors = alternately([*works, bare], options.installs)
    seconds = [[run.wall for run in runs] for runs in (mine, uvs, pips, floors)]
    last = least[-1]
    what = "cold `envfix install` beside"
    return [
        _row(f"{what} `uv venv` and `uv pip install`", seconds[0], seconds[1], RATIO_TARGET),
        _row(f"{what} `python -m venv` and `pip install`", seconds[0], seconds[2]),
        _row(f"{what} the floor", seconds[0], seconds[3])._replace(note=last.text()),
        memory.row("a cold `envfix install`", _peaks(mine), "uv pip install", _peaks(uvs)),
        Row(SECTION, "`pip install` with its cache filled", "", _seconds(warm_pip)),
    ]


def _seconds(runs: Sequence[Run]) -> str:
    return Spread.of([run.wall for run in runs]).text("s", 1)


def _peaks(runs: Sequence[Run]) -> list[float]:
    return [run.peak / 1e6 for run in runs]


def _row(what: str, ours: Sequence[float], theirs: Sequence[float], target: float | None = None) -> Row:
    ratio = paired(ours, theirs)
    return Row(
        SECTION,
        what,
        Spread.of(ours).text("s", 1),
        Spread.of(theirs).text("s", 1),
        ratio,
        Goal(ratio.median, target) if target else None,
    )


def _warm(shop: Workshop) -> list[Row]:
    """From uv's own cache, which the variables name; the environment of the last one is left."""
    shop.say("uv's cache is filled ...")
    _install(shop, _uv(shop), {})
    shop.say(f"warm installs by uv and envfix, {WARM_ROUNDS} rounds ...")
    both = [partial(_install, shop, commands, {}) for commands in (_uv(shop), _envfix(shop))]
    uvs, mine = alternately(both, WARM_ROUNDS)
    ours, theirs = [run.wall for run in mine], [run.wall for run in uvs]
    over = beyond(ours, theirs)
    what = "warm `envfix install` beside `uv venv` and `uv pip install`"
    shown = _row(what, ours, theirs)._replace(
        goal=Goal(over.median, OVER_TARGET, "s more"),
        note=f"{over.text('s')} more; processor time {Spread.of([run.cpu for run in mine]).text('s')} and "
        f"{Spread.of([run.cpu for run in uvs]).text('s')}",
    )
    return [shown, memory.row("a warm `envfix install`", _peaks(mine), "uv pip install", _peaks(uvs))]


def _verified(shop: Workshop) -> list[Row]:
    """`envfix verify` in an environment that envfix has made, beside the bare look that users take."""
    if not (shop.folder / "venv").exists():
        _install(shop, _envfix(shop), {})
    python = str(shop.folder / "venv" / "bin" / "python")
    ours = [*envfix_command(), "verify", "--machine", shop.machine, "--python", python]
    works = [ours, [python, "-c", LOOK]]
    for argv in works:
        shop.run(argv)  # the driver stub is compiled, TensorFlow's byte code written
    shop.say(f"verification beside a bare look, {VERIFY_ROUNDS} rounds ...")
    mine, bare = shop.alternately(works, VERIFY_ROUNDS)
    shutil.rmtree(shop.folder / "venv")
    seconds = [run.wall for run in mine], [run.wall for run in bare]
    return [_row("`envfix verify` beside a bare `import tensorflow` and list of devices", *seconds)]
