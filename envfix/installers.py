"""How uv and pip are found, and how the user's pip configuration is handed to each of them.

uv does not read pip's files. Values go through the environment and not the command line, where every user
of the machine could read the credentials of an index URL; what the user says to uv itself (UV_*) wins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from envfix.errors import InputError
from envfix.model.target import PipConfig
from envfix.ports import Outside

_PIP_INDEX_OPTIONS = (
    "INDEX_URL",
    "PYPI_URL",
    "EXTRA_INDEX_URL",
    "FIND_LINKS",
    "TRUSTED_HOST",
    "CONSTRAINT",
    "NO_INDEX",
    "CERT",
    "CLIENT_CERT",
    "PROXY",
    "TIMEOUT",
    "DEFAULT_TIMEOUT",
    "REQUIRE_VIRTUALENV",
    "UPLOADED_PRIOR_TO",
)
# These send packages elsewhere than into the target.
_REDIRECTING = ("USER", "TARGET", "PREFIX", "ROOT", "DRY_RUN", "PYTHON")
# These lead uv back into a folder whose settings are about a project of its own, or make it take files that
# are not what their hash, their name or their directory says.
_UNDOING = (
    *("WORKING_DIR", "WORKING_DIRECTORY", "PROJECT"),
    *("NO_VERIFY_HASHES", "INSECURE_NO_ZIP_VALIDATION", "SKIP_WHEEL_FILENAME_CHECK"),
)

# The port of the discard service (RFC 863).
_NOWHERE = "http://127.0.0.1:9"
_UV_INDEXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL")
# What may be a path, and what separates several (uv's documentation, "Environment variables").
_UV_PLACES = {
    **dict.fromkeys(("UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_INDEX_URL"), None),
    **dict.fromkeys(("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_CONSTRAINT", "UV_OVERRIDE"), " "),
    "UV_BUILD_CONSTRAINT": " ",
    "UV_FIND_LINKS": ",",
}


def uv_binary(outside: Outside) -> str:
    """The path of uv: the one installed with envfix, else PATH's. Raises InputError when there is none."""
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = outside.which("uv")
    if found is None:
        raise InputError("needs the program `uv`, found none beside envfix or on PATH", "pip install uv")
    return found


def uv_folder(outside: Outside) -> str:
    """A new folder to run uv in, with settings of its own: none.

    uv takes the `uv.toml` or `pyproject.toml` that is nearest above the folder it runs in (its documentation,
    "Configuration files"), and above a temporary folder anybody may write one. The user's own file and the
    system's are read all the same.
    """
    folder = outside.temporary_dir()
    without_settings(outside, folder)
    return folder


def without_settings(outside: Outside, folder: str) -> None:
    """Let uv find settings in the folder itself: none. Raises OSError where it cannot be written."""
    outside.write_text(f"{folder}/uv.toml", "", lasting=False)


def uv_environment(environ: Mapping[str, str], config: PipConfig) -> dict[str, str]:
    """The environment in which uv sees the same indexes as pip does.

    uv runs in a folder of its own, so the paths in its variables are made absolute.
    """
    dropped = {f"UV_{name}" for name in (*_REDIRECTING, *_UNDOING, "SYSTEM_PYTHON")}
    env = {name: value for name, value in environ.items() if name not in dropped}
    for name, separator in _UV_PLACES.items():
        if env.get(name):
            env[name] = (separator or "").join(map(_from_anywhere, _parts(env[name], separator)))
    if config.index_url and not (env.get("UV_INDEX_URL") or env.get("UV_DEFAULT_INDEX")):
        env["UV_INDEX_URL"] = config.index_url
    extra = config.extra_index_urls
    if extra and not any(env.get(name) for name in _UV_INDEXES):
        # uv takes a version from the first index that has it, even where only a later one has it for this
        # Python; pip merges them. The main index, the fullest, therefore goes first. What uv calls the
        # default is no more than the last one it asks.
        *others, last = extra
        extra = (env.pop("UV_INDEX_URL", "") or _default_index(), *others)
        env["UV_DEFAULT_INDEX"] = last
    _join(env, "UV_EXTRA_INDEX_URL", " ", extra)
    _join(env, "UV_FIND_LINKS", ",", config.find_links)
    _join(env, "UV_INSECURE_HOST", " ", config.trusted_hosts)
    # To pip several indexes are one: the best version wins, wherever it is.
    env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    if config.cert:
        env["SSL_CERT_FILE"] = config.cert
    if config.client_cert:
        env["SSL_CLIENT_CERT"] = config.client_cert
    if config.proxy:
        proxy = config.proxy if "://" in config.proxy else f"http://{config.proxy}"
        env.update({name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")})
    if config.timeout is not None:
        env.setdefault("UV_HTTP_TIMEOUT", str(max(1, round(config.timeout))))
    # envfix names the interpreter, which the first two would contradict, and reads what uv says, which uv
    # breaks into lines of COLUMNS.
    for name in ("UV_SYSTEM_PYTHON", "UV_PYTHON", "UV_REQUIRE_HASHES", "UV_NO_PROGRESS", "COLUMNS"):
        env.pop(name, None)
    return env


def uv_install_environment(outside: Outside, config: PipConfig) -> dict[str, str]:
    """`uv_environment` for installing from a lock: caps are for resolving, and its pins have passed them."""
    env = uv_environment(outside.environ, config)
    env.setdefault("UV_PREVIEW_FEATURES", "pylock")  # else uv warns that reading locks is new
    drop_absent_constraints(outside, env)
    for name in ("UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE_NEWER"):
        env.pop(name, None)
    return env


def absent_constraints(outside: Outside) -> tuple[tuple[str, str], ...]:
    """Variable and value of each constraints file that uv is told of and that is not there, at which it would
    stop.

    It binds nothing, and an image may have set them: github.com/googlecolab/colabtools/issues/5237.
    """
    return tuple(
        (name, place)
        for name, place in uv_settings(outside.environ, "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT")
        if "://" not in place and not outside.exists(_from_anywhere(place))
    )


def drop_absent_constraints(outside: Outside, env: dict[str, str]) -> None:
    """Take them out of the variables of `uv_environment`; the files that are there stay, and bind."""
    for name, place in absent_constraints(outside):
        left = [path for path in env.pop(name, "").split() if path != _from_anywhere(place)]
        if left:
            env[name] = " ".join(left)


def uv_settings(environ: Mapping[str, str], *names: str) -> Iterator[tuple[str, str]]:
    """Variable and value of every place that the user tells uv in them, without its name (`name=place`)."""
    for name in names:
        for part in _parts(environ.get(name, ""), _UV_PLACES[name]):
            yield name, _named(part)[1]


def _parts(value: str, separator: str | None) -> list[str]:
    return [part for part in (value.split(separator) if separator else [value]) if part]


def _named(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    is_name = equals and name.replace("-", "").replace("_", "").isalnum()
    return (f"{name}=", place) if is_name else ("", text)


def _from_anywhere(text: str) -> str:
    name, place = _named(text)
    return name + (place if "://" in place else os.path.abspath(place))  # noqa: PTH100


def _default_index() -> str:
    """`pypi_simple.PYPI_SIMPLE_ENDPOINT`, read from its source: importing it takes half a second."""
    import ast
    from importlib.util import find_spec

    found = find_spec("pypi_simple")
    source = Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""
    for node in ast.parse(source).body:
        if (
            isinstance(node, ast.AnnAssign)
            and ast.unparse(node.target) == "PYPI_SIMPLE_ENDPOINT"
            and node.value
        ):
            return str(ast.literal_eval(node.value))
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    return str(PYPI_SIMPLE_ENDPOINT)


def _join(env: dict[str, str], name: str, separator: str, values: tuple[str, ...]) -> None:
    own = [part for part in env.get(name, "").split(separator) if part]
    both = list(dict.fromkeys([*own, *values]))
    if both:
        env[name] = separator.join(both)


def pip_environment(
    environ: Mapping[str, str], config: PipConfig, *, offline: bool = False
) -> dict[str, str]:
    """The environment in which pip (and pip-tools) sees exactly `config`, whichever interpreter runs it.

    pip has no offline mode, and even a page in a folder may have links to anywhere: `offline` sends whatever
    it asks the network for to a port where nothing answers.
    """
    dropped = (*_PIP_INDEX_OPTIONS, *_REDIRECTING)
    env = {
        name: value
        for name, value in environ.items()
        if not (name.startswith("PIP_") and name[4:].upper() in dropped)
    }
    null = "nul" if sys.platform == "win32" else "/dev/null"
    env["PIP_CONFIG_FILE"] = null
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    single = {
        "PIP_INDEX_URL": config.index_url,
        "PIP_CERT": config.cert,
        "PIP_CLIENT_CERT": config.client_cert,
        "PIP_PROXY": config.proxy,
        "PIP_TIMEOUT": None if config.timeout is None else f"{config.timeout:g}",
        "PIP_NO_INDEX": "1" if config.no_index else None,
    }
    env.update({name: value for name, value in single.items() if value})
    several = {
        "PIP_EXTRA_INDEX_URL": config.extra_index_urls,
        "PIP_FIND_LINKS": config.find_links,
        "PIP_TRUSTED_HOST": config.trusted_hosts,
    }
    env.update({name: " ".join(values) for name, values in several.items() if values})
    if offline:
        env.update(PIP_PROXY=_NOWHERE, PIP_RETRIES="0")
    return env
