"""What uv's words mean when it could not resolve: whose fault it is, in one sentence."""

from __future__ import annotations

import re

from envfix.errors import EnvfixError, IndexUnreachable, InputError, ResolutionFailed
from envfix.explanation import causes, shortened
from envfix.model.urls import redact
from envfix.ports import Ran
from envfix.resolve.unavailable import not_an_index, unanswered

_OFFLINE = re.compile(r"network (connectivity )?(is|was) disabled|not found in the cache", re.I)
_NETWORK = re.compile(r"error sending request|Request failed|Failed to fetch|HTTP status|timed out|dns error")
_STATUS = re.compile(r"HTTP status \w+ error \((\d+[^)]*)\)")
_NO_PAGE = re.compile(
    r"(Unsupported `Content-Type`|Received some unexpected (?:JSON|HTML)).*`(\S+?://[^`]+)`.*"
)
_DISK = re.compile(
    r"Failed to initialize cache|os error (?:13|28|30)\b|"
    r"Permission denied|No space left|Read-only file system"
)
_REQUEST = re.compile(
    r"Couldn't parse|Failed to parse|failed to open file|[Nn]o interpreter found|File not found|"
    r"invalid value '|Failed to read `--find-links` directory"
)
_NONE = re.compile(
    r"not found in the (package registry|provided package locations)|there (is|are) no versions? of"
)
_REFUSED = re.compile(r"An index(?: URL)? \((\S+)\) .*?\b(40[13] \w+)")


def failure(ran: Ran, limit: float, offline: bool, cache: str) -> EnvfixError:
    """The error for a `uv pip compile` that failed; `limit` in seconds, `cache` is its folder."""
    text = redact(ran.err or ran.error)
    why = shortened(text)
    if ran.timed_out:
        return IndexUnreachable(f"uv did not finish resolving within {limit:g} s")
    if _OFFLINE.search(text):
        return IndexUnreachable(
            f"{'--offline' if offline else 'UV_OFFLINE'}: uv's cache does not hold what this solution needs: "
            f"{_sentence(text)}",
            "run it once without --offline" if offline else "unset UV_OFFLINE",
        )
    if "No solution found" in text:
        return ResolutionFailed(f"no set of packages holds every requirement: {why}")
    no_page = _NO_PAGE.search(text)
    if no_page:
        return not_an_index(no_page[2], no_page[1][0].lower() + no_page[1][1:])
    if _NETWORK.search(text):
        return _network(text)
    if _REQUEST.search(text):
        return InputError(f"uv does not accept the request: {_sentence(text)}")
    if _DISK.search(text):
        return InputError(
            f"uv cannot write its cache `{cache}`: {_innermost(text).rpartition('`: ')[2]}",
            "name another folder: export UV_CACHE_DIR=/path/to/folder",
        )
    return ResolutionFailed(f"uv could not resolve: {why}")


def knows_nothing(ran: Ran) -> bool:
    """Whether uv found not one version of something it was asked for."""
    return not ran.ok and bool(_NONE.search(ran.err))


def refusal(ran: Ran) -> IndexUnreachable | None:
    """The error where uv says that an index wants other credentials, which it takes for an empty one."""
    found = _REFUSED.search(ran.err)
    return unanswered(found[1], f"HTTP {found[2]}") if found else None


def _network(text: str) -> IndexUnreachable:
    url = re.search(r"[a-z]+://[^\s`)]+", text)
    status = _STATUS.search(text)
    reason = f"HTTP {status[1]}" if status else _innermost(text)
    if "tunnel error" in text or "proxy" in text.lower():
        reason = f"{reason} (by way of the proxy)"
    return unanswered(url[0] if url else "unknown", reason)


def _sentence(text: str) -> str:
    return ": ".join(causes(text)) or "it gave no reason"


def _innermost(text: str) -> str:
    return (causes(text) or ["it gave no reason"])[-1]
