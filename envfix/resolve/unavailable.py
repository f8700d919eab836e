"""Why an index cannot give what is asked of it: one sentence and a way out for each reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from envfix.errors import EnvfixError, IndexUnreachable, InputError
from envfix.installers import uv_settings
from envfix.model.target import PipConfig
from envfix.model.urls import redact, without_credentials

# The first two name the main index.
UV_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")


def unanswered(url: str, reason: str) -> IndexUnreachable:
    """For an index that gives no answer, or an HTTP error (`reason` begins with `HTTP`)."""
    host = urlsplit(without_credentials(url)).netloc or redact(url)
    if re.match(r"HTTP \d", reason):
        said = f"the package index at `{host}` answered {reason}"
    else:
        said = f"the package index at `{host}` did not answer: {reason}"
    return IndexUnreachable(redact(said), _way_out(reason))


def _way_out(reason: str) -> str:
    if re.match(r"HTTP (401|403|407)", reason):
        return "check user name and password in pip's `index-url`: `pip config debug` shows where it is set"
    if "certificate" in reason.lower():
        return "name the certificate of its authority: export PIP_CERT=/path/to/ca.pem"
    if "proxy" in reason.lower():
        return "check the proxy: `pip config debug` shows where it is set"
    return "check the network and pip's `index-url`, or use `--offline`"


def not_an_index(url: str, reason: str) -> IndexUnreachable:
    """For something that answers, but not with a page of a package index."""
    return IndexUnreachable(
        f"{redact(url)} is no page of a package index: {redact(reason)}",
        "check pip's `index-url`: `pip config debug` shows where it is set",
    )


def holds_none(
    environ: Mapping[str, str], config: PipConfig, names: Sequence[str], *, uv: bool
) -> EnvfixError:
    """For indexes that have not one of the projects asked for: the setting that names them is wrong.

    InputError with the settings and their values, IndexUnreachable where nobody has set any and even
    TensorFlow is missing. `uv` says that
    uv's own variables count.
    """
    name = "tensorflow" if "tensorflow" in names else names[0]
    if config.no_index or (uv and environ.get("UV_NO_INDEX")):
        held = ", ".join(f"`{redact(place)}`" for place in config.find_links)
        return InputError(
            f"{'pip' if config.no_index else 'uv'}'s `no-index` is set, and "
            + (f"`find-links` ({held}) holds no `{name}`" if held else "no `find-links` is"),
            "export PIP_FIND_LINKS=/folder/with/its/wheels, or unset "
            + ("PIP_NO_INDEX" if config.no_index else "UV_NO_INDEX"),
        )
    asked = list(uv_settings(environ, *UV_INDEXES)) if uv else []
    if config.index_url and not any(setting in UV_INDEXES[:2] for setting, _ in asked):
        asked.append(("pip's `index-url`", config.index_url))
    if not asked:
        if name != "tensorflow":
            return InputError(f"the package index has no project `{name}`", "is it spelled like that?")
        return IndexUnreachable(f"the package index has no project `{name}`")
    said = " and ".join(f"{setting} `{redact(url)}`" for setting, url in asked)
    return InputError(
        f"{said} {'has' if len(asked) == 1 else 'have'} no project `{name}`",
        "name an index that has it: `pip config debug` shows where it is set",
    )
