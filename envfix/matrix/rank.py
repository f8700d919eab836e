"""From the rules to a decision: the newest release that is all yes, else the newest that nothing forbids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import UNSET, Struct, structs

from envfix.matrix.absent import absent
from envfix.matrix.rules import CPU_RULES, GPU_RULES
from envfix.matrix.rules.case import Case, Rule, case_of
from envfix.matrix.rules.defects import RULE as DEFECTS
from envfix.matrix.rules.demands import Demand, demands_of
from envfix.matrix.rules.driver import major_floor
from envfix.matrix.rules.gpu import code_of, jit_floor
from envfix.matrix.rules.installed import RULE as INSTALLED
from envfix.matrix.rules.libraries import judge_cudnn, judge_libraries
from envfix.matrix.rules.proof import is_proven, proven_pythons
from envfix.model.decision import Candidate, Code, Decision, Fit, Verdict
from envfix.model.machine import Arch, Machine, Os, known
from envfix.model.matrix import Matrix, Release
from envfix.model.request import ANY, Accelerator, CudaSource, Request, TensorFlowRequest
from envfix.model.target import Distribution

_NOTHING_ASKED = Request(tf=ANY)
# These choose the NVIDIA wheels first.
_DEAR = (judge_libraries, judge_cudnn)
# What compilation by the driver costs.
_JIT_TIME = {
    Code.NATIVE_JIT: "the driver compiles elementwise ops on first use and keeps them (minutes, once)",
    Code.JIT: "the driver compiles every kernel on first use: the first start may take 30 minutes and more",
}


def decide(
    matrix: Matrix,
    machine: Machine,
    request: Request,
    installed: Sequence[Distribution] | None = None,
    beside: Sequence[Distribution] = (),
) -> Decision:
    """Every release of the matrix with its verdicts, newest first, and the one to take.

    `recommended` is the newest `yes` of those that the request names, else the newest `unknown`, else None.
    With accelerator `cpu` the rules about GPUs do not count; `auto` is judged as `gpu`. `installed` are the
    distributions of the interpreter that is really there, with their requirements; without them the
    machine's names and versions must do. `beside` are the packages of `--with` that ask for
    NVIDIA wheels themselves.
    """
    newest_first = sorted(
        matrix.releases, key=lambda row: (row.version, row.package == request.tf.package), reverse=True
    )
    asked = ask(matrix, machine, request, installed, beside)
    candidates = tuple(judge_asked(matrix, release, asked) for release in newest_first)
    eligible = [candidate for candidate in candidates if is_named(candidate.release, request.tf)]
    recommended = next((one for fit in (Fit.YES, Fit.UNKNOWN) for one in eligible if one.fit is fit), None)
    if eligible:
        advice = tuple(_advice(eligible, recommended, machine, matrix, request))
    else:
        missing = absent(matrix, request)
        advice = (missing.message, *missing.hints)
    return Decision(candidates=candidates, recommended=recommended, advice=advice)


def judge(
    matrix: Matrix,
    machine: Machine,
    release: Release,
    accelerator: Accelerator = Accelerator.GPU,
    *,
    request: Request | None = None,
    installed: Sequence[Distribution] | None = None,
    beside: Sequence[Distribution] = (),
) -> Candidate:
    """One release with everything the rules say of it.

    `request` is asked for `--with` and `--cuda` alone, not for the releases or the accelerator that it names.
    """
    request = structs.replace(request or _NOTHING_ASKED, accelerator=accelerator)
    return judge_asked(matrix, release, ask(matrix, machine, request, installed, beside))


class Asked(Struct, frozen=True):
    """What every release is judged by."""

    machine: Machine
    request: Request
    demands: tuple[Demand, ...] | None
    beside: Sequence[Distribution]

    @property
    def wants_gpu(self) -> bool:
        return self.request.accelerator is not Accelerator.CPU

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those that count: what needs a GPU does not keep a release from the CPU."""
        return GPU_RULES if self.wants_gpu else CPU_RULES

    def case(self, matrix: Matrix, release: Release) -> Case:
        """What the rules see of one release."""
        return case_of(
            release,
            self.machine,
            matrix,
            cuda=self.request.cuda,
            companions=self.request.companions,
            demands=self.demands,
            beside=self.beside,
        )


def ask(
    matrix: Matrix,
    machine: Machine,
    request: Request,
    installed: Sequence[Distribution] | None = None,
    beside: Sequence[Distribution] = (),
) -> Asked:
    """`installed` and `beside` are as in `decide`."""
    return Asked(machine, request, demands_of(machine, matrix, installed), beside)


def judge_asked(matrix: Matrix, release: Release, asked: Asked) -> Candidate:
    """As `judge`, with what does not depend on the release read already.

    Where the NVIDIA wheels of what is installed are in the way, the machine's own CUDA may serve.
    """
    candidate = _judged(matrix, release, asked)
    against = {verdict.rule for verdict in candidate.verdicts if verdict.fit is Fit.NO}
    if asked.request.cuda is not CudaSource.AUTO or against != {INSTALLED}:
        return candidate
    request = structs.replace(asked.request, cuda=CudaSource.SYSTEM)
    on_system = _judged(matrix, release, structs.replace(asked, request=request))
    return on_system if on_system.fit is Fit.YES else candidate


def _judged(matrix: Matrix, release: Release, asked: Asked) -> Candidate:
    case = asked.case(matrix, release)
    verdicts = tuple(verdict for rule in asked.rules if (verdict := rule(case)) is not None)
    return Candidate(
        release=release,
        fit=worst(verdicts),
        code=code_of(release, asked.machine, matrix) if asked.wants_gpu else Code.NONE,
        proven=asked.wants_gpu and is_proven(case),
        verdicts=verdicts,
    )


def fit_of(matrix: Matrix, release: Release, asked: Asked) -> Fit:
    """What `judge_asked` comes to, without the rest: once a rule says no, the others are not asked."""
    case, found = asked.case(matrix, release), Fit.YES
    for rule in sorted(asked.rules, key=_DEAR.__contains__):
        verdict = rule(case)
        if verdict is not None and verdict.fit is Fit.NO:
            return judge_asked(matrix, release, asked).fit if verdict.rule == INSTALLED else Fit.NO
        if verdict is not None and verdict.fit is Fit.UNKNOWN:
            found = Fit.UNKNOWN
    return found


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


def is_named(release: Release, tf: TensorFlowRequest) -> bool:
    """Whether the request allows the release.

    A yanked one only when it is named exactly (PEP 592), a pre-release only when one is named (PEP 440).
    """
    if release.package != tf.package:
        return False
    if release.yanked and not any(part.operator in ("==", "===") for part in tf.specifier):
        return False
    if release.version.is_prerelease and not tf.specifier.prereleases:
        return False
    return tf.specifier.contains(release.version, prereleases=True)


def _advice(
    eligible: list[Candidate],
    recommended: Candidate | None,
    machine: Machine,
    matrix: Matrix,
    request: Request,
) -> Iterator[str]:
    newest = eligible[0]
    if newest is not recommended:
        verdict = next(verdict for verdict in newest.verdicts if verdict.fit is newest.fit)
        word = "does not fit" if newest.fit is Fit.NO else "is not known to work"
        yield f"{newest.name}, the newest, {word} here: {_why(verdict)}"
    if recommended is None:
        return
    name = recommended.name
    for verdict in recommended.verdicts:
        if verdict.fit is Fit.UNKNOWN:
            yield f"not known of {name}: {_why(verdict)}"
    yield from _proof(recommended, machine)
    yield from _lost_gpus(machine, matrix)
    if recommended.code in _JIT_TIME:
        yield f"{name}: {_JIT_TIME[recommended.code]}"
    if recommended.code is not Code.NONE:
        yield from _ptxas(recommended.release, machine, matrix, request)


def _proof(candidate: Candidate, machine: Machine) -> Iterator[str]:
    """That the proof of the release is of another case, where it is."""
    pythons = proven_pythons(candidate.release)
    if candidate.proven or candidate.code is Code.NONE or not pythons:
        return
    if known(machine.os, Os.LINUX) is not Os.LINUX or known(machine.arch, Arch.X86_64) is not Arch.X86_64:
        yield f"{candidate.name} is proven on Linux x86_64 alone"
    elif machine.python is not UNSET and machine.python.cut(2) not in pythons:
        listed = ", ".join(map(str, pythons))
        yield f"{candidate.name} is proven on Python {listed}, and not yet on {machine.python.cut(2)}"
    else:
        yield f"{candidate.name} is proven with other NVIDIA libraries than those for this machine"


def _lost_gpus(machine: Machine, matrix: Matrix) -> Iterator[str]:
    """A driver that is too new for a GPU: it cannot drive it, so that one of the two is told wrongly."""
    driver = known(machine.driver, None)
    release = known(driver.release, None) if driver else None
    for gpu in known(machine.gpus, ()):
        capability = known(gpu.compute_capability, None)
        for row in matrix.gpus.drivers_end:
            if capability and release and capability <= row.up_to and release.major > row.last_branch:
                yield (
                    f"no driver after {row.last_branch} knows GPUs of compute capability {capability}, found "
                    f"{release}: is the machine described rightly?"
                )
                break


def _why(verdict: Verdict) -> str:
    return verdict.reason if verdict.rule == DEFECTS else f"{verdict.rule}: {verdict.reason}"


def _ptxas(release: Release, machine: Machine, matrix: Matrix, request: Request) -> Iterator[str]:
    """In XLA's words: "the driver is older than the PTX compiler version, XLA is disabling parallel
    compilation"."""
    driver = known(machine.driver, None)
    toolkit = case_of(release, machine, matrix, cuda=request.cuda).libraries.cuda
    if driver is None or driver.cuda is UNSET or toolkit is None:
        return
    if driver.cuda.cut(2).key < toolkit.cut(2).key:
        yield (
            f"the driver's CUDA {driver.cuda} is older than the ptxas of CUDA {toolkit}: XLA compiles one "
            "kernel at a time"
        )
