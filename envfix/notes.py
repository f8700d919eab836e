"""What is to be said of a choice: where it came from, what is newer, what is not known, what it breaks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from envfix.choice import Choice
from envfix.deciding import doubts
from envfix.future import said_of
from envfix.model.decision import Decision, Fit
from envfix.model.matrix import Matrix
from envfix.model.plan import Resolution
from envfix.model.request import Request
from envfix.refusing import to_install
from envfix.resolve import planning
from envfix.situation import Situation
from envfix.sparing import said


def notes_of(
    here: Situation, matrix: Matrix, request: Request, decision: Decision, choice: Choice
) -> tuple[str, ...]:
    """A line for each thing that whoever installs the choice should know."""
    # Advice is about the recommended release; of another one, what is not known of it is said.
    best = decision.recommended
    taken = best is not None and choice.release.key == best.release.key
    advice = decision.advice if taken else doubts(choice.candidate)
    read = said_of(matrix, choice.release)
    spared = said(matrix.date, choice.release, choice.bounds, choice.left_out) if request.minimal else ""
    told = (
        here.moved,
        request.tf.note,
        _newer_offer(here, request, decision, choice),
        spared,
        *read,
        *advice,
    )
    return tuple(line for line in told if line)


def broken_by(here: Situation, choice: Choice, resolution: Resolution) -> Iterator[str]:
    """A line for each requirement of what is installed that the solution would break."""
    for one in planning.make_plan(resolution, here.target, choice.wanted.because, {}).breaks:
        yield f"it would break {one.package}: needs {one.requirement}, would find {one.found}"


def _newer_offer(here: Situation, request: Request, decision: Decision, choice: Choice) -> str:
    """One line that offers a newer release than the one kept, empty when there is none."""
    best = decision.recommended
    if best is None or best.release.key <= choice.release.key or best.fit is not Fit.YES:
        return ""
    upgrade = shlex.join([*to_install(here, request), "--upgrade"])
    return f"{best.name} fits too: `{upgrade}` takes it"
