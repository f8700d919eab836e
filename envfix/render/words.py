"""Numbers and columns as text."""

from __future__ import annotations

from collections.abc import Sequence

from envfix.model.decision import Verdict


def size(count: int | None) -> str:
    """Bytes in decimal units, as installers print them; `?` where they are not known."""
    if count is None:
        return "?"
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def reason(verdict: Verdict) -> str:
    """`driver: needs driver >= 525.60.13, found 470.82.01`."""
    return f"{verdict.rule}: {verdict.reason}"


def one_line(text: str) -> str:
    """The text without line breaks: a name in a file must not look like a line of ours."""
    return " ".join(text.split())


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with their columns aligned; the last one is left as it is."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]
