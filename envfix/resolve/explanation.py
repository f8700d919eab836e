"""What a resolver printed when it failed, shortened to what matters to the user."""

from __future__ import annotations

import re

LINES = 8
CHARACTERS = 900
# uv's own frame around its explanation, and pip's and pip-tools' noise.
_NOISE = re.compile(
    r"^(error: No solution found.*|Traceback \(most recent.*|  File .*|WARNING: .*|\[notice\].*|INFO: .*|"
    r"\s*-*\^+-*\s*|Looking in .*|For more information, try .*)$"
)
_FRAME = re.compile("^\\s*(error|ERROR|cause|Caused by|╰─▶|├─▶|\N{MULTIPLICATION SIGN})(:|\\s)\\s*")


def shortened(text: str) -> str:
    """The explanation in at most a few lines, without frames, blank lines and advice about other tools."""
    lines = explained(text)
    kept = "\n".join(lines[:LINES]) if lines else "it gave no reason"
    if len(kept) > CHARACTERS:
        return kept[:CHARACTERS].rsplit(" ", 1)[0] + " ..."
    return kept + (" ..." if len(lines) > LINES else "")


def explained(text: str) -> list[str]:
    """The lines that explain, each once, the innermost cause last, then a `hint:` where there is one."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.strip() or _NOISE.match(line):
            continue
        line = _FRAME.sub("", line).strip()
        if line and line not in lines:
            lines.append(line)
    return lines
