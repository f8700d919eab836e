"""Solutions of earlier runs, kept so that an offline report has its plan without asking a resolver."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from envfix import cache
from envfix.errors import EnvfixError
from envfix.model.plan import Resolution
from envfix.model.target import PipConfig, Target
from envfix.pep751 import lock_text
from envfix.ports import Outside
from envfix.reading import encode_hook
from envfix.resolve.staying import installed_versions

# Two digits of the key name the file, so the folder never grows beyond 256 of them (some 15 MB).
_DIGITS = 2


def remember(
    outside: Outside,
    roots: Sequence[str],
    caps: Sequence[str],
    target: Target,
    config: PipConfig,
    resolution: Resolution,
) -> None:
    """Keep the solution; a cache that cannot be written is said once and costs nothing else."""
    key = _key(roots, caps, target, config)
    try:
        body = lock_text(resolution.packages)
        text = f"# {key} {resolution.resolver} {_digest(body)}\n{body}"
        cache.keep(outside, _place(outside, key), text.encode(), lasting=False)
    except OSError as problem:
        outside.say(f"warning: `{problem.filename}` cannot be written: {problem.strerror}")


def recall(
    outside: Outside, roots: Sequence[str], caps: Sequence[str], target: Target, config: PipConfig
) -> Resolution | None:
    """The solution of the same question, or None where none is kept."""
    key = _key(roots, caps, target, config)
    head, _, body = (
        (cache.kept(outside, _place(outside, key)) or b"").decode("utf-8", "replace").partition("\n")
    )
    words = head.split()
    # Half of it may be a whole solution of fewer packages.
    if words[1:2] != [key] or len(words) != 4 or words[3] != _digest(body):
        return None
    from envfix.resolve.uv import read_resolution  # not where nothing is kept: as slow as a tenth of a report

    try:
        found = read_resolution(body, target)
    except EnvfixError:
        return None  # damaged: the same as none
    return msgspec.structs.replace(found, resolver=words[2])


def _key(roots: Sequence[str], caps: Sequence[str], target: Target, config: PipConfig) -> str:
    """What the answer depends on, the installed packages included: a version that fits stays."""
    asked = (
        sorted(roots),
        sorted(caps),
        str(target.python),
        target.implementation,
        target.os,
        target.arch,
        str(target.glibc),
        installed_versions(target),
        config,
    )
    return hashlib.sha256(msgspec.json.encode(asked, enc_hook=encode_hook)).hexdigest()


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()


def _place(outside: Outside, key: str) -> str:
    return cache.place(outside, "solutions", f"{key[:_DIGITS]}.toml")
