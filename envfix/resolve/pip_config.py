"""What pip would be told: its configuration files and PIP_* variables, read in pip's own order.

The order is pip's (documentation, "Configuration", "Precedence"): the file that PIP_CONFIG_FILE names is
read first and overridden by the global, the user's and the environment's own; section [global] is overridden
by [install], and both by variables. A list is replaced, not joined.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable, Iterator

from envfix.errors import InputError
from envfix.model.target import PipConfig
from envfix.ports import Outside
from envfix.resolve.places import file_place, index_place, is_remote, links_place

_ALIASES = {"pypi-url": "index-url", "default-timeout": "timeout"}
_SECTIONS = ("global", "install")
_TRUE = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE = frozenset({"n", "no", "f", "false", "off", "0"})


def read_pip_config(outside: Outside, target_prefix: str | None) -> PipConfig:
    """The settings about indexes that `pip install` would use in the environment at `target_prefix`.

    Raises InputError with file and line for a file that is no INI file, and with the place for a value of
    the wrong kind, a URL that is none, and a folder or file that is not there.
    """
    found: dict[str, tuple[str, str]] = {}
    merged: dict[tuple[str, str], tuple[str, str]] = {}
    for path in _files(outside, target_prefix):
        merged.update(_read(outside, path))
    for section in _SECTIONS:
        found.update({key: pair for (where, key), pair in merged.items() if where == section and pair[0]})
    for name, value in outside.environ.items():
        if name.startswith("PIP_") and value:
            found[_key(name[4:])] = (value, name)
    return _config(outside, found)


def _files(outside: Outside, target_prefix: str | None) -> Iterator[str]:
    environ = outside.environ
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return
    if own:
        yield own
    windows = os.name == "nt"
    name = "pip.ini" if windows else "pip.conf"
    home = environ.get("USERPROFILE" if windows else "HOME") or os.path.expanduser("~")  # noqa: PTH111
    if windows:
        yield f"{environ.get('PROGRAMDATA', 'C:/ProgramData')}/pip/{name}"
    else:
        for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
            yield f"{folder}/pip/{name}"
        yield "/Library/Application Support/pip/pip.conf"
        yield f"/etc/{name}"
    # pip leaves the user's files out when PIP_CONFIG_FILE names a file that is there.
    if not (own and outside.exists(own)):
        yield f"{home}/{'pip' if windows else '.pip'}/{name}"
        yield f"{_user_folder(outside, home, windows)}/pip/{name}"
    if target_prefix:
        yield f"{target_prefix}/{name}"


def _user_folder(outside: Outside, home: str, windows: bool) -> str:
    if windows:
        return outside.environ.get("APPDATA") or f"{home}/AppData/Roaming"
    mac = f"{home}/Library/Application Support"
    if outside.is_dir(f"{mac}/pip"):
        return mac
    return outside.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"


def _read(outside: Outside, path: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(section, key) to the value and its place; empty where there is no file or it may not be read."""
    if not outside.exists(path):
        return {}
    try:
        text = outside.read_text(path)
    except OSError as problem:
        raise InputError(f"{path}: pip's configuration cannot be read: {problem.strerror}") from None
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, path)
    except configparser.MissingSectionHeaderError as problem:
        raise InputError(
            f"{path}:{problem.lineno}: not a pip configuration: no section such as `[global]`"
        ) from None
    except configparser.ParsingError as problem:
        line = problem.errors[0][0] if problem.errors else 1
        raise InputError(f"{path}:{line}: not a pip configuration: expected `key = value`") from None
    except (configparser.DuplicateOptionError, configparser.DuplicateSectionError) as problem:
        what = getattr(problem, "option", None) or f"[{problem.section}]"
        raise InputError(f"{path}:{problem.lineno}: not a pip configuration: `{what}` stands twice") from None
    return {
        (section, _key(key)): (value, f"{path}: [{section}] {key}")
        for section in parser.sections()
        for key, value in parser.items(section)
    }


def _key(name: str) -> str:
    key = name.lower().replace("_", "-")
    key = key.removeprefix("--")
    return _ALIASES.get(key, key)


def _config(outside: Outside, found: dict[str, tuple[str, str]]) -> PipConfig:
    def one(key: str) -> str | None:
        return found[key][0].strip() if key in found else None

    def several(key: str) -> tuple[str, ...]:
        return tuple(found[key][0].split()) if key in found else ()

    def places(key: str, check: Callable[[Outside, str, str], str]) -> tuple[str, ...]:
        return tuple(check(outside, found[key][1], value) for value in several(key))

    def file(key: str) -> str | None:
        value = one(key)
        return file_place(outside, found[key][1], value) if value else None

    index = one("index-url")
    return PipConfig(
        index_url=index_place(outside, found["index-url"][1], index) if index else None,
        extra_index_urls=places("extra-index-url", index_place),
        find_links=places("find-links", links_place),
        trusted_hosts=several("trusted-host"),
        constraints=places("constraint", _constraint),
        no_index=_flag(found.get("no-index")),
        cert=file("cert"),
        client_cert=file("client-cert"),
        proxy=one("proxy"),
        timeout=_seconds(found.get("timeout")),
    )


def _constraint(outside: Outside, setting: str, value: str) -> str:
    return value if is_remote(value) else file_place(outside, setting, value)


def _flag(found: tuple[str, str] | None) -> bool:
    if found is None:
        return False
    value, place = found
    if value.strip().lower() not in _TRUE | _FALSE:
        raise InputError(f"{place}: expected a boolean such as `yes` or `no`, found `{value}`")
    return value.strip().lower() in _TRUE


def _seconds(found: tuple[str, str] | None) -> float | None:
    if found is None:
        return None
    value, place = found
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise InputError(f"{place}: expected a number of seconds, found `{value}`")
    return seconds
