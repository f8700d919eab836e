"""envfix's own environment, put right before anything of it is imported.

Where envfix lives in the environment that it changes, the packages that it needs itself may be half replaced
when it was killed. Only the standard library is imported here.
"""

from __future__ import annotations

import sys

from envfix.errors import EnvironmentChanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

MAY_WRITE = ("install", "verify", "rollback")


def put_right(options: Namespace) -> None:
    """End what an envfix that was killed has left in the environment that runs this one.

    A command that writes nothing is left to say so itself. Raises EnvironmentChanged where that is not
    possible, for it cannot be imported, and where it cannot be put back.
    """
    import os
    import sysconfig

    site = sysconfig.get_path("purelib")
    if not os.path.isdir(os.path.join(site, ".envfix")):  # noqa: PTH112, PTH118 - at every start
        return
    from envfix.install.transaction import recover
    from envfix.system.outside import RealOutside

    outside = RealOutside()
    looks = getattr(options, "list", False) or getattr(options, "dry_run", False)
    writes = options.command in MAY_WRITE and not looks
    try:
        if recover.unfinished(outside, site) is None:
            return
    except recover.CannotTell:
        if writes and options.command != "verify":
            raise
        _check_imports(options.command)  # what works on the environment says it
        return
    if not writes:
        _check_imports(options.command)
        return
    options.recovered = recover.recover(outside, site)
    for one in options.recovered:
        outside.say(str(one))
    import importlib

    importlib.invalidate_caches()


def _check_imports(name: str) -> None:
    import importlib

    try:
        importlib.import_module("envfix.commands").command(name)
    except Exception as problem:  # whatever half a package raises
        raise EnvironmentChanged(
            f"a change of `{sys.executable}`, in which envfix lives, did not finish, so that it cannot run: "
            f"{problem}",
            "envfix rollback",
        ) from None
