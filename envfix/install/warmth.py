"""What uv's cache lacks of an install, as uv itself says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from packaging.utils import canonicalize_name

from envfix.install.commands import UvInstaller
from envfix.installers import uv_binary, uv_install_environment
from envfix.model.plan import LockedPackage

TIME_LIMIT = 60.0
# The layout of the cache changes from release to release; these words are of `--verbose` (uv 0.13.9).
_LACKS = re.compile(r"(?m)^DEBUG Identified uncached distribution: ([A-Za-z0-9._-]+)")


def uncached(installer: UvInstaller, packages: Sequence[LockedPackage]) -> frozenset[str] | None:
    """The names that uv would have to download; None where it cannot tell without the network.

    A wheel that is in the cache without the hash that the lock demands counts as lacking, as it does when uv
    installs.
    """
    # As for an empty environment: of what is installed uv says nothing.
    asked = ["install", "--dry-run", "--offline", "--verbose", "--target", f"{installer.folder}/nothing"]
    argv = [uv_binary(installer.outside), "pip", *asked, *installer.from_lock(packages)]
    argv += ["--python", installer.target.executable, "--color", "never"]
    env = uv_install_environment(installer.outside, installer.config)
    ran = installer.outside.run(argv, timeout=TIME_LIMIT, env=env, cwd=installer.folder)
    if not ran.ok:
        return None
    return frozenset(canonicalize_name(name) for name in _LACKS.findall(ran.err))
