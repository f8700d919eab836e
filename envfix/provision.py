"""Where the files of a lock come from when the network is not there: the user's own folders of wheels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import structs

from envfix.errors import InstallFailed
from envfix.model.plan import Lock
from envfix.resolve.find_links import at_hand, not_at_hand
from envfix.situation import Parts, Situation, config_of

_FEW = 5


def from_folders(parts: Parts, here: Situation, lock: Lock) -> Lock:
    """The lock with what the local folders of `find-links` hold taken from there, hashes as they are."""
    folders = config_of(parts, here.target).find_links
    if not folders:
        return lock
    found = structs.replace(
        lock.resolution, packages=at_hand(parts.outside, folders, lock.resolution.packages)
    )
    return structs.replace(lock, resolution=found)


@contextmanager
def naming_what_lacks(lock: Lock, *, offline: bool) -> Iterator[None]:
    """Around an install: one that fails offline says which wheels no folder of the user's has."""
    try:
        yield
    except InstallFailed as problem:
        lacking = not_at_hand(lock.resolution.packages) if offline else ()
        if not lacking:
            raise
        more = f" and {len(lacking) - _FEW} more" if len(lacking) > _FEW else ""
        named = "\n".join((f"in no folder of `find-links`: {', '.join(lacking[:_FEW])}{more}", _WAY))
        raise InstallFailed(problem.message, named, data=problem.data) from None


_WAY = (
    "pip download --no-deps --require-hashes -r requirements.envfix.txt -d wheels, "
    "then export PIP_FIND_LINKS=$PWD/wheels"
)
