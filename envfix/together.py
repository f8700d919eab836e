"""TensorFlow beside packages that ask for NVIDIA wheels themselves: one decision that fits them all.

torch and jax ask for NVIDIA wheels, torch for one exact version of each. Decided one after the other they
meet in the resolver, which knows only that it cannot, or goes back to a torch from before there were such
wheels. So what `--with` names is resolved first, what is installed and stays is read, and TensorFlow is
chosen to fit them.
"""

from __future__ import annotations

from msgspec import Struct, structs

from envfix.beside import with_beside
from envfix.deciding import decide, ranked
from envfix.errors import NothingFits
from envfix.model.decision import Decision
from envfix.model.matrix import Matrix
from envfix.model.request import Request
from envfix.pairs import pairs_that_fit
from envfix.refusing import held_candidate, in_new_environment
from envfix.situation import Parts, Situation


class Together(Struct, frozen=True, kw_only=True):
    """The decision, the situation with what is beside TensorFlow, and the request, in which a companion whose
    release was left open may be held to one that fits.

    `ways_out` are the nearest pairs with their commands, where nothing fits.
    """

    request: Request
    here: Situation
    decision: Decision
    ways_out: tuple[str, ...] = ()


def ranked_together(parts: Parts, here: Situation, matrix: Matrix, request: Request) -> Together:
    """Every release beside what is installed and what `--with` brings. Raises ResolutionFailed where the
    companions have no solution even by themselves, and IndexUnreachable."""
    there = with_beside(parts, here, matrix, request)
    decision = ranked(there, matrix, request)
    if decision.recommended is not None:
        return Together(request=request, here=there, decision=decision)
    pairs = pairs_that_fit(parts, there, matrix, request, decision)
    for pair in pairs:
        if pair.taken:
            advice = (*pair.decision.advice, pair.said)
            decision = structs.replace(pair.decision, advice=advice)
            held = structs.replace(pair.request, tf=request.tf)
            return Together(request=held, here=pair.here, decision=decision)
    ways_out = [pair.line for pair in pairs]
    if held_candidate(there, matrix, request, decision) is not None:
        ways_out += in_new_environment(there, matrix, request)
    return Together(request=request, here=there, decision=decision, ways_out=tuple(ways_out))


def decide_together(parts: Parts, here: Situation, matrix: Matrix, request: Request) -> Together:
    """As `ranked_together`, where something fits. Raises NothingFits, with the nearest pairs."""
    found = ranked_together(parts, here, matrix, request)
    if found.decision.recommended is not None:
        return found
    try:
        decide(found.here, matrix, request)
    except NothingFits as refused:
        if found.ways_out:
            hint = "\n".join(found.ways_out)
            raise NothingFits(refused.message, hint, data=refused.data) from None
        raise
    return found
