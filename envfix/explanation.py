"""What uv, pip and pip-tools printed when they failed, shortened to what matters to the user."""

from __future__ import annotations

import re

from envfix.model.urls import redact
from envfix.ports import Ran

LINES = 8
CHARACTERS = 900
# uv's own frame around its explanation, and pip's and pip-tools' noise.
_NOISE = re.compile(
    r"^(error: No solution found.*|Traceback \(most recent.*|  File .*|WARNING: .*|\[notice\].*|INFO: .*|"
    r"\s*-*\^+-*\s*|Looking in .*|For more information, try .*)$"
)
_FRAME = re.compile("^\\s*(error|ERROR|cause|Caused by|╰─▶|├─▶|\N{MULTIPLICATION SIGN})(:|\\s)\\s*")
_FAILS = re.compile("(?m)^\\s*(error:|ERROR:|\N{MULTIPLICATION SIGN} )")
_UV_MISMATCH = re.compile(
    r"Hash mismatch for `(?P<pin>[^`]+)`\s+Expected:\s+(?P<wanted>(?:\w+:\w+\s+)+)"
    r"Computed:\s+sha256:(?P<found>\w+)"
)
_PIP_MISMATCH = re.compile(
    r"(?P<pin>\S+) from .*:\n\s+Expected (?P<wanted>sha256 \w+(?:\n\s+Expected\s+or \w+)*)\n"
    r"\s+Got\s+(?P<found>\w+)"
)


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


def causes(text: str) -> list[str]:
    """From the outermost to the innermost, without the system's numbers for them and the tool's advice."""
    lines = [line for line in explained(text) if not line.startswith("hint:")]
    return [re.sub(r" \(os error \d+\)( at path .*)?$", "", line).rstrip(".") for line in lines]


def why_failed(ran: Ran) -> str:
    """The last words of an installer in one sentence, without credentials; where they went to the terminal,
    its exit code."""
    if ran.error:
        return ran.error
    text = redact(ran.err or ran.out)
    mismatch = _UV_MISMATCH.search(text) or _PIP_MISMATCH.search(text)
    if mismatch:
        wanted = re.findall(r"[0-9a-f]{64}", mismatch["wanted"])
        one_of = f" or {len(wanted) - 1} other" if len(wanted) > 1 else ""
        return (
            f"the file of `{mismatch['pin']}` has another hash than the locked one: needs SHA-256 "
            f"{wanted[0] if wanted else 'of the lock'}{one_of}, found {mismatch['found']}"
        )
    fails = _FAILS.search(text)
    lines = causes(text[fails.start() :]) if fails else causes(text)[-3:]
    if not lines:
        code = ran.code or 0
        return f"ended by signal {-code}" if code < 0 else f"exit {ran.code}, its message is above"
    said = ": ".join(line.rstrip(":") for line in lines)
    return said if len(said) <= CHARACTERS else said[:CHARACTERS].rsplit(" ", 1)[0] + " ..."
