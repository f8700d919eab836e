"""The rows of a bench as a Markdown table, in a marked block of a file, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.ratios import Spread

BEGIN = "<!-- begin: written by scripts/bench.py --write -->"
END = "<!-- end: written by scripts/bench.py --write -->"


class Goal(NamedTuple):
    """What is held against a target, in the same unit; smaller is better."""

    value: float
    target: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.target

    def text(self) -> str:
        wanted = f"≤ {self.target:g} {self.unit}".strip()
        # One more digit where the two would look alike.
        digits = 2 if round(self.value, 2) > self.target else 3
        percent = " %" if self.unit.startswith("%") else ""
        return wanted if self.met else f"**{wanted} missed: {self.value:.{digits}f}{percent}**"


class Row(NamedTuple):
    """One comparison; `ours` and `theirs` are shown as they are, `ratio` is ours to theirs."""

    section: str
    what: str
    ours: str
    theirs: str = ""
    ratio: Spread | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        return self.goal is None or self.goal.met


def markdown(rows: Iterable[Row]) -> str:
    """A table whose cells hold no line breaks and no bars of their own."""
    lines = ["| measured | envfix | the other | ratio | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = (
            row.what,
            row.ours,
            row.theirs,
            row.ratio.text() if row.ratio else "",
            row.goal.text() if row.goal else "",
            row.note,
        )
        lines.append(f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def replaced(text: str, content: str) -> str:
    """The text with the content between the two marks. Raises ValueError where they are not there once each,
    in this order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected one line `{BEGIN}` and one `{END}` below it")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{content.strip()}\n{END}{rest.partition(END)[2]}"


def write_block(path: Path, content: str) -> None:
    """Raises OSError, and ValueError where the file has no such block."""
    path.write_text(replaced(path.read_text(encoding="utf-8"), content), encoding="utf-8")


def read_json(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """What `write_json` wrote: the facts and the rows. Raises OSError and ValueError."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    try:
        for row in facts.pop("rows"):
            goal = row["goal"] and Goal(row["goal"]["value"], row["goal"]["target"], row["goal"]["unit"])
            rows.append(Row(**{**row, "ratio": row["ratio"] and Spread(**row["ratio"]), "goal": goal}))
        return {**facts, "date": facts["date"], "versions": facts["versions"]}, rows
    except (AttributeError, KeyError, TypeError):
        raise ValueError("not what `--json` of a bench has written") from None


def write_json(path: Path, facts: dict[str, Any], rows: Sequence[Row]) -> None:
    listed = [
        {
            **row._asdict(),
            "ratio": row.ratio._asdict() if row.ratio else None,
            "goal": {**row.goal._asdict(), "met": row.met} if row.goal else None,
        }
        for row in rows
    ]
    path.write_text(
        json.dumps({**facts, "rows": listed}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
