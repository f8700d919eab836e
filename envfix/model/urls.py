"""URLs without the secrets that users put in them: an index URL often holds `user:token@`."""

from __future__ import annotations

import re

# The last `@` before the path ends the user information (RFC 3986, 3.2.1), also when a token holds one.
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s?#]*)\?[^\s#]*")
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s?#]*@")
# One slash is left of the two where a URL was taken for a path; a drive (`C:/`) has one letter.
_PATH_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:/)[^/\s?#]*@")


def redact(text: str) -> str:
    """`text` with the user information and query of every URL in it shown as `****`, for messages."""
    return _QUERY.sub(r"\1?****", _PATH_USER.sub(r"\1****@", _USER.sub(r"\1****@", text)))


def without_credentials(url: str) -> str:
    """`url` without user information and query, for locks: the installer has them from the user."""
    return _QUERY.sub(r"\1", _USER.sub(r"\1", url))
