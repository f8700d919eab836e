"""What keeps a notebook's kernel alive: packages that an install never changes under it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from envfix.model.markers import marker_environment
from envfix.model.target import Distribution, Target
from envfix.resolve.staying import installed_versions

# The kernel answers the front end through these, and has them loaded: another version under it ends the
# session, and where the image starts the kernel (Colab, Kaggle) the next one does not come up either.
KERNEL = frozenset(
    {
        "google-colab",
        "ipykernel",
        "ipython",
        "jupyter-client",
        "jupyter-core",
        "pyzmq",
        "tornado",
        "traitlets",
    }
)
# An environment without one of these runs no kernel, whatever else of the list something brought along.
_HOSTS = frozenset({"google-colab", "ipykernel"})


def kept_alive(target: Target) -> Mapping[str, str]:
    """Normalised names to the installed versions that must stay, with those they need in their turn.

    Empty for an environment that runs no kernel.
    """
    there = {dist.name: dist for dist in target.installed}
    if not _HOSTS & there.keys():
        return {}
    environment = dict(marker_environment(target.os, target.arch, target.python, target.implementation))
    found: set[str] = set()
    waiting = sorted(KERNEL & there.keys())
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [needed for needed in _needs(there[name], environment) if needed in there]
    versions = installed_versions(target)
    return {name: versions[name] for name in sorted(found) if name in versions}


def why_kept(name: str, version: str) -> str:
    """Why the package stays, with its name and version."""
    if name in KERNEL:
        return f"{name} {version} keeps the notebook's kernel alive"
    return f"the notebook's kernel needs {name} {version}"


def _needs(dist: Distribution, environment: Mapping[str, str]) -> Iterator[str]:
    for line in dist.requires:
        try:
            one = Requirement(line)
        except InvalidRequirement:
            continue  # from before PEP 508: it binds nobody
        if one.marker is None or one.marker.evaluate(dict(environment)):
            yield canonicalize_name(one.name)
