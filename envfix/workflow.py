"""The order of the stages, nothing else.

    Request + Machine + Matrix → Candidates → Plan → Lock → InstallResult → RestartAdvice → Verification

Each public function is one command, read from top to bottom; what a step does is in its stage. What only one
of them needs is imported in it: it would be a tenth of a report's time.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from functools import partial

from msgspec import structs

from envfix.aside import Aside
from envfix.attesting import attestations_of
from envfix.choosing import choice_of_lock, choose
from envfix.deciding import no_gpu_advice, ranked, settled
from envfix.errors import EnvfixError, InputError, NothingFits, ResolutionFailed
from envfix.future import knowing, knowing_locked, said_of
from envfix.matrix import change, load, rank
from envfix.matrix.ceilings import ceilings
from envfix.mending import look, put_right
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix
from envfix.model.plan import Lock
from envfix.model.request import Accelerator, Request
from envfix.model.results import LockWritten, MachineList, Report, Verified
from envfix.notes import broken_by, notes_of
from envfix.probe import machine_file
from envfix.situation import Parts, Situation, Where, complete
from envfix.solution import make_lock, plan_if_possible, solve
from envfix.sparing import said
from envfix.together import Together, decide_together, ranked_together


def probe(parts: Parts, where: Where) -> Machine:
    """What this machine is, each fact with its evidence. Raises InputError for a `--venv` that is none."""
    here = look(parts, where)
    if here.new_venv:
        raise InputError(f"`{where.venv}` is no virtual environment", "leave `--venv` out")
    return here.machine


def report(parts: Parts, request: Request, where: Where, *, every: bool = False) -> Report:
    """A verdict for every release, and the plan for the recommended one (None where it cannot be made).

    What would make a release fit is said of the newest, and of `every` one where that is asked for.
    """
    matrix = load.load(parts.outside, parts.matrix_dir)
    here = look(parts, where, matrix)
    request = settled(request, here, matrix)
    matrix = knowing(parts, here, matrix, request, judge_installed=True)
    found, unasked = _ranked(parts, here, matrix, request)
    request, here, decision = found.request, found.here, found.decision
    asked = rank.ask(matrix, here.machine, request, here.distributions, here.beside)
    newer = change.for_newer(matrix, decision, asked)
    remedies = change.for_each(matrix, decision, asked) if every else ()
    told = (
        here.moved,
        request.tf.note,
        *decision.advice,
        *newer.advice,
        *no_gpu_advice(here, request),
        unasked,
    )
    advice = [line for line in told if line]
    python = here.target.executable
    result = Report(machine=here.machine, decision=decision, plan=None, remedies=remedies, python=python)
    if decision.recommended is None:
        return structs.replace(result, advice=(*advice, *found.ways_out))
    return _with_plan(parts, here, matrix, request, structs.replace(result, advice=tuple(advice)))


def _ranked(parts: Parts, here: Situation, matrix: Matrix, request: Request) -> tuple[Together, str]:
    """The releases beside what `--with` brings, and in words why that could not be had."""
    try:
        return ranked_together(parts, here, matrix, request), ""
    except ResolutionFailed as problem:
        # What has no solution even without TensorFlow fits no release of it.
        why, unmet = "", f"`--with` has no solution: {problem.message}"
        decision = structs.replace(ranked(here, matrix, request), recommended=None, advice=(), unmet=unmet)
    except EnvfixError as problem:
        decision = ranked(here, matrix, request)
        why = f"what `--with` brings is not known: {problem.message}"
    return Together(request=request, here=here, decision=decision), why


def _with_plan(parts: Parts, here: Situation, matrix: Matrix, request: Request, result: Report) -> Report:
    """The report with the plan for what it recommends, and what holds that plan's NVIDIA wheels."""
    decision, advice = result.decision, result.advice
    assert decision.recommended is not None
    # A report is about the newest release that fits, whatever is installed.
    try:
        choice = choose(parts, here, matrix, structs.replace(request, upgrade=True), decision)
    except NothingFits as problem:
        return structs.replace(result, advice=(*advice, f"no plan: {problem.message}"))
    plan, trouble = plan_if_possible(parts, here, request, choice)
    spared = said(matrix.date, choice.release, choice.bounds, choice.left_out) if request.minimal else ""
    told = [*said_of(matrix, decision.recommended.release), *filter(None, (spared, trouble))]
    allowed = ceilings(choice.candidate.release, here.machine, matrix, choice.bounds)
    return structs.replace(result, plan=plan, bounds=choice.bounds, ceilings=allowed, advice=(*advice, *told))


def lock(
    parts: Parts, request: Request, where: Where, files: Callable[[Lock], Mapping[str, str]]
) -> LockWritten:
    """Decide, resolve, and write the lock as the `files` that are made of it: each text by its path."""
    reading = Aside.begun(partial(load.load, parts.outside, parts.matrix_dir))  # while the machine answers
    here = look(parts, where)
    matrix = reading.result()
    here = complete(here, matrix)
    request = settled(request, here, matrix)
    matrix = knowing(parts, here, matrix, request)
    found = decide_together(parts, here, matrix, request)
    request, here, decision = found.request, found.here, found.decision
    choice = choose(parts, here, matrix, request, decision)
    resolution = solve(parts, here, request, choice)
    made = make_lock(here, matrix, choice, resolution)
    attested = attestations_of(parts, here, request, resolution.packages)
    notes = (*notes_of(here, matrix, request, decision, choice), *broken_by(here, choice, resolution))
    texts = files(made)
    for name, text in texts.items():
        try:
            parts.outside.write_text(name, text)
        except OSError as problem:
            raise InputError(f"`{name}` cannot be written: {problem.strerror}") from None
    return LockWritten(lock=made, files=tuple(texts), notes=notes, attestations=attested)


def check_lock(parts: Parts, where: Where, path: str, *, offline: bool = False) -> LockWritten:
    """Whether a lock still fits the machine and the matrix. Raises LockMismatch."""
    from envfix.lock import check as lock_check
    from envfix.lock import pylock

    matrix = load.load(parts.outside, parts.matrix_dir)
    here = look(parts, where, matrix)
    made = pylock.read_lock(parts.outside, path)
    matrix = knowing_locked(parts, here, matrix, made, offline)
    choice_of_lock(parts, here, matrix, made)
    anew = here.lock_command(made.options)
    warnings = lock_check.check_lock(made, here.machine, here.target, matrix.digest, anew)
    return LockWritten(lock=made, checked=path, warnings=warnings)


def verify(
    parts: Parts, where: Where, accelerator: Accelerator, timeout: float, *, deep: bool = False
) -> Verified:
    """Visibility, placement and numbers in a fresh process of the target interpreter.

    With `deep` a training step is run and measured too, in processes of their own.
    """
    from envfix.circumstances import hinting, with_kernel, with_tensorflow, with_wheels
    from envfix.proving import driver_stub, run_checks, run_deep_checks

    matrix = load.load(parts.outside, parts.matrix_dir)
    here = put_right(parts, where, matrix)
    if here.new_venv:
        hint = shlex.join(["envfix", "install", "--venv", str(where.venv)])
        raise InputError(f"`{where.venv}` is no virtual environment", hint)
    if accelerator is Accelerator.AUTO:
        accelerator = Accelerator.CPU if here.machine.has_no_gpu else Accelerator.GPU
    folder = driver_stub(parts, here, accelerator)
    python, repair = here.target.executable, where.install_command(accelerator, here.machine)
    proof = run_checks(parts, here, matrix, python, accelerator, timeout, folder, repair)
    if deep:
        proof = run_deep_checks(parts, here, proof, timeout, folder)
    if accelerator is Accelerator.GPU:
        proof = with_wheels(parts, here, matrix, proof, repair)
    proof = hinting(with_tensorflow(parts, here, proof, repair), repair)
    return Verified(verification=with_kernel(parts, here, where, proof, accelerator), machine=here.machine)


def machines(parts: Parts) -> MachineList:
    """The machines that can be named with --machine."""
    return MachineList(machines=machine_file.list_machines(parts.outside, f"{parts.matrix_dir}/machines"))
