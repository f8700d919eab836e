"""Snapshots, and what is otherwise than in one, in words."""

from __future__ import annotations

from envfix.model.snapshot import Difference, Since, Snapshot, SnapshotList
from envfix.render.words import columns, one_line

# Facts whose dotted name says too little or too much.
_NAMES = {
    "driver.release": "driver",
    "driver.cuda": "driver's CUDA",
    "gpus": "GPU",
    "python": "Python",
    "os": "system",
    "arch": "architecture",
    "glibc": "C library",
    "cudnn": "cuDNN of the machine",
    "toolkit": "toolkit of the machine",
}


def name(fact: str) -> str:
    """What a reader calls the fact: packages and variables by their own names."""
    for start in ("installed.", "environment."):
        if fact.startswith(start):
            return fact.removeprefix(start)
    return _NAMES.get(fact, fact)


def value(difference: Difference, text: str | None) -> str:
    """One side of a difference."""
    if text is not None:
        return one_line(text) or "empty"
    if difference.fact.startswith("installed."):
        return "not installed"
    return "not set" if difference.fact.startswith("environment.") else "not known"


def moment(snapshot: Snapshot) -> str:
    """`2026-11-22 18:03 UTC`."""
    return f"{snapshot.taken[:16].replace('T', ' ')} UTC"


def outcome(snapshot: Snapshot) -> str:
    """`worked (proof: gpu)`, `failed (device visible)`, `not verified`."""
    if snapshot.worked is None:
        return "not verified"
    if snapshot.worked:
        return f"worked (proof: {snapshot.proof})"
    return f"failed ({', '.join(snapshot.failed)})" if snapshot.failed else "failed"


def headline(since: Since) -> str:
    """`2 of 24 recorded facts have changed since 2026-11-22 18:03 UTC, when install worked (proof: gpu)`."""
    taken = since.snapshot
    when = f"{moment(taken)}, when {taken.command} {_past(taken)}"
    changed, all_of_them = len(since.differences), len(since.differences) + len(since.unchanged)
    if not changed:
        return f"nothing that is recorded has changed since {when}"
    verb = "has" if changed == 1 else "have"
    return f"{changed} of {all_of_them} recorded facts {verb} changed since {when}"


def lines(since: Since) -> list[str]:
    """The headline, and a line for each difference."""
    rows = [
        (f"  {name(one.fact)}", f"{value(one, one.before)} -> {value(one, one.after)}")
        for one in since.differences
    ]
    return [f"since    {headline(since)}", *columns(rows)]


def listed(kept: SnapshotList) -> str:
    """A line for each snapshot, newest first."""
    if not kept.snapshots:
        where = f" in `{kept.folder}`" if kept.folder else ""
        return "\n".join([f"nothing is recorded{where} so far", *_lost(kept)])
    rows = [("id", "taken", "command", "outcome", "tensorflow", "driver", "machine")]
    for one in kept.snapshots:
        facts = one.facts
        tensorflow = next(
            (facts[key] for key in facts if key.startswith(("installed.tensorflow", "installed.tf-"))), "-"
        )
        machine = one.machine or facts.get("gpus", "-")
        driver = facts.get("driver.release", "-")
        row = (one.id, moment(one), one.command, outcome(one), tensorflow, driver, machine)
        rows.append(row)
    return "\n".join([*columns([tuple(map(one_line, row)) for row in rows]), *_lost(kept)])


def _lost(kept: SnapshotList) -> list[str]:
    return [f"note     {kept.lost}"] if kept.lost else []


def _past(snapshot: Snapshot) -> str:
    return outcome(snapshot) if snapshot.worked is not None else "was not verified"
