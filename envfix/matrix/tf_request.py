"""`--tf` as people write it, from `2.20.*` to what an old notebook's first cell asks for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envfix.errors import InputError
from envfix.matrix.nearest import nearest
from envfix.model.conflicts import PACKAGES, TENSORFLOWS, package_of
from envfix.model.request import TensorFlowRequest

_HINT = "name a release or a range: `2.20.*`, `>=2.16,<2.20`, `tensorflow==2.19.0`"
_NEWEST = (
    "leave `--tf` out: the newest release that fits is taken, with `--upgrade` over an installed one too"
)
_NEWEST_WORDS = frozenset(("latest", "newest", "stable", "current", "recent", "best", "any", "auto", "*"))
# On the index, with an empty wheel (`compat_matrix/README.md`, "Key").
_RESERVED = ("tensorflow-cuda13",)
# Old names, and why the new one is the same.
_RENAMED = {
    "tensorflow-gpu": "the old name ended with 2.11, and `tensorflow` is the same build since 2.1",
    "tensorflow-cpu": "`--accelerator cpu` installs the CPU build",
}


def parse_tf(text: str) -> TensorFlowRequest:
    """The releases that the text names, and in `note` what was translated.

    A bare `2.20.0` is that release and a bare `2.20` all of 2.20. Raises InputError for what does not parse,
    names another package, or holds a marker or a URL.
    """
    wanted = " ".join(text.split())
    if not wanted:
        raise InputError("`--tf` names nothing", _NEWEST)
    if wanted.lower() in _NEWEST_WORDS:
        raise InputError(f"`--tf {wanted}` is no release", _NEWEST)
    if wanted[0].isalpha() and not re.match(r"v\d", wanted):
        return _from_requirement(wanted)
    return TensorFlowRequest(specifier=_specifier(wanted), text=wanted)


def nearest_releases(request: TensorFlowRequest, available: Iterable[Version]) -> tuple[Version, ...]:
    """Releases to name when none of `available` is one that the request allows, ascending."""
    return nearest(str(request.specifier) or request.text, available)


def _specifier(text: str) -> SpecifierSet:
    """A specifier, or a bare release number as one."""
    bare = _bare(text)
    try:
        return SpecifierSet(f"=={bare}" if bare else text)
    except InvalidSpecifier:
        hint = f"`=={text.lstrip('=v')}`?" if re.match(r"(=|v)\d", text) else _HINT
        raise InputError(f"`--tf {text}` is no version specifier", hint) from None


def _bare(text: str) -> str | None:
    """`2.20.0` as it is, `2.20` as `2.20.*`; None for anything with an operator."""
    if re.fullmatch(r"\d+(\.\d+)*\.\*", text):
        return text
    try:
        version = Version(text)
    except InvalidVersion:
        return None
    if text.startswith("v"):
        return None
    return f"{text}.*" if re.fullmatch(r"\d+(\.\d+)?", text) else str(version)


def _from_requirement(text: str) -> TensorFlowRequest:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        spaced = re.fullmatch(r"([\w-]+) v?(\d[\w.]*)", text)
        hint = f"`{spaced[1]}=={spaced[2]}`?" if spaced else _HINT
        raise InputError(f"`--tf {text}` is neither a release nor a requirement", hint) from None
    name = canonicalize_name(requirement.name)
    if name not in PACKAGES and name not in _RENAMED:
        raise _other_package(text, requirement, name)
    if requirement.url or requirement.marker:
        raise InputError(f"`--tf {text}`: a URL or a marker cannot be asked for here", _HINT)
    why = _RENAMED.get(name, "")
    return TensorFlowRequest(
        specifier=requirement.specifier,
        text=text,
        package=package_of(name),
        note=f"`{text}` is taken as `tensorflow{requirement.specifier}`: {why}" if why else "",
    )


def _other_package(text: str, requirement: Requirement, name: str) -> InputError:
    if name in _RESERVED:
        return InputError(
            f"`--tf {text}`: `{name}` is a name that is reserved and holds no TensorFlow yet", _HINT
        )
    if name.startswith("tf-nightly"):
        return InputError(f"`--tf {text}`: nightly builds are not in the matrix, only stable releases", _HINT)
    if name in TENSORFLOWS:
        return InputError(f"`--tf {text}`: envfix installs `tensorflow`, not its build `{name}`", _HINT)
    if requirement.specifier:
        hint = f"other packages go with `--with {shlex.quote(text)}`"
        return InputError(f"`--tf` takes releases of tensorflow, found `{requirement.name}`", hint)
    return InputError(f"`--tf {text}` is no release of tensorflow", _HINT)
