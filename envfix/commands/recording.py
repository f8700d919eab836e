"""What an install and a verification saw is recorded, and a report compared with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from msgspec import Struct, structs

from envfix import __version__, snapshots
from envfix.errors import EnvfixError, UsageError
from envfix.facts import digest, facts_of
from envfix.model.machine import Machine, Platform
from envfix.model.outcome import Status, Verification
from envfix.model.results import Installed, Report, Verified
from envfix.model.snapshot import Snapshot, SnapshotList
from envfix.probe.image import read_image
from envfix.probe.kernel import find_kernel
from envfix.probe.session import read_platform
from envfix.since import since
from envfix.situation import Parts


class Ended(Struct, frozen=True, kw_only=True):
    """How a run ended, as in a snapshot."""

    worked: bool | None = None
    proof: str = ""
    failed: tuple[str, ...] = ()


# Nothing was tried: a usage error, or somebody who stopped it.
_NO_RUN = (1, 2, 130)


def recorded(
    parts: Parts,
    options: argparse.Namespace,
    command: Callable[[Parts, argparse.Namespace], tuple[object, int]],
) -> tuple[object, int]:
    """The command's own result. What an install or a verification saw is kept, also where it failed."""
    try:
        result, exit_code = command(parts, options)
    except EnvfixError as error:
        ran = options.command in ("install", "verify") and not getattr(options, "dry_run", False)
        if ran and error.exit_code not in _NO_RUN:
            seen = error.data.machine if isinstance(error.data, Report) else Machine()
            _keep(parts, options, seen, "", {}, Ended(worked=False, failed=(error.code,)))
        raise
    if isinstance(result, Installed) and not result.dry_run:
        changed = result.result.after if result.result else {}
        _keep(parts, options, result.machine, result.python, changed, _ended(result.verification))
    elif isinstance(result, Verified) and result.machine is not None:
        python = result.verification.python
        _keep(parts, options, result.machine, python, {}, _ended(result.verification))
    return result, exit_code


def compared(parts: Parts, options: argparse.Namespace, report: Report) -> Report:
    """The report with what has changed since the snapshot that `--since` names. Raises InputError."""
    found = snapshots.find(
        snapshots.kept(parts.outside),
        options.since,
        _machine(options),
        digest(report.python),
        snapshots.losing(parts.outside, _platform(parts)),
    )
    return structs.replace(report, since=since(found, _facts(parts, options, report.machine, {})))


def listed(parts: Parts, options: argparse.Namespace) -> SnapshotList:
    """What is recorded, newest first."""
    if options.format in ("markdown", "html"):
        raise UsageError(f"`--since list` is no report: `--format {options.format}` does not go with it")
    try:
        place = snapshots.folder(parts.outside)
    except (OSError, RuntimeError):
        place = ""
    lost = snapshots.losing(parts.outside, _platform(parts))
    return SnapshotList(folder=place, snapshots=snapshots.kept(parts.outside), lost=lost)


def _keep(
    parts: Parts,
    options: argparse.Namespace,
    machine: Machine,
    python: str,
    changed: Mapping[str, str | None],
    ended: Ended,
) -> None:
    snapshot = Snapshot(
        id="",
        taken=snapshots.stamp(datetime.now(timezone.utc)),
        command=options.command,
        envfix=__version__,
        worked=ended.worked,
        proof=ended.proof,
        failed=ended.failed,
        machine=_machine(options),
        environment=digest(python),
        facts=_facts(parts, options, machine, changed),
    )
    # Said once for each new virtual machine.
    lost = snapshots.losing(parts.outside, _platform(parts))
    if lost and not snapshots.kept(parts.outside):
        parts.outside.say(f"note: what this run saw is recorded for `envfix report --since LAST`; {lost}")
    snapshots.keep(parts.outside, snapshots.named(snapshot))


def _ended(verification: Verification | None) -> Ended:
    if verification is None:
        return Ended()
    failed = tuple(check.name for check in verification.checks if check.status is Status.FAILED)
    proof = verification.proof.value if verification.proof else ""
    return Ended(worked=verification.passed, proof=proof, failed=failed)


def _facts(
    parts: Parts, options: argparse.Namespace, machine: Machine, changed: Mapping[str, str | None]
) -> dict[str, str]:
    image = None if options.machine else read_image(parts.outside)
    return facts_of(machine, image, changed, parts.outside)


def _machine(options: argparse.Namespace) -> str:
    """The name after `--machine`; of a file, which may name its owner, a digest."""
    named: str = options.machine or ""
    is_path = "/" in named or "\\" in named or named.endswith((".yaml", ".yml", ".json"))
    return f"file:{digest(named)}" if is_path else named


def _platform(parts: Parts) -> Platform:
    return read_platform(parts.outside, find_kernel(parts.outside))[0]
