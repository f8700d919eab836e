"""From the rules to a decision: the newest release that is all yes, else the newest that nothing forbids."""

from __future__ import annotations

from collections.abc import Iterable

from envfix.matrix.rules import GPU_RULES, Rule
from envfix.matrix.rules.defects import judge_defects_on_cpu
from envfix.matrix.rules.driver import major_floor
from envfix.matrix.rules.gpu import code_of, jit_floor
from envfix.matrix.rules.host import judge_any_wheel, judge_cpu
from envfix.model.decision import Candidate, Code, Decision, Fit, Verdict
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix, Release
from envfix.model.request import Accelerator, Request, TensorFlowRequest

CPU_RULES: tuple[Rule, ...] = (judge_any_wheel, judge_defects_on_cpu, judge_cpu)
# Verdicts that a driver, or nothing but a newer machine, would change are worth a line of advice.
_JIT_TIME = {
    Code.NATIVE_JIT: "the driver compiles elementwise ops on first use and keeps them (minutes, once)",
    Code.JIT: "the driver compiles every kernel on first use: the first start may take 30 minutes and more",
}


def decide(matrix: Matrix, machine: Machine, request: Request) -> Decision:
    """Every release of the matrix with its verdicts, newest first, and the one to take.

    `recommended` is the newest `yes` of those that the request names, else the newest `unknown`, else None.
    With accelerator `cpu` the rules about GPUs do not count; `auto` is judged as `gpu`.
    """
    newest_first = sorted(matrix.releases, key=lambda release: release.version, reverse=True)
    candidates = tuple(judge(matrix, machine, release, request.accelerator) for release in newest_first)
    eligible = [candidate for candidate in candidates if _named(candidate.release, request.tf)]
    recommended = next((one for fit in (Fit.YES, Fit.UNKNOWN) for one in eligible if one.fit is fit), None)
    return Decision(
        candidates=candidates,
        recommended=recommended,
        advice=tuple(_advice(eligible, recommended)),
    )


def judge(
    matrix: Matrix, machine: Machine, release: Release, accelerator: Accelerator = Accelerator.GPU
) -> Candidate:
    """One release with everything the rules say of it."""
    on_cpu = accelerator is Accelerator.CPU
    verdicts = tuple(rule(release, machine, matrix) for rule in (CPU_RULES if on_cpu else GPU_RULES))
    return Candidate(
        release=release,
        fit=worst(verdicts),
        code=Code.NONE if on_cpu else code_of(release, machine, matrix),
        proven=release.proven,
        verdicts=verdicts,
    )


def worst(verdicts: Iterable[Verdict]) -> Fit:
    """No where any is no, else unknown where any is, else yes."""
    found = {verdict.fit for verdict in verdicts}
    return next((fit for fit in (Fit.NO, Fit.UNKNOWN) if fit in found), Fit.YES)


def driver_floor(release: Release, machine: Machine, matrix: Matrix) -> str | None:
    """The least driver for the release on a machine like this one; None where NVIDIA names none."""
    floors = [jit_floor(release, machine, matrix)]
    if release.built_with_cuda is not None:
        floors.append(major_floor(release.built_with_cuda, machine, matrix))
    drivers = [floor.driver for floor in floors if floor and floor.driver]
    return str(max(drivers)) if drivers else None


def _named(release: Release, tf: TensorFlowRequest) -> bool:
    """Whether the request allows the release. A yanked one must be named exactly (PEP 592)."""
    if release.yanked and not any(part.operator in ("==", "===") for part in tf.specifier):
        return False
    return tf.specifier.contains(
        release.version, prereleases=(release.version.is_prerelease and tf.given) or None
    )


def _advice(eligible: list[Candidate], recommended: Candidate | None) -> Iterable[str]:
    newer = [one for one in eligible if recommended is None or one.version > recommended.version]
    if newer:
        verdict = next(verdict for verdict in newer[0].verdicts if verdict.fit is newer[0].fit)
        yield (
            f"tensorflow {newer[0].version} is newer, and {_word(verdict.fit)} here: {verdict.rule}: "
            f"wanted {verdict.wanted}, found {verdict.found}"
        )
    if recommended is None:
        return
    if recommended.fit is Fit.UNKNOWN:
        doubts = [verdict for verdict in recommended.verdicts if verdict.fit is Fit.UNKNOWN]
        for verdict in doubts:
            yield f"not known of tensorflow {recommended.version}: {verdict.rule}: {verdict.found}"
    if recommended.code in _JIT_TIME:
        yield f"tensorflow {recommended.version}: {_JIT_TIME[recommended.code]}"


def _word(fit: Fit) -> str:
    return "does not fit" if fit is Fit.NO else "not known to work"
