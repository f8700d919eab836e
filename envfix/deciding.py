"""Which release: the decision of a command, and the refusal where there is no GPU to decide for."""

from __future__ import annotations

from msgspec import structs

from envfix.errors import NothingFits
from envfix.matrix import rank
from envfix.model.conflicts import package_of
from envfix.model.decision import Candidate, Decision, Fit
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix
from envfix.model.request import Accelerator, Request
from envfix.model.results import Report
from envfix.probe import no_gpu
from envfix.refusing import refusal, to_install
from envfix.resolve.wanted import tensorflow_installed
from envfix.situation import Situation, searched


def decide(here: Situation, matrix: Matrix, request: Request) -> Decision:
    """The decision, or NothingFits with every release's reason."""
    decision = ranked(here, matrix, request)
    if decision.recommended is None:
        advice = (*decision.advice, *no_gpu_advice(here, request))
        raise refusal(here, matrix, request, decision, advice)
    return decision


def ranked(here: Situation, matrix: Matrix, request: Request) -> Decision:
    """Every release on this machine, beside what is installed and what `--with` brings."""
    return rank.decide(matrix, here.machine, request, here.distributions, here.beside)


def doubts(candidate: Candidate) -> tuple[str, ...]:
    """What is not known of a release, a line for each rule."""
    return tuple(
        f"not known of {candidate.name}: {verdict.rule}: {verdict.reason}"
        for verdict in candidate.verdicts
        if verdict.fit is Fit.UNKNOWN
    )


def refuse_without_gpu(here: Situation, request: Request) -> None:
    """End at once where there is no GPU and one was asked for: no install can help."""
    if request.accelerator is Accelerator.GPU and here.machine.has_no_gpu:
        raise without_gpu(here.machine, no_gpu_advice(here, request))


def without_gpu(machine: Machine, advice: tuple[str, ...]) -> NothingFits:
    """The error that says who was asked for a GPU, and what to do."""
    return NothingFits(
        f"this machine has no NVIDIA GPU (asked: {', '.join(searched(machine)) or 'the machine file'})",
        "\n".join(advice),
        data=Report(
            machine=machine,
            decision=Decision(candidates=(), recommended=None),
            plan=None,
            advice=advice,
        ),
    )


def no_gpu_advice(here: Situation, request: Request) -> tuple[str, ...]:
    """What to do where a GPU is asked for and there is none, one sentence each; empty elsewhere."""
    wants_gpu = request.accelerator is Accelerator.GPU
    if not wants_gpu or not here.machine.has_no_gpu:
        return ()
    return no_gpu.advice_without_gpu(here.machine, to_install(here, request))


def settled(request: Request, here: Situation, matrix: Matrix) -> Request:
    """The request with what it leaves open decided: the package is the one that is installed, and `auto` the
    GPU wherever there is one that some release can use."""
    dist = tensorflow_installed(here.target)
    if dist is not None and not request.tf.given:
        tf = structs.replace(request.tf, package=package_of(dist.name))
        request = structs.replace(request, tf=tf)
    if request.accelerator is not Accelerator.AUTO:
        return request
    gpu = structs.replace(request, accelerator=Accelerator.GPU)
    if here.machine.has_no_gpu or ranked(here, matrix, gpu).recommended is None:
        return structs.replace(request, accelerator=Accelerator.CPU)
    return gpu
