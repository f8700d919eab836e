"""What of a session must not be published."""

from __future__ import annotations

from msgspec import Struct


class Private(Struct, frozen=True, kw_only=True):
    """What is known to be private of a session: names of users and hosts, folders, and secret values."""

    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
