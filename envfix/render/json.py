"""The one JSON object of `--json` (README, "JSON"): `{envfix, command, status, exit_code, data, errors}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envfix import envelope
from envfix.errors import EnvfixError
from envfix.model import results
from envfix.model.attestation import Attestations, Standing
from envfix.model.conflicts import PACKAGES
from envfix.model.decision import Candidate
from envfix.model.diagnosis import Explained
from envfix.model.machine import Machine
from envfix.model.matrix import Release
from envfix.model.matrix_check import MatrixCheck
from envfix.model.outcome import RestartAdvice, Status, Verification
from envfix.model.plan import Plan
from envfix.model.snapshot import Since, SnapshotList
from envfix.reading import to_plain


def success(command: str, result: object, exit_code: int) -> str:
    """The object of a command that ran to its end; a failed verification is an error in it too."""
    return envelope.envelope(command, exit_code, data(result), _failed_checks(result))


def failure(command: str, error: EnvfixError) -> str:
    """The object of a command that stopped; `data` holds what was known by then, or null."""
    return envelope.failure(command, error, None if error.data is None else data(error.data))


def data(result: object) -> Any:
    """The contract's `data` of a result."""
    return DATA[type(result)](result)


def _report(report: results.Report) -> dict[str, Any]:
    best = report.decision.recommended
    # Only where it was asked for, so that the object is the contract's without it.
    asked = {"since": _since(report.since)} if report.since is not None else {}
    return {
        "machine": to_plain(report.machine),
        "recommended": None if best is None else best.release.asked_for,
        "releases": [_candidate(candidate) for candidate in report.decision.candidates],
        "plan": None if report.plan is None else _plan(report.plan),
        "advice": list(report.advice),
        "remedies": [to_plain(remedy) for remedy in report.remedies],
        **asked,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(plan)
    if not plan.left_out:
        del plain["left_out"]  # without `--minimal` the plan is the contract's
    return plain


def _since(since: Since) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(since.snapshot)
    del plain["facts"]
    return plain | {
        "changes": [to_plain(difference) for difference in since.differences],
        "unchanged": list(since.unchanged),
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    package = candidate.release.package
    return {
        "version": str(candidate.version),
        **({} if package == PACKAGES[0] else {"package": package}),
        "fit": candidate.fit.value,
        "code": candidate.code.value,
        "proven": candidate.proven,
        "verdicts": [to_plain(verdict) for verdict in candidate.verdicts],
    }


def _installed(installed: results.Installed) -> dict[str, Any]:
    result = installed.result
    spec = installed.kernelspec
    kernel: dict[str, Any] = {"kernelspec": {"name": spec.name, "path": spec.path}} if spec else {}
    if installed.kernelspecs:
        kernel["kernelspecs"] = to_plain(installed.kernelspecs)
    return {
        "machine": to_plain(installed.machine),
        "python": result.python if result else installed.python,
        "tensorflow": installed.tensorflow,
        "package": installed.package,
        "accelerator": installed.accelerator,
        "dry_run": installed.dry_run,
        "changed": list(result.changed) if result else [],
        "loader": result.loader if result else "",
        "transaction": installed.transaction or None,
        "plan": _plan(installed.plan),
        "restart": to_plain(installed.restart or RestartAdvice(needed=False, reason="nothing was changed")),
        "kernel": to_plain(installed.kernel),
        "verification": None if installed.verification is None else _verification(installed.verification),
        "notes": list(installed.notes),
        "attestations": _attestations(installed.attestations),
        **kernel,
    }


def _verification(verification: Verification) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(verification)
    return plain | {"passed": verification.passed}


def _lock(written: results.LockWritten) -> dict[str, Any]:
    packages = written.lock.resolution.packages
    return {
        "tensorflow": written.lock.tensorflow,
        "package": written.lock.package,
        "files": list(written.files),
        "checked": written.checked or None,
        "resolver": written.lock.resolution.resolver,
        "packages": [{"name": package.name, "version": package.version} for package in packages],
        **({"left_out": list(written.lock.left_out)} if written.lock.left_out else {}),
        "matrix_digest": written.lock.matrix_digest,
        "warnings": list(written.warnings),
        "notes": list(written.notes),
        "attestations": _attestations(written.attestations),
    }


def _attestations(found: Attestations | None) -> dict[str, Any] | None:
    """Null where nobody asked; one that does not verify is an error, and never here."""
    if found is None:
        return None
    return {
        "files": found.looked_up,
        "published": len(found.published),
        "verified": len(found.those(Standing.VERIFIED)),
        "not_checked": found.not_checked or None,
        "publishers": {file.filename: file.publisher for file in found.those(Standing.VERIFIED)},
    }


def _failed_checks(result: object) -> list[dict[str, Any]]:
    if isinstance(result, results.Report) and result.exit_code:
        return [{"code": "nothing-fits", "message": result.decision.refusal, "hint": None}]
    verification = result.verification if isinstance(result, (results.Installed, results.Verified)) else None
    if verification is None or verification.passed:
        return []
    failed = [check for check in verification.checks if check.status is Status.FAILED]
    return [
        {
            "code": "verification-failed",
            "message": f"{check.name}: expected {check.expected}, observed {check.observed}",
            "hint": check.hint or None,
        }
        for check in failed
    ] or [
        {"code": "verification-failed", "message": f"nothing was proven ({verification.ended})", "hint": None}
    ]


def _verified(verified: results.Verified) -> dict[str, Any]:
    owed = {} if verified.restart is None else {"restart": to_plain(verified.restart)}
    return _verification(verified.verification) | owed


def _machines(listed: results.MachineList) -> dict[str, Any]:
    return {"machines": [{"name": name, "machine": to_plain(machine)} for name, machine in listed.machines]}


def _snapshots(listed: SnapshotList) -> dict[str, Any]:
    return {"folder": listed.folder, "snapshots": to_plain(listed.snapshots)}


def _checked(check: MatrixCheck) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(check)
    return plain | {"up_to_date": check.up_to_date}


# What each result becomes; `envfix.render.text.TEXT` has the same types. A string is as it is: no option asks
# for it as JSON, but a notebook is answered so.
DATA: dict[type, Callable[[Any], Any]] = {
    str: str,
    Machine: to_plain,
    results.Report: _report,
    results.LockWritten: _lock,
    results.Installed: _installed,
    results.Verified: _verified,
    results.RolledBack: to_plain,
    results.TransactionList: to_plain,
    Explained: to_plain,
    results.Watched: to_plain,
    results.IssueReport: to_plain,
    SnapshotList: _snapshots,
    results.MatrixShown: to_plain,
    MatrixCheck: _checked,
    Release: to_plain,
    results.MachineList: _machines,
}
