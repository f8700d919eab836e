"""What keeps a notebook's kernel alive: packages that an install never changes under it."""

from __future__ import annotations

from collections.abc import Mapping

from envfix.model.target import Target
from envfix.resolve.closure import closure
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
    if not _HOSTS & {dist.name for dist in target.installed}:
        return {}
    found = closure(target, KERNEL)
    versions = installed_versions(target)
    return {name: versions[name] for name in sorted(found) if name in versions}


def why_kept(name: str, version: str) -> str:
    """Why the package stays, with its name and version."""
    if name in KERNEL:
        return f"{name} {version} keeps the notebook's kernel alive"
    return f"the notebook's kernel needs {name} {version}"
