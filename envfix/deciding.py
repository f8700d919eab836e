"""Which release, or why none: the decision of a command, and the refusals that end it."""

from __future__ import annotations

from msgspec import structs

from envfix.errors import InputError, NothingFits
from envfix.matrix import rank, tf_request
from envfix.model.decision import Decision
from envfix.model.matrix import Matrix, Release
from envfix.model.request import Accelerator, Request
from envfix.model.results import Report
from envfix.probe import no_gpu
from envfix.situation import Situation, searched


def decide(here: Situation, matrix: Matrix, request: Request) -> Decision:
    """The decision, or NothingFits with every release's reason."""
    decision = rank.decide(matrix, here.machine, request)
    if decision.recommended is None:
        advice = (*decision.advice, *no_gpu_advice(here, request))
        report = Report(machine=here.machine, decision=decision, plan=None, advice=advice)
        asked = f" that `{request.tf.text}` names" if request.tf.given else ""
        if not any(_named(candidate.release, request) for candidate in decision.candidates):
            near = tf_request.nearest_releases(request.tf, [row.version for row in matrix.releases])
            raise InputError(
                f"no stable TensorFlow release is `{request.tf.text}` (matrix of {matrix.date})",
                f"the nearest are {', '.join(map(str, near))}",
            )
        hint = advice[0] if advice else None
        raise NothingFits(f"no TensorFlow release{asked} fits this machine", hint, data=report)
    return decision


def _named(release: Release, request: Request) -> bool:
    return request.tf.specifier.contains(release.version, prereleases=True)


def refuse_without_gpu(here: Situation, request: Request) -> None:
    """End at once where there is no GPU and one was asked for: no install can help."""
    if request.accelerator is Accelerator.GPU and here.machine.has_no_gpu:
        advice = no_gpu.advice_without_gpu(here.machine)
        raise NothingFits(
            "this machine has no NVIDIA GPU (asked: "
            f"{', '.join(searched(here.machine)) or 'the machine file'})",
            "\n".join(advice),
            data=Report(
                machine=here.machine,
                decision=Decision(candidates=(), recommended=None),
                plan=None,
                advice=advice,
            ),
        )


def no_gpu_advice(here: Situation, request: Request) -> tuple[str, ...]:
    wants_gpu = request.accelerator is Accelerator.GPU
    return no_gpu.advice_without_gpu(here.machine) if wants_gpu and here.machine.has_no_gpu else ()


def with_accelerator(request: Request, here: Situation, matrix: Matrix) -> Request:
    """The request with `auto` decided: the GPU wherever there is one that some release can use."""
    if request.accelerator is not Accelerator.AUTO:
        return request
    gpu = structs.replace(request, accelerator=Accelerator.GPU)
    if here.machine.has_no_gpu or rank.decide(matrix, here.machine, gpu).recommended is None:
        return structs.replace(request, accelerator=Accelerator.CPU)
    return gpu
