"""Results as plain text: readable in a notebook cell, a CI log and a terminal alike.

No markup engine is used: one would eat the `[and-cuda]` of a command that is shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from envfix.errors import EnvfixError
from envfix.model.decision import Candidate, Fit
from envfix.model.machine import Machine, Outcome, known
from envfix.model.matrix import Release
from envfix.model.outcome import Proof, Status, Verification
from envfix.model.plan import Change, Plan, PlannedPackage
from envfix.model.results import Installed, LockWritten, MachineList, MatrixShown, Report, Verified
from envfix.printable import clean
from envfix.render.words import columns, size

_PATH = re.compile(r" \(/[^()]*\)")
SIGN = {Change.ADD: "+", Change.UPGRADE: "^", Change.DOWNGRADE: "v", Change.KEEP: "="}
MARK = {Status.PASSED: "ok    ", Status.FAILED: "FAILED", Status.SKIPPED: "-     "}
PROVEN = {
    Proof.GPU: "gpu: the ops above ran on the real GPU and agree with the CPU",
    Proof.LOADER: "loader: the real wheel opened its CUDA libraries and registered the GPU "
    "under a driver stub; no kernel ran",
    Proof.CPU: "cpu: the ops above ran on the CPU",
}


def result(value: object) -> str:
    """The text of any result."""
    if isinstance(value, Machine):
        return machine(value)
    if isinstance(value, Report):
        return report(value)
    if isinstance(value, Installed):
        return installed(value)
    if isinstance(value, Verified):
        return verification(value.verification)
    if isinstance(value, LockWritten):
        return lock(value)
    if isinstance(value, MachineList):
        return "\n".join(columns([(name, summary(machine)) for name, machine in value.machines]))
    if isinstance(value, MatrixShown):
        return matrix(value)
    if isinstance(value, str):
        return value
    raise TypeError(f"no text for {type(value).__name__}")


def failure(error: EnvfixError) -> str:
    """What is known although the command stopped: the verdicts on every release, where there are any."""
    if isinstance(error.data, Report) and error.data.decision.candidates:
        return report(error.data)
    return ""


def summary(value: Machine) -> str:
    """The machine in one line."""
    parts = []
    if value.gpus == ():
        parts.append("no GPU")
    for gpu in known(value.gpus, ()):
        parts.append(f"{known(gpu.name, 'GPU')} (compute capability {known(gpu.compute_capability, '?')})")
    if value.driver is None:
        parts.append("no driver")
    elif driver := known(value.driver, None):
        parts.append(f"driver {known(driver.release, '?')} (driver's CUDA {known(driver.cuda, '?')})")
    parts.append(f"Python {known(value.python, '?')}")
    system = getattr(known(value.os, None), "value", "?")
    parts.append(f"{system} {getattr(known(value.arch, None), 'value', '?')}")
    if value.glibc:
        parts.append(f"glibc {value.glibc}")
    return clean(", ".join(parts))


def machine(value: Machine) -> str:
    """Every fact with where it was read, and what was asked in vain."""
    toolkit, cudnn = known(value.toolkit, None), known(value.cudnn, None)
    rows = [
        ("machine", known(value.name, "this one")),
        ("platform", getattr(known(value.platform, None), "value", "unknown")),
        ("summary", summary(value)),
        ("toolkit", f"{known(toolkit.version, '?')} in {known(toolkit.path, '?')}" if toolkit else "none"),
        ("cuDNN", f"{known(cudnn.version, '?')} in {known(cudnn.path, '?')}" if cudnn else "none"),
        ("installed", f"{len(known(value.installed, {}))} packages"),
    ]
    lines = columns(rows)
    marks = {
        Outcome.FOUND: "found  ",
        Outcome.ABSENT: "absent ",
        Outcome.FAILED: "failed ",
        Outcome.TIMEOUT: "timeout",
    }
    lines.append("evidence")
    for piece in known(value.evidence, ()):
        lines.append(f"  {marks[piece.outcome]} {piece.fact:<28} {piece.source}  {piece.detail}".rstrip())
    return clean("\n".join(lines))


def report(value: Report) -> str:
    """A verdict per release, newest first, then the plan and the advice."""
    lines = ["machine  " + summary(value.machine), ""]
    best = value.decision.recommended
    lines += _release_lines(value.decision.candidates, best)
    if value.decision.candidates:
        lines.append("")
    if best is not None:
        sure = "" if best.fit is Fit.YES else " (nothing forbids it, but not every rule could be answered)"
        lines.append(f"recommended: tensorflow {best.version}{sure}")
    if value.plan is not None:
        lines += ["", *plan(value.plan)]
    lines += [f"note: {line}" for line in value.advice]
    return clean("\n".join(lines))


def _release_lines(candidates: Sequence[Candidate], best: Candidate | None) -> list[str]:
    """One line for each run of releases that are judged alike for the same reasons."""
    runs: list[tuple[str, list[Candidate]]] = []
    for candidate in candidates:
        mark = ">" if candidate is best else " "
        proven = "proven" if candidate.proven else ""
        words = f"{candidate.fit.value:<8} {candidate.code.value:<11} {proven:<7} {_why(candidate)}".rstrip()
        if runs and mark == " " and runs[-1][0] == f"{mark} {words}":
            runs[-1][1].append(candidate)
        else:
            runs.append((f"{mark} {words}", [candidate]))
    names = [
        str(run[0].version) if len(run) == 1 else f"{run[-1].version} - {run[0].version}" for _, run in runs
    ]
    width = max((len(name) for name in names), default=0)
    return [f"{words[0]} {name:<{width}}  {words[2:]}" for (words, _), name in zip(runs, names, strict=True)]


def _why(candidate: Candidate) -> str:
    reasons = [verdict for verdict in candidate.verdicts if verdict.fit is candidate.fit is not Fit.YES]
    why = "; ".join(
        f"{verdict.rule}: needs {verdict.wanted}, found {verdict.found}" for verdict in reasons[:1]
    )
    return f"{why} (and {len(reasons) - 1} more)" if len(reasons) > 1 else why


def plan(value: Plan) -> list[str]:
    """The packages that change, largest first, what stays in a number, and the bytes."""
    changes = sorted(value.changes, key=lambda package: (-(package.size or 0), package.name))
    kept = len(value.packages) - len(changes)
    if not changes:
        return [f"plan     nothing to change: {kept} packages keep their versions"]
    amount = f"{size(value.download_bytes)} to download, {size(value.installed_bytes)} on disk"
    lines = [f"plan     {len(changes)} packages change ({amount}), {kept} stay"]
    shown = [package for package in changes if _is_worth_a_line(package)]
    lines += columns(
        [
            (f"  {SIGN[package.change]} {package.name}", package.version, size(package.size), package.because)
            for package in shown
        ]
    )
    rest = [package for package in changes if package not in shown]
    if rest:
        known_sizes = [package.size for package in rest if package.size is not None]
        lines.append(f"  and {len(rest)} smaller ones that these need ({size(sum(known_sizes))})")
    for broken in value.breaks:
        lines.append(f"  breaks {broken.package}: needs {broken.requirement}, would find {broken.found}")
    return lines


def _is_worth_a_line(package: PlannedPackage) -> bool:
    """What is large, what was decided, and what replaces something; the rest are named by `--json`."""
    return (
        (package.size or 0) >= 1_000_000
        or package.change is not Change.ADD
        or package.because != "the others need it"
    )


def installed(value: Installed) -> str:
    """The outcome first to last: what changed, whether to restart, what was proven."""
    lines = [f"note     {note}" for note in value.notes]
    if value.dry_run:
        lines += [*plan(value.plan), "dry run  nothing was changed"]
    elif value.result is None:
        lines.append(
            f"keep     tensorflow {value.tensorflow} in {value.python}: it fits, nothing was changed"
        )
    else:
        names = len(value.result.changed)
        lines.append(f"changed  {names} packages in {value.result.python}: tensorflow {value.tensorflow}")
        if value.result.loader:
            lines.append(f"loader   {value.result.loader}")
    if value.restart is not None and not value.dry_run:
        if value.restart.needed:
            lines.append(f"restart  needed: {value.restart.reason}. {value.restart.how}".rstrip())
        else:
            lines.append(f"restart  not needed: {value.restart.reason}")
    if value.verification is not None:
        lines.append(verification(value.verification))
    return clean("\n".join(lines))


def verification(value: Verification) -> str:
    """Each check with what was expected and seen, then what it proves and no more."""
    lines = [f"verify   tensorflow {value.tensorflow or '?'} in {value.python}"]
    for check in value.checks:
        # The paths are in the JSON; here they would push the rest out of sight.
        observed = _PATH.sub("", check.observed)
        skipped = f" ({check.cause})" if check.status is Status.SKIPPED and check.cause else ""
        lines.append(f"  {MARK[check.status]} {check.name}: {observed}{skipped}")
        if check.status is Status.FAILED:
            lines.append(f"         expected {check.expected}")
            lines += [
                f"         {label} {text}"
                for label, text in (("cause", check.cause), ("hint ", check.hint))
                if text
            ]
    if value.devices:
        lines.append(f"devices  {', '.join(value.devices)}")
    if value.passed and value.proof is not None:
        lines.append(f"proof    {PROVEN[value.proof]}")
    else:
        lines.append(f"proof    none: verification failed (the child ended with {value.ended})")
    return clean("\n".join(lines))


def lock(value: LockWritten) -> str:
    """The files written, or the lock checked."""
    made = value.lock
    what = (
        f"tensorflow {made.tensorflow}, {len(made.resolution.packages)} packages, Python {made.floors.python}"
    )
    lines = [f"wrote    {path}" for path in value.files]
    if value.checked:
        lines.append(f"fits     {value.checked} fits this machine")
    lines.append(f"lock     {what} (resolved by {made.resolution.resolver})")
    lines += [f"warning  {warning}" for warning in value.warnings]
    return clean("\n".join(lines))


def matrix(value: MatrixShown) -> str:
    """One line per release."""
    rows = [("release", "wheel's CUDA", "cuDNN", "Python on x86_64 Linux", "proven")]
    for release in value.releases:
        rows.append(
            (
                str(release.version),
                str(release.built_with_cuda or "-"),
                str(release.built_with_cudnn or "-"),
                _pythons(release),
                "loader" if release.proven else "",
            )
        )
    return "\n".join([f"matrix of {value.date} ({value.digest[:12]})", *columns(rows)])


def _pythons(release: Release) -> str:
    for wheels in release.wheels:
        if wheels.os.value == "linux" and wheels.arch.value == "x86_64":
            return " ".join(str(python) for python in wheels.python)
    return "-"
