"""What an install and a verification came to: the proof, then the outcome, then the word on the restart."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from envfix.model.attestation import Attestations, Standing
from envfix.model.outcome import (
    REPAIR,
    Check,
    Proof,
    RestartAdvice,
    RestartBy,
    Status,
    Verification,
)
from envfix.model.results import Installed
from envfix.render.plan import plan

MARK = {Status.PASSED: "ok    ", Status.FAILED: "FAILED", Status.SKIPPED: "-     "}
PROVEN = {
    Proof.GPU: "gpu: the ops of these checks ran on the real GPU and agree with the CPU",
    Proof.LOADER: "loader: the real wheel opened its CUDA libraries and registered the GPU "
    "under a driver stub; no kernel ran",
    Proof.CPU: "cpu: the ops of these checks ran on the CPU",
}
_LIBRARY = re.compile(r"\S+ \((/[^()]*)/[^()/]*\)(?:, |$)")
_PLACES = (
    (re.compile(r"/(?:site|dist)-packages/nvidia/"), "the NVIDIA wheels"),
    (re.compile(r"/envfix/stub-[0-9a-f]+/$"), "the driver stub"),
)
NOW = {
    RestartBy.JUPYTER_SERVER: "the Jupyter server starts the kernel anew (a message that it died is this)",
    RestartBy.KERNEL_SHUTDOWN: "the kernel ends after this cell, and its server starts another one",
    RestartBy.KERNEL_ENDED: "the kernel is ended, and another one comes up (a message on a crash is this)",
}
THEN = "what is behind this cell did not run: run the cells from the top"
IF_IMPORTED = 6  # names that are worth being read


def installed(value: Installed) -> list[str]:
    """The last lines say the outcome, then whether and how to restart."""
    lines = [f"note     {note}" for note in value.notes] + attested(value.attestations)
    if value.dry_run:
        return [
            *lines,
            *plan(value.plan),
            *_kernel(value),
            *_other_kernel(value),
            "dry run  nothing was changed",
        ]
    if value.result is not None and value.result.loader:
        lines.append(f"loader   {value.result.loader}")
    if value.verification is not None:
        # What has just been run is no advice.
        lines += [line for line in verification(value.verification) if line != _hint(REPAIR)]
    if value.transaction:
        again = shlex.join(["envfix", "rollback", value.transaction, "--python", value.python])
        lines.append(f"undo     {again}")
    lines.append(_outcome(value))
    lines += _kernel(value)
    lines += _other_kernel(value)
    if value.restart is not None:
        lines += restart(value.restart)
    return lines


def _kernel(value: Installed) -> list[str]:
    spec = value.kernelspec
    if spec is None:
        return [f"kernel   `{one.name}` is called `{one.display_name}` now" for one in value.kernelspecs]
    if value.dry_run:
        return [f"kernel   `{spec.display_name}` would be registered in {spec.path}"]
    return [f"kernel   `{spec.display_name}` is registered in {spec.path}: choose it in the notebook's menu"]


def attested(found: Attestations | None) -> list[str]:
    """One line on the attestations, where they were asked for."""
    if found is None:
        return []
    count, verified = len(found.published), len(found.those(Standing.VERIFIED))
    words = f"{count} of {_number(found.looked_up, 'file')} {'has' if count == 1 else 'have'} attestations"
    checked = f"{verified} of them verified, " if verified else ""
    if found.not_checked:
        return [f"attested {words}; {checked}not checked: {found.not_checked}"]
    return [f"attested {words}{', and they verify' if verified else ''}"]


def _outcome(value: Installed) -> str:
    where = f"{value.package} {value.tensorflow} in {value.python}"
    changed = len(value.result.changed) if value.result else 0
    words = f"{_number(changed, 'package')} changed" if changed else "nothing was changed"
    if value.verification is not None and not value.verification.passed:
        return f"failed   {where}: verification failed, {words}"
    if value.result is None:
        return f"keep     {where}: it fits, nothing was changed"
    return f"done     {where}: {words}"


def _other_kernel(value: Installed) -> list[str]:
    """Where the notebook imports from another environment, that it does, and what to run for its own."""
    kernel = value.kernel
    if kernel is None or kernel.same or value.kernelspec is not None:
        return []
    own = shlex.join(["envfix", "install", "--python", kernel.python, *value.asked])
    return [
        f"WARNING  this notebook runs {kernel.python}, not {value.python}: its cells see nothing of this",
        f"         for the notebook's own: {own}",
    ]


def restart(advice: RestartAdvice) -> list[str]:
    """Whether the notebook must be restarted, and how; or that envfix does it now, or why it does not."""
    if advice.by is not None:
        return [f"restart  now: {_reason(advice)}", f"         {NOW[advice.by]}; {THEN}"]
    lines = _advice(advice)
    if advice.not_done:
        lines.append(f"         not restarted by envfix: {advice.not_done}")
    if advice.run_all:
        lines.append(f"         {advice.run_all}")
    return lines


def _reason(advice: RestartAdvice) -> str:
    """Why, in one line that needs no list of names."""
    return (
        advice.reason
        if advice.needed
        else f"the notebook may have imported what was changed: {advice.reason}"
    )


def _advice(advice: RestartAdvice) -> list[str]:
    if advice.needed is None:
        names = ", ".join(advice.if_imported[:IF_IMPORTED])
        more = len(advice.if_imported) - IF_IMPORTED
        names += f" or {more} more" if more > 0 else ""
        return [
            f"restart  only if the notebook has already imported {names}: {advice.reason}",
            *_how(advice),
        ]
    if advice.needed:
        return [f"restart  needed: {advice.reason}", *_how(advice)]
    if advice.owed is False:
        return [f"restart  done: {advice.reason}"]
    return [f"restart  not needed: {advice.reason}", *_how(advice)]


def _how(advice: RestartAdvice) -> list[str]:
    return [f"         {advice.how}"] if advice.how else []


def verification(value: Verification) -> list[str]:
    """Each check with what was expected and seen, then what it proves and no more."""
    lines = [f"verify   tensorflow {value.tensorflow or '?'} in {value.python}"]
    said: set[str] = set()
    for skipped, group in groupby(value.checks, key=_why_skipped):
        checks = list(group)
        if skipped is None:
            for check in checks:
                lines += [line for line in _check(check) if line not in said]
                said.update(lines)
        else:
            observed, cause = skipped
            names = ", ".join(check.name for check in checks)
            lines.append(f"  {MARK[Status.SKIPPED]} {observed}: {names}" + (f" ({cause})" if cause else ""))
    if value.devices:
        lines.append(f"devices  {', '.join(value.devices)}")
    if value.passed and value.proof is not None:
        lines.append(f"proof    {PROVEN[value.proof]}")
    else:
        ended = f": the process ended with {value.ended}" if value.ended not in ("", "exit 0") else ""
        lines.append(f"proof    none: verification failed{ended}")
    return lines


def _why_skipped(check: Check) -> tuple[str, str] | None:
    return (check.observed, check.cause) if check.status is Status.SKIPPED else None


def _check(check: Check) -> list[str]:
    observed = check.observed
    libraries = _LIBRARY.findall(observed) if check.status is Status.PASSED else []
    if libraries:
        observed = _opened(libraries)
    lines = [f"  {MARK[check.status]} {check.name}: {observed}"]
    if check.status is Status.FAILED:
        lines.append(f"         expected {check.expected}")
        lines += [f"         cause {check.cause}"] if check.cause else []
        lines += [_hint(check.hint)] if check.hint else []
    return lines


def _hint(text: str) -> str:
    return f"         hint  {text}"


def _opened(folders: Sequence[str]) -> str:
    """`21 opened: 19 from the NVIDIA wheels, 2 from /usr/lib64-nvidia`; each path is in the JSON."""
    places = Counter(map(_place, folders)).most_common()
    return f"{len(folders)} opened: " + ", ".join(f"{number} from {place}" for place, number in places)


def _place(folder: str) -> str:
    return next((name for pattern, name in _PLACES if pattern.search(f"{folder}/")), folder)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
