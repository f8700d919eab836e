"""Results as plain text: readable in a notebook cell, a CI log and a terminal alike.

No markup engine is used: one would eat the `[and-cuda]` of a command that is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from envfix.errors import EnvfixError
from envfix.model import results
from envfix.model.decision import Candidate, Decision, Fit
from envfix.model.diagnosis import Explained
from envfix.model.machine import Cudnn, Machine, Outcome, Toolkit, known
from envfix.model.matrix import Release
from envfix.model.matrix_check import MatrixCheck
from envfix.model.snapshot import SnapshotList
from envfix.printable import clean
from envfix.render import since, undone
from envfix.render.findings import findings
from envfix.render.outcome import attested, installed, restart, verification
from envfix.render.plan import plan
from envfix.render.usage import watched
from envfix.render.words import columns, one_line, reason

_COLUMNS = "{:<8} {:<11} {:<7} {}"


def result(value: object) -> str:
    """The text of any result."""
    return clean(TEXT[type(value)](value))


def failure(error: EnvfixError) -> str:
    """What is known although the command stopped: the verdicts on the releases that were asked for.

    Of a single one the error itself says it all.
    """
    if not isinstance(error.data, results.Report):
        return ""
    named = [one for one in error.data.decision.candidates if one.release.key in error.data.named]
    if len(named) < 2:
        return ""
    lines = [f"machine  {summary(error.data.machine)}", "", *_release_lines(named, None)]
    return clean("\n".join(lines))


def summary(value: Machine) -> str:
    """The machine in one line."""
    parts = []
    if value.gpus is UNSET:
        parts.append("GPU not known")
    elif not value.gpus:
        parts.append("no GPU")
    for gpu in known(value.gpus, ()):
        parts.append(f"{known(gpu.name, 'GPU')} (compute capability {known(gpu.compute_capability, '?')})")
    if value.driver is None:
        parts.append("no driver")
    elif value.driver is UNSET:
        parts.append("driver not known")
    else:
        driver = value.driver
        parts.append(f"driver {known(driver.release, '?')} (driver's CUDA {known(driver.cuda, '?')})")
    parts.append(f"Python {known(value.python, '?')}")
    system = getattr(known(value.os, None), "value", "?")
    parts.append(f"{system} {getattr(known(value.arch, None), 'value', '?')}")
    if value.glibc:
        parts.append(f"glibc {value.glibc}")
    return one_line(", ".join(parts))


def machine(value: Machine) -> str:
    """Every fact with where it was read, and what was asked in vain."""
    there = value.installed
    rows = [
        ("machine", one_line(known(value.name, "this one"))),
        ("platform", getattr(known(value.platform, None), "value", "unknown")),
        ("summary", summary(value)),
        ("toolkit", _placed(value.toolkit)),
        ("cuDNN", _placed(value.cudnn)),
        ("installed", "not known" if there is UNSET else f"{len(there)} packages"),
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
    return "\n".join(lines)


def _placed(found: Toolkit | Cudnn | UnsetType | None) -> str:
    if isinstance(found, UnsetType):
        return "not known"
    return f"{known(found.version, '?')} in {one_line(known(found.path, '?'))}" if found else "none"


def report(value: results.Report) -> str:
    """A verdict per release, newest first, then the plan and the advice."""
    lines = ["machine  " + summary(value.machine), ""]
    best = value.decision.recommended
    lines += _release_lines(value.decision.candidates, best)
    if value.decision.candidates:
        lines.append("")
    lines.append(f"best     {_best(value.decision)}")
    if value.plan is not None:
        lines += plan(value.plan)
    if value.since is not None:
        lines += since.lines(value.since)
    lines += [f"note     {line}" for line in value.advice]
    return "\n".join(lines)


def _best(decision: Decision) -> str:
    candidate = decision.recommended
    if candidate is None:
        return f"none: {decision.refusal}"
    if candidate.fit is Fit.YES:
        return candidate.name
    return f"{candidate.name}: nothing forbids it, but not every rule could be answered"


def _release_lines(candidates: Sequence[Candidate], best: Candidate | None) -> list[str]:
    """A head, and one line for each run of releases that are judged alike for the same reasons."""
    if not candidates:
        return []
    runs: list[tuple[str, list[Candidate]]] = []
    for candidate in candidates:
        mark = ">" if candidate is best else " "
        proven = "loader" if candidate.proven else "-"
        words = _COLUMNS.format(candidate.fit.value, candidate.code.value, proven, _why(candidate)).rstrip()
        same = runs and runs[-1][1][-1].release.package == candidate.release.package
        if same and mark == " " and runs[-1][0] == f"{mark} {words}":
            runs[-1][1].append(candidate)
        else:
            runs.append((f"{mark} {words}", [candidate]))
    names = [_span(run) for _, run in runs]
    width = max(len(name) for name in (*names, "release"))
    head = f"  {'release':<{width}}  " + _COLUMNS.format("fit", "code", "proof", "why not")
    return [
        head,
        *(f"{words[0]} {name:<{width}}  {words[2:]}" for (words, _), name in zip(runs, names, strict=True)),
    ]


def _span(run: Sequence[Candidate]) -> str:
    """`2.14.0 - 2.15.1`, with the package where that is another than `tensorflow`."""
    package = run[0].release.package
    span = " - ".join(dict.fromkeys((str(run[-1].version), str(run[0].version))))
    return span if package == "tensorflow" else f"{package} {span}"


def _why(candidate: Candidate) -> str:
    reasons = [verdict for verdict in candidate.verdicts if verdict.fit is candidate.fit is not Fit.YES]
    if not reasons:
        return ""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reason(reasons[0])}{more}"


def lock(value: results.LockWritten) -> str:
    """The files written, or the lock checked."""
    made = value.lock
    count = len(made.resolution.packages)
    what = f"{made.package} {made.tensorflow}, {count} packages, Python {made.floors.python}"
    lines = [f"wrote    {path}" for path in value.files]
    if value.checked:
        lines.append(f"fits     {value.checked} fits this machine")
    lines.append(f"lock     {what} (resolved by {made.resolution.resolver})")
    lines += [f"note     {note}" for note in value.notes]
    lines += attested(value.attestations)
    lines += [f"warning  {warning}" for warning in value.warnings]
    return "\n".join(lines)


def matrix(value: results.MatrixShown) -> str:
    """One line per release."""
    rows = [("release", "wheel's CUDA", "cuDNN", "Python on x86_64 Linux", "proven")]
    for release in value.releases:
        rows.append(
            (
                release.asked_for,
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


def _verified(value: results.Verified) -> str:
    owed = [] if value.restart is None else restart(value.restart)
    return "\n".join([*verification(value.verification), *owed])


def _machines(value: results.MachineList) -> str:
    return "\n".join(columns([(name, summary(machine)) for name, machine in value.machines]))


# What each result becomes. A string is one already: a shell's script, a row of the matrix as YAML.
TEXT: dict[type, Callable[[Any], str]] = {
    str: str,
    Machine: machine,
    results.Report: report,
    results.LockWritten: lock,
    results.Installed: lambda value: "\n".join(installed(value)),
    results.Verified: _verified,
    results.RolledBack: lambda value: "\n".join(undone.rolled_back(value)),
    results.TransactionList: lambda value: "\n".join(undone.listed(value)),
    Explained: lambda value: "\n".join(findings(value)).strip("\n"),
    results.Watched: lambda value: "\n".join(watched(value)),
    results.IssueReport: lambda value: value.markdown,
    SnapshotList: since.listed,
    results.MatrixShown: matrix,
    MatrixCheck: lambda value: "\n".join(value.summary),
    results.MachineList: _machines,
}
