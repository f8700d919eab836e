"""An install without the network that found a file nowhere: which file that is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from packaging.utils import canonicalize_name

from envfix.install.commands import Installer
from envfix.model.plan import LockedPackage
from envfix.ports import Ran

# uv 0.13.9 says it of its cache and of folders, pip 23 to 26 of folders.
_NOWHERE = re.compile(
    r"(?i)network (?:connectivity is|was) disabled|not found in the (?:cache|provided package locations)"
    r"|no matching distribution found"
)
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==")
_WAY = (
    "pip download --no-deps --require-hashes -r requirements.envfix.txt -d wheels, "
    "then export PIP_FIND_LINKS=$PWD/wheels"
)


def hint_for(installer: Installer, packages: Sequence[LockedPackage], ran: Ran) -> str | None:
    """What lacks and how to get it, where that is why `ran` failed; None where it is not."""
    said = f"{ran.out}\n{ran.err}"
    if not installer.offline or not _NOWHERE.search(said):
        return None
    away = {package.name: name for package in packages if (name := _only_on_the_network(package))}
    # Both stop at the first, and name it. What uv's dry run says of its cache is more than what lacks: of a
    # lock's URLs it would ask the server again (uv 0.13.9).
    named = {canonicalize_name(name) for name in _PIN.findall(said)}
    lacking = [filename for name, filename in away.items() if name in named]
    return f"in no folder of `find-links`: {', '.join(lacking)}\n{_WAY}" if lacking else None


def _only_on_the_network(package: LockedPackage) -> str | None:
    """The name of the file that an installer takes, where no folder of the user's has one."""
    file = package.wheels[0] if package.wheels else package.sdist
    return file.filename if file and not file.url.startswith("file:") else None
