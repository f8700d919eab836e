"""How much of a server's answer is read, and how slowly it may come.

An index page is read before anything is known of it: one without an end, or a gigabyte of zeros in a megabyte
of gzip, must neither fill the memory nor hold envfix for hours. `requests` bounds only each wait for bytes.
"""

from __future__ import annotations

import re
import time
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from envfix.errors import IndexUnreachable
from envfix.model.urls import redact
from envfix.resolve.unavailable import not_an_index

# Bytes, unpacked. The largest page of the public index is that of a package with a release for every night,
# below 10 MiB; HTML takes thirty times its size while it is parsed.
LARGEST_PAGE = 32 << 20
LARGEST_HTML = 8 << 20
# A transfer that is slower than this after so many seconds is given up; every wait has a limit of its own.
SLOWEST, PATIENCE = 10_000, 60.0
_CHUNK = 1 << 16
_LONG_WORD = re.compile(rb"[^\s\"'<>,]{4096}")


class Paced:
    """A body that must not come slower than SLOWEST; all else is that of the body."""

    def __init__(self, body: Any, url: str) -> None:
        self._body = body
        self._url = url
        self._began = time.monotonic()
        self._taken = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def read(self, amount: int | None = None, *, decode_content: bool = False) -> bytes:
        """Up to `amount` bytes, fewer only at the end. Raises IndexUnreachable for one that is too slow."""
        parts: list[bytes] = []
        left = amount
        while left is None or left > 0:
            part = self._some(_CHUNK if left is None else min(left, _CHUNK), decode_content)
            if not part:
                break
            parts.append(part)
            left = None if left is None else left - len(part)
        return b"".join(parts)

    def _some(self, amount: int, decode_content: bool) -> bytes:
        """What is there now: `read` waits until all of it has come, however slowly."""
        at_once = getattr(self._body, "read1", None)  # urllib3 from 2.1 on
        read, most = (at_once, amount) if at_once else (self._body.read, min(amount, 1 << 10))
        try:
            part: bytes = read(most, decode_content=decode_content)
        except HTTPError as problem:
            raise requests.ConnectionError(problem) from None
        self._taken += len(part)
        passed = time.monotonic() - self._began
        if part and passed > PATIENCE and self._taken < passed * SLOWEST:
            raise IndexUnreachable(
                f"`{redact(self._url)}` came with less than {SLOWEST // 1000} kB a second for {passed:.0f} s",
                "try again, or name another index in pip's `index-url`",
            )
        return part


def bound(answer: requests.Response, *_: object, stream: bool = False, **__: object) -> requests.Response:
    """The answer with its body read as far as it may be; with `stream`, one that is read later, and paced.

    A hook of `requests`, which otherwise reads every body to its end. Raises IndexUnreachable.
    """
    if answer.is_redirect or answer.status_code >= 400:
        # Nobody reads these, and the connection with what is left of the body is closed.
        answer._content, answer._content_consumed = b"", True  # type: ignore[attr-defined]
        answer.raw.close()
        return answer
    answer.raw = Paced(answer.raw, answer.url)
    if not stream:
        limit = LARGEST_HTML if "html" in answer.headers.get("Content-Type", "") else LARGEST_PAGE
        answer._content = _readable(answer, read_at_most(answer, limit, decode=True))
        answer._content_consumed = True  # type: ignore[attr-defined]
    return answer


def _readable(answer: requests.Response, body: bytes) -> bytes:
    """The body; what reads file names takes the square of their length in time."""
    if _LONG_WORD.search(body):
        raise not_an_index(answer.url, "it has a word of more than 4 kB")
    return body


def read_at_most(answer: requests.Response, limit: int, *, decode: bool = False) -> bytes:
    """The body of at most `limit` bytes. Raises IndexUnreachable for a longer one."""
    body = answer.raw.read(limit + 1, decode_content=decode)
    answer.raw.close()
    if len(body) > limit:
        raise IndexUnreachable(
            f"`{redact(answer.url)}` answered with more than {limit >> 20} MiB",
            "check pip's `index-url`: `pip config debug` shows where it is set",
        )
    data: bytes = body
    return data
