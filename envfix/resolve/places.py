"""Whether the places that a setting names can be asked at all, before any program is started with them.

uv takes an index folder that is not there, or a word that is no URL, for an index without a single project,
and pip leaves it out with a warning: the user would read that TensorFlow does not exist.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from envfix.errors import InputError
from envfix.model.urls import redact
from envfix.ports import Outside

_NETWORK = ("http", "https")


def index_place(outside: Outside, setting: str, value: str) -> str:
    """The URL of an index; a path, which pip takes too, as a `file:` URL.

    Raises InputError that names the setting and the value for what is no URL of http, https or file, and for
    a folder that is not there.
    """
    if _scheme(value):
        _check_url(outside, setting, value, "folder")
        return value
    path = absolute(value)
    if not outside.is_dir(path):
        _refuse(setting, "a URL or a folder that is there", value)
    return PurePath(path).as_uri()


def links_place(outside: Outside, setting: str, value: str) -> str:
    """A page's URL, or an absolute path; raises InputError as `index_place` does."""
    if _scheme(value):
        _check_url(outside, setting, value, "folder or file")
        return value
    return file_place(outside, setting, value, "a URL, or a folder or file that is there")


def file_place(outside: Outside, setting: str, value: str, wanted: str = "a file that is there") -> str:
    """The absolute path of a file; raises InputError for one that is not there."""
    path = path_of(_split(setting, value).path) if _scheme(value) == "file" else absolute(value)
    if not outside.exists(path):
        _refuse(setting, wanted, value)
    return path


def is_remote(place: str) -> bool:
    """Whether asking the place needs the network."""
    return _scheme(place) not in ("", "file")


def path_of(url_path: str) -> str:
    """The path of a `file:` URL, from the part behind the host."""
    path = unquote(url_path)
    return path.lstrip("/") if os.name == "nt" else path


def absolute(path: str) -> str:
    """The path as this process sees it: the resolvers run elsewhere."""
    return os.path.abspath(PurePath(os.path.expanduser(path)))  # noqa: PTH100, PTH111


def _scheme(value: str) -> str:
    """In lower case; empty for a path, a Windows drive included."""
    before, colon, after = value.partition(":")
    return before.lower() if colon and len(before) > 1 and (after[:2] == "//" or before == "file") else ""


def _check_url(outside: Outside, setting: str, value: str, kind: str) -> None:
    parts = _split(setting, value)
    scheme = parts.scheme.lower()
    if scheme == "file":
        path = path_of(parts.path)
        if not (outside.is_dir(path) or (kind != "folder" and outside.exists(path))):
            _refuse(setting, f"a {kind} that is there", value)
    elif scheme not in _NETWORK:
        _refuse(setting, "a URL of http, https or file", value)


def _split(setting: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        # Reading the port checks it.
        if parts.scheme.lower() in _NETWORK and (parts.port == 0 or not parts.hostname):
            raise ValueError
    except ValueError:
        _refuse(setting, "a URL with a host, and a number where it has a port", value)
    return parts


def _refuse(setting: str, wanted: str, value: str) -> NoReturn:
    # Without `//` the user information is not to be told from a path: it goes as well.
    shown = redact(value) if "://" in value else f"****@{value.rpartition('@')[2]}" if "@" in value else value
    variable = setting.isupper() and setting.isidentifier()
    hint = f"unset {setting}" if variable else f"correct it there, or set PIP_{_name(setting)} to another"
    raise InputError(f"{setting}: expected {wanted}, found `{shown}`", hint)


def _name(setting: str) -> str:
    """`/etc/pip.conf: [global] index-url` → `INDEX_URL`."""
    return setting.rpartition(" ")[2].upper().replace("-", "_")
