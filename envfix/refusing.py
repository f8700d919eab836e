"""The refusal where no release fits what was asked for: why, and the command line that gets one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from envfix.errors import EnvfixError, InputError, NothingFits
from envfix.matrix import change, rank, tf_request
from envfix.matrix.rules import defects
from envfix.model.decision import Candidate, Decision, Fit, Verdict
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix
from envfix.model.request import ANY, Accelerator, CudaSource, Request
from envfix.model.results import Report
from envfix.model.versions import PythonRelease
from envfix.situation import Situation


def refusal(
    here: Situation, matrix: Matrix, request: Request, decision: Decision, advice: tuple[str, ...]
) -> EnvfixError:
    """InputError where the matrix holds nothing that was named, else NothingFits with every reason."""
    named = [
        candidate
        for candidate in decision.candidates
        if request.tf.specifier.contains(candidate.version, prereleases=True)
    ]
    if not named:
        return _no_such_release(matrix, request)
    if len(named) == 1:
        reasons = _reasons(named[0])
        verb = "" if reasons.startswith(("needs ", "is known ")) else "does not fit here: "
        message = f"tensorflow {named[0].version} {verb}{reasons}"
    elif request.tf.given:
        message = f"no TensorFlow release that `{request.tf.text}` names fits this machine"
    else:
        message = "no TensorFlow release fits this machine"
    notes = (request.tf.note,) if request.tf.note else ()
    report = Report(
        machine=here.machine,
        decision=decision,
        plan=None,
        advice=(*notes, *advice),
        named=tuple(candidate.version for candidate in named),
    )
    hints = [*notes, *_ways_out(here, matrix, request, named)]
    hints = hints or [*_remedy(here, matrix, request, named), *advice][:1]
    return NothingFits(message, "\n".join(hints) or None, data=report)


def _no_such_release(matrix: Matrix, request: Request) -> InputError:
    near = tf_request.nearest_releases(request.tf, [row.version for row in matrix.releases])
    hint = f"the nearest are {', '.join(map(str, near))}"
    if max(row.version for row in matrix.releases) in near:
        hint += "; `pip install -U envfix-tf` brings a newer matrix, where there is one"
    return InputError(
        f"the matrix of {matrix.date} has no stable TensorFlow release that `{request.tf.text}` names", hint
    )


def _reasons(candidate: Candidate) -> str:
    """`needs Python 3.7 to 3.10, found 3.12`, for each rule that says no."""
    verdicts = [verdict for verdict in candidate.verdicts if verdict.fit is Fit.NO]
    return "; ".join(map(_reason, verdicts))


def _reason(verdict: Verdict) -> str:
    if verdict.rule == defects.RULE:
        return f"is known to be broken here: {verdict.found}"
    return verdict.reason


def _ways_out(here: Situation, matrix: Matrix, request: Request, named: Iterable[Candidate]) -> Iterator[str]:
    """Another Python for what was asked for, else another release for this one."""
    for python in _pythons(here.machine, named):
        # In a new environment of another Python nothing is installed yet.
        machine = structs.replace(here.machine, python=python, installed={})
        best = rank.decide(matrix, machine, request, (), here.beside).recommended
        if best is not None:
            yield f"with Python {python} tensorflow {best.version} fits: {_command(here, request, python)}"
            yield f"`uv python install {python}` brings that Python, where there is none"
            return
    best = rank.decide(
        matrix, here.machine, structs.replace(request, tf=ANY), here.distributions, here.beside
    ).recommended
    if request.tf.given and best is not None:
        yield f"tensorflow {best.version} is the newest that fits here: --tf {best.version}"


def _remedy(here: Situation, matrix: Matrix, request: Request, named: Sequence[Candidate]) -> Iterator[str]:
    """What the newest of what was asked for would take."""
    remedy = change.cheapest_change(matrix, here.machine, named[0], request, here.distributions, here.beside)
    if remedy is not None and remedy.changes:
        yield change.sentence(remedy)


def _pythons(machine: Machine, named: Iterable[Candidate]) -> list[PythonRelease]:
    """The feature releases that some wheel of the named releases is for, the newest first."""
    wheels = [wheels for candidate in named for wheels in candidate.release.wheels]
    return sorted({python for one in wheels if one.os is machine.os for python in one.python}, reverse=True)


def _command(here: Situation, request: Request, python: PythonRelease) -> str:
    words = ["envfix", "install"]
    if request.tf.given:
        words += ["--tf", request.tf.text]
    for companion in request.companions:
        words += ["--with", str(companion)]
    if request.accelerator is Accelerator.CPU:
        words += ["--accelerator", "cpu"]
    if request.cuda is not CudaSource.AUTO:
        words += ["--cuda", request.cuda.value]
    if here.machine_option:
        words += ["--machine", here.machine_option]
    return shlex.join([*words, "--python", f"python{python}", "--venv", f".venv-{python}"])
