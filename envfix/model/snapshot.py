"""What an install or a verification saw, kept for the day on which the same no longer works."""

from __future__ import annotations

from msgspec import Struct


class Snapshot(Struct, frozen=True, kw_only=True):
    """One run: when, how it ended, and the facts.

    `taken` is UTC (`2026-11-23T07:05:12Z`). `worked` is None where nothing was verified; `proof` is that of
    the verification, `failed` the checks or the error that stopped it. `machine` is what `--machine` named.
    `environment` tells one interpreter from another without naming its path. `facts` maps `driver.release`,
    `installed.tensorflow` and the like to their values; what is not known is absent.
    """

    id: str
    taken: str
    command: str
    envfix: str
    worked: bool | None = None
    proof: str = ""
    failed: tuple[str, ...] = ()
    machine: str = ""
    environment: str = ""
    facts: dict[str, str] = {}


class Difference(Struct, frozen=True, kw_only=True):
    """A fact whose value is another now.

    None: it is not known, or not there where the fact is `installed.` or `environment.` something.
    """

    fact: str
    before: str | None
    after: str | None


class Since(Struct, frozen=True, kw_only=True):
    """What is otherwise than in a snapshot, what matters most first, and the facts that are the same."""

    snapshot: Snapshot
    differences: tuple[Difference, ...]
    unchanged: tuple[str, ...]


class SnapshotList(Struct, frozen=True, kw_only=True):
    """The snapshots that are kept in a folder, newest first; `lost` says where that folder does not stay."""

    folder: str
    snapshots: tuple[Snapshot, ...]
    lost: str = ""
