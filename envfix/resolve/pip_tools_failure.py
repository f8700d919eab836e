"""What the words of pip-tools and pip mean when they fail: whose fault it is, in one sentence."""

from __future__ import annotations

import re

from envfix.errors import EnvfixError, IndexUnreachable, InputError, ResolutionFailed
from envfix.explanation import shortened
from envfix.model.urls import redact
from envfix.ports import Ran
from envfix.resolve.unavailable import unanswered

_STATUS = re.compile(r"\b(5\d\d) Server Error: ([^:\n]*?) for url")
_BROKEN = re.compile(
    r"IncompleteRead|Connection broken|Read timed out|\b5\d\d Server Error|"
    r"ConnectionError|ProxyError|SSLError"
)
# Innermost in what urllib3 prints: the system's words, or its own.
_WORDS = re.compile(
    r"\[Errno -?\d+\] ([^'\")\n]+)|(certificate verify failed)|(Read timed out)|"
    r"(Connection broken|IncompleteRead)"
)


def failure(ran: Ran, limit: float, offline: bool) -> EnvfixError:
    """The error for a `pip-compile` that failed; `limit` in seconds."""
    text = redact(ran.err or ran.error)
    why = shortened(reason(redact(ran.out), text))
    if ran.timed_out:
        return ResolutionFailed(f"pip-tools did not finish within {limit:g} s", "--resolver uv is faster")
    if "No such option" in text or "requires pip" in text.lower():
        return InputError(f"this pip-tools is too old: {why}", "pip install --upgrade pip pip-tools")
    if "Invalid requirement" in text or "Could not open requirements file" in text:
        return InputError(f"pip-tools does not accept the request: {why}")
    if _BROKEN.search(text):
        return _network(text, why, offline)
    return ResolutionFailed(f"no set of packages holds every requirement: {why}")


def reason(out: str, err: str) -> str:
    """pip's explanation: its conflict and its errors; else the message of the exception that ended it."""
    conflict = re.search(r"The conflict is caused by:\n(.*?)\n\s*To fix this", out, re.S)
    lines = [line.strip() for line in (conflict[1] if conflict else "").splitlines()]
    lines += [line.strip() for line in err.splitlines() if line.strip().startswith(("ERROR:", "Error:"))]
    if not lines:
        last = [line for line in err.splitlines() if line and not line[0].isspace()][-1:]
        lines = [re.sub(r"^[\w.]+(?:Exception|Found): ", "", line) for line in last]
    return "\n".join(lines)


def _network(text: str, why: str, offline: bool) -> IndexUnreachable:
    url = re.search(r"https?://[^\s'\"()]+", text)
    if offline:
        what = f"`{url[0]}`" if url else "a file"
        return IndexUnreachable(
            f"--offline: the solution needs {what}, which is not on this machine", "--resolver uv has a cache"
        )
    host = re.search(r"host='([^']+)', port=(\d+)", text)
    status, words = _STATUS.search(text), _WORDS.search(text)
    said = f"HTTP {status[1]} {status[2]}" if status else next(filter(None, words.groups())) if words else why
    if "ProxyError" in text:
        said = f"{said.strip()} (by way of the proxy)"
    return unanswered(url[0] if url else f"//{host[1]}:{host[2]}" if host else "unknown", said.strip())
