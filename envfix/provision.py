"""Where the files of a lock come from when the network is not there: the user's own folders of wheels."""

from __future__ import annotations

from msgspec import structs

from envfix.model.plan import Lock
from envfix.resolve.find_links import at_hand
from envfix.situation import Parts, Situation, config_of


def from_folders(parts: Parts, here: Situation, lock: Lock) -> Lock:
    """The lock with what the local folders of `find-links` hold taken from there, hashes as they are."""
    folders = config_of(parts, here.target).find_links
    if not folders:
        return lock
    found = structs.replace(
        lock.resolution, packages=at_hand(parts.outside, folders, lock.resolution.packages)
    )
    return structs.replace(lock, resolution=found)
