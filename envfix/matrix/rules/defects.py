"""Rule 6: the release is not known to be broken here, or what envfix does about it is proven."""

from __future__ import annotations

from msgspec import UNSET

from envfix.matrix.rules.case import Case
from envfix.matrix.rules.match import Match, is_within, matches
from envfix.matrix.rules.proof import said_of_proofs
from envfix.matrix.system_cuda import judge_system_cuda
from envfix.model.decision import Fit, Verdict
from envfix.model.machine import Machine, known
from envfix.model.matrix import Effect, KnownBad, Release
from envfix.nvidia.pins import is_for

RULE = "known-bad"
WANTED = "no known defect, or one that envfix mends"
# Stands in a symptom for the compiler's name of the GPU, such as `sm_120`.
TARGET = "{target}"
# Where nothing is known against a release, this is where it would have been written down.
REPORTS = "https://github.com/tensorflow/tensorflow/issues"


def judge_defects(case: Case) -> Verdict:
    """No row of `known_bad.yaml` applies, or what applies is mended."""
    return _judge(case, case.matrix.known_bad) if case.has_cuda_build else judge_defects_on_cpu(case)


def judge_defects_on_cpu(case: Case) -> Verdict:
    """As `judge_defects`, without what is about GPUs and their libraries: a CPU build uses neither."""
    return _judge(case, tuple(row for row in case.matrix.known_bad if not _about_gpu(row)))


def _about_gpu(row: KnownBad) -> bool:
    conditions = (row.gpu_first, row.gpu_last, row.driver_below, row.cudnn_below)
    return row.effect is Effect.LOADER or row.gpu_only or any(conditions)


def symptom(row: KnownBad, machine: Machine) -> str:
    """What is seen, with the compiler's name for the machine's own GPUs where the row leaves it open."""
    if TARGET not in row.symptom:
        return row.symptom
    met = [
        gpu.compute_capability
        for gpu in known(machine.gpus, ())
        if gpu.compute_capability is not UNSET and is_within(row, gpu.compute_capability)
    ]
    targets = [f"sm_{one.major}{one.minor}" for one in sorted(set(met), key=lambda one: one.key)]
    return row.symptom.replace(TARGET, " or ".join(targets) or "the GPU")


def _judge(case: Case, rows: tuple[KnownBad, ...]) -> Verdict:
    verdicts = []
    for row in rows:
        if not is_for(row.tf, case.release):
            continue
        cudnn = case.cudnn if row.cudnn_below else None
        match = matches(row, case.release, case.machine, cudnn=cudnn)
        if match is not Match.NO and not (row.without_system_cuda and _system_serves(case)):
            fit = _fit(row, case.release, match)
            if fit is not None:
                verdicts.append((fit, row))
    for wanted in (Fit.NO, Fit.UNKNOWN):
        for fit, row in verdicts:
            if fit is wanted:
                return _verdict(fit, f"{symptom(row, case.machine)}{_remedy(row)}", row.source)
    said = [row for _, row in verdicts]
    if not said:
        return _verdict(Fit.YES, "none", REPORTS)
    found = "; ".join(_mended(row, case) for row in said)
    return _verdict(Fit.YES, found, said[0].source)


def _system_serves(case: Case) -> bool:
    return judge_system_cuda(case.release, case.machine, case.matrix).fit is Fit.YES


def _fit(row: KnownBad, release: Release, match: Match) -> Fit | None:
    """What a row that applies comes to; None where there is nothing to say."""
    if row.effect in (Effect.AVOIDED, Effect.CAPS):
        return None
    if row.effect is Effect.NO:
        return Fit.NO if match is Match.YES else Fit.UNKNOWN
    if row.effect is Effect.UNKNOWN:
        return Fit.UNKNOWN
    if row.effect is Effect.LOADER and not release.proven:
        return Fit.UNKNOWN
    return Fit.YES if match is Match.YES else None


def _mended(row: KnownBad, case: Case) -> str:
    if row.effect is Effect.LOADER:
        return f"{row.symptom}; with envfix's library discovery it registers ({said_of_proofs(case)})"
    return f"{symptom(row, case.machine)}{_remedy(row)}"


def _remedy(row: KnownBad) -> str:
    return f" (remedy: {row.remedy})" if row.remedy else ""


def _verdict(fit: Fit, found: str, source: str) -> Verdict:
    return Verdict(rule=RULE, fit=fit, wanted=WANTED, found=found, source=source)
