"""What is installed as the resolvers prefer it: the least change wins, so a version that fits stays."""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.version import Version

from envfix.model.target import Target

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")


def installed_versions(target: Target) -> Mapping[str, str]:
    """Normalised names to public versions of what the target has installed, sorted by name.

    A local build (`2.6.0+cu124`) is named as the release that the index has. What no index could have (a
    version from before PEP 440, a damaged name) is left out.
    """
    found = {}
    for dist in sorted(target.installed, key=lambda dist: dist.name):
        try:
            version = Version(dist.version)
        except ValueError:
            continue
        if _NAME.match(dist.name):
            found[dist.name] = version.public
    return found
