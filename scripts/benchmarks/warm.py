"""A real install from uv's filled cache, beside the tools that envfix runs for it, and its verification."""

from __future__ import annotations

from functools import partial

from benchmarks import memory
from benchmarks.installing import beside, install, peaks
from benchmarks.locking import compile_command, requirements
from benchmarks.options import Options
from benchmarks.ratios import Spread, alternately, beyond
from benchmarks.table import Goal, Row
from benchmarks.workshop import Workshop, envfix_command, uv_program

SECTION = "warm"
OVER_TARGET = 0.3  # seconds that envfix may take beyond its tools
ROUNDS = 5
VERIFY_ROUNDS = 3
LOOK = "import tensorflow as tf; print(tf.config.list_physical_devices())"


def rows(shop: Workshop, options: Options) -> list[Row]:
    """Resolving and installing into a new environment, both ways; the first of each fills the caches."""
    works = [partial(install, shop, commands, {}) for commands in (_tools(shop), _envfix(shop))]
    for work in works:
        shop.say("uv's cache is filled ...")
        work()
    shop.say(f"warm installs by envfix and by its tools alone, {ROUNDS} rounds ...")
    tools, mine = alternately(works, ROUNDS)
    ours, theirs = [run.wall for run in mine], [run.wall for run in tools]
    cpu = [Spread.of([run.cpu for run in runs]).text("s") for runs in (mine, tools)]
    over = beyond(ours, theirs)
    what = "warm `envfix install` beside `uv venv`, `uv pip compile` and `uv pip install`"
    found = beside(SECTION, what, ours, theirs)._replace(
        goal=Goal(over.median, OVER_TARGET, "s more"),
        note=f"{over.text('s')} more; processor time {cpu[0]} and {cpu[1]}",
    )
    peak = memory.row(SECTION, "a warm `envfix install`", peaks(mine), "uv pip install", peaks(tools))
    return [found, peak, _verified(shop)]


def _envfix(shop: Workshop) -> list[list[str]]:
    return [[
        *envfix_command(), "install", "--machine", shop.machine, "--venv", str(shop.folder / "venv"),
        "--python", shop.python, "--yes", "--no-verify",
    ]]  # fmt: skip


def _tools(shop: Workshop) -> list[list[str]]:
    """Pins and hashes, which uv finds in its cache again: a lock's URL it may fetch anew (0.13.9)."""
    python, wanted = str(shop.folder / "venv" / "bin" / "python"), requirements(shop)
    pins = ["--no-deps", "--require-hashes", "-r", str(shop.folder / "requirements.txt")]
    return [
        [uv_program(), "venv", "--quiet", "--seed", "--python", shop.python, str(shop.folder / "venv")],
        compile_command(shop, wanted),
        [uv_program(), "pip", "install", "--quiet", "--python", python, *pins],
    ]


def _verified(shop: Workshop) -> Row:
    """`envfix verify` in an environment that envfix has made, beside the bare look that users take."""
    install(shop, _envfix(shop), {})
    python = str(shop.folder / "venv" / "bin" / "python")
    ours = [*envfix_command(), "verify", "--machine", shop.machine, "--python", python]
    works = [ours, [python, "-c", LOOK]]
    for argv in works:
        shop.run(argv)  # the driver stub is compiled, TensorFlow's byte code written
    shop.say(f"verification beside a bare look, {VERIFY_ROUNDS} rounds ...")
    mine, bare = shop.alternately(works, VERIFY_ROUNDS)
    shop.remove("venv")
    seconds = [run.wall for run in mine], [run.wall for run in bare]
    return beside(SECTION, "`envfix verify` beside a bare `import tensorflow` and list of devices", *seconds)
