"""Start-up (`--help`), detection (`envfix probe`) and the dry run, beside other programs of the kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.options import Options
from benchmarks.ratios import Spread, paired
from benchmarks.table import Goal, Row
from benchmarks.workshop import Run, Workshop, envfix_command, uv_program

SECTION = "start"
REPORT_TARGET = 0.25  # seconds
TELLING = re.compile(
    r"(?i)\b(driver|gpu|devices?)\b.*\b(no|not|none|unknown|absent)\b|\bno\b.*\b(driver|gpu)\b"
)


class Tool(NamedTuple):
    """Another program: `detect` are the words of its command that says what the machine is, from its own
    `--help`; None where it has none."""

    name: str
    detect: tuple[str, ...] | None


TOOLS = (
    Tool("env-doctor", ("check",)),
    Tool("rigsolve", ("detect",)),
    Tool("cuda-doctor", ("diagnose",)),
    Tool("uv", None),
)
_SILENT = [tool.name for tool in TOOLS if not tool.detect]
NOTE = f"`{'`, `'.join(_SILENT)}` has no command that looks for a driver or GPU: its start alone is compared."


def rows(shop: Workshop, options: Options) -> list[Row]:
    programs = {"uv": uv_program()}
    for tool in TOOLS:
        if tool.name not in programs:
            programs[tool.name] = str(shop.venv(tool.name, tool.name) / tool.name)
    found = [
        *_beside(shop, options, ["--help"], {tool.name: [programs[tool.name], "--help"] for tool in TOOLS}),
        *_beside(
            shop,
            options,
            ["probe"],
            {tool.name: [programs[tool.name], *tool.detect] for tool in TOOLS if tool.detect},
        ),
        *_reports(shop, options),
    ]
    shop.remove(*programs)
    return found


def _beside(
    shop: Workshop, options: Options, words: Sequence[str], others: dict[str, list[str]]
) -> list[Row]:
    """One row for each of the others, from the same rounds."""
    commands = [[*envfix_command(), *words], *others.values()]
    for argv in commands:
        shop.run(argv, ok=None)  # what is made at the first start is not of every start
    shop.say(f"envfix {' '.join(words)} beside {', '.join(others)}, {options.rounds} rounds ...")
    mine, *theirs = shop.alternately(commands, options.rounds, ok=None)
    return [
        Row(
            SECTION,
            f"`envfix {' '.join(words)}` beside `{' '.join([name, *argv[1:]])}`",
            _milliseconds(mine),
            _milliseconds(runs),
            paired([run.wall for run in mine], [run.wall for run in runs]),
            note="" if words == ["--help"] else _said(runs[-1]),
        )
        for (name, argv), runs in zip(others.items(), theirs, strict=True)
    ]


def _milliseconds(runs: Sequence[Run]) -> str:
    return f"{Spread.of([run.wall for run in runs]).median * 1000:.0f} ms"


def _said(run: Run) -> str:
    """The line in which it says what it found of driver and GPU, and how it ended where not with 0."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", run.out)
    line = next((line for line in plain.splitlines() if TELLING.search(line)), "nothing of a driver or GPU")
    ended = f" (exit {run.code})" if run.code else ""
    return f"says: {' '.join(re.sub(r'[^ -~]', ' ', line).split())[:60]}{ended}"


def _reports(shop: Workshop, options: Options) -> list[Row]:
    """The dry run against its target: the least of the rounds, for others' work only ever adds to it."""
    found = []
    for words in (["report", "--offline"], ["report", "--offline", "--machine", "colab-t4"]):
        shop.run([*envfix_command(), *words], ok=(0, 3))
        shop.say(f"envfix {' '.join(words)} beside python -c pass, {options.rounds} rounds ...")
        commands = [[*envfix_command(), *words], [shop.python, "-c", "pass"]]
        mine, bare = shop.alternately(commands, options.rounds, ok=(0, 3))
        least = min(run.wall for run in mine)
        found.append(
            Row(
                SECTION,
                f"`envfix {' '.join(words)}` beside `python -c pass`",
                _milliseconds(mine),
                _milliseconds(bare),
                paired([run.wall for run in mine], [run.wall for run in bare]),
                Goal(least, REPORT_TARGET, "s"),
                f"the least of {options.rounds} rounds: {least:.2f} s",
            )
        )
    return found
