"""What an index attests of files (packaging.python.org, "Index hosted attestations", which was PEP 740)."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Standing(str, Enum):
    """What became of a file's attestation (PEP 740); `failed` stops an install."""

    VERIFIED = "verified"
    FAILED = "failed"
    NOT_CHECKED = "not-checked"


class Attested(Struct, frozen=True, kw_only=True):
    """A file that has attestations: `publisher` is who is said to have made it, `reason` why not verified."""

    filename: str
    standing: Standing
    publisher: str = ""
    reason: str = ""


class Attestations(Struct, frozen=True, kw_only=True):
    """Of `looked_up` files those that have attestations; `unread` says why it is not known of others."""

    looked_up: int
    published: tuple[Attested, ...] = ()
    unread: str = ""

    def those(self, standing: Standing) -> tuple[Attested, ...]:
        """The files that have attestations of this standing."""
        return tuple(file for file in self.published if file.standing is standing)

    @property
    def not_checked(self) -> str:
        """Why some of it is not known, each reason once; empty where all is."""
        reasons = [self.unread, *(file.reason for file in self.those(Standing.NOT_CHECKED))]
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason))
