"""Locking the same requirements: `envfix lock` beside the resolvers that users would run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.options import Options
from benchmarks.ratios import Spread, beyond, paired
from benchmarks.table import Goal, Row
from benchmarks.workshop import Run, Workshop, envfix_command, uv_program

SECTION = "lock"
OVER_TARGET = 0.3  # seconds that envfix may take beyond its resolver
SLOW = 30.0  # seconds; what takes longer is measured once


def rows(shop: Workshop, options: Options) -> list[Row]:
    """Every resolver has its caches filled by a run that does not count."""
    envfix, wanted = lock_command(shop), requirements(shop)
    pip = shop.venv("resolvers", "pip>=25.1", "pip-tools")
    others = {
        "uv pip compile": compile_command(shop, wanted),
        "pip-compile": [
            str(pip / "pip-compile"), "--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras",
            "-o", str(shop.folder / "pip-tools.txt"), wanted,
        ],
        "pip lock": [
            str(pip / "pip"), "lock", "--quiet", "-r", wanted, "-o", str(shop.folder / "pylock.pip.toml"),
        ],
    }  # fmt: skip
    cached = {"PIP_CACHE_DIR": str(shop.folder / "pip-cache")}
    found = []
    for name, argv in others.items():
        shop.say(f"{name} for the first time, at most {options.patience / 60:g} minutes ...")
        first = shop.run(argv, env=cached, limit=options.patience)
        few = 1 if first.over or first.wall > SLOW else max(3, options.rounds // 2)
        shop.say(f"envfix lock beside {name}, {few} rounds ...")

        if first.over:
            mine, runs = [shop.run(envfix)], [first]
        else:
            mine, runs = shop.alternately([envfix, argv], few, env=cached)
        found.append(_row(name, mine, runs, options))
        for path in ("pip-tools.txt", "pylock.pip.toml", "uv.txt"):
            (shop.folder / path).unlink(missing_ok=True)
    shop.remove("resolvers", "pip-cache")
    return found


def _row(name: str, mine: Sequence[Run], theirs: Sequence[Run], options: Options) -> Row:
    ours = [run.wall for run in mine]
    what = f"`envfix lock` beside `{name}`"
    if theirs[0].over:
        return Row(SECTION, what, Spread.of(ours).text("s"), f"over {options.patience / 60:g} min")
    others = [run.wall for run in theirs]
    over = beyond(ours, others)
    goal = Goal(over.median, OVER_TARGET, "s more") if name.startswith("uv") else None
    return Row(
        SECTION,
        what,
        Spread.of(ours).text("s"),
        Spread.of(others).text("s"),
        paired(ours, others),
        goal,
        f"{over.text('s')} more" if goal else "",
    )


def lock_command(shop: Workshop) -> list[str]:
    """`envfix lock` for the bench's machine into `pylock.envfix.toml` and `requirements.txt`."""
    return [
        *envfix_command(), "lock", "--machine", shop.machine, "--python", shop.python,
        "-o", str(locked(shop)), "--requirements", str(shop.folder / "requirements.txt"),
    ]  # fmt: skip


def locked(shop: Workshop) -> Path:
    return shop.folder / "pylock.envfix.toml"


def compile_command(shop: Workshop, wanted: str) -> list[str]:
    return [
        uv_program(), "pip", "compile", "--generate-hashes", "--quiet", "--python", shop.python,
        "--python-platform", "x86_64-manylinux_2_35", "-o", str(shop.folder / "uv.txt"), wanted,
    ]  # fmt: skip


def requirements(shop: Workshop) -> str:
    """The file of what envfix asks its resolver for, as it says in the lock that it has made."""
    from envfix.reading import parse_toml

    shop.say("envfix lock for the first time ...")
    shop.run(lock_command(shop))
    path = shop.folder / "pylock.envfix.toml"
    asked = parse_toml(path.read_text(), str(path))["tool"]["envfix"]["requirements"]
    (shop.folder / "wanted.in").write_text("\n".join(asked) + "\n")
    return str(shop.folder / "wanted.in")
