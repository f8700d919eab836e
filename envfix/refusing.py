"""The refusal where no release fits what was asked for: why, and the command line that gets one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from envfix.errors import EnvfixError, InputError, NothingFits
from envfix.matrix import change, rank
from envfix.matrix.absent import absent
from envfix.matrix.rules import companions, defects, installed
from envfix.matrix.rules.case import case_of
from envfix.matrix.rules.holding import meetings
from envfix.model.decision import Candidate, Decision, Fit, Verdict
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix
from envfix.model.request import ANY, Accelerator, CudaSource, Request
from envfix.model.results import Report
from envfix.model.target import Distribution
from envfix.model.versions import PythonRelease
from envfix.situation import Situation

_NONE = "no TensorFlow release"


def refusal(
    here: Situation, matrix: Matrix, request: Request, decision: Decision, advice: tuple[str, ...]
) -> EnvfixError:
    """InputError where the matrix holds nothing that was named, else NothingFits with every reason."""
    named = [
        candidate
        for candidate in decision.candidates
        if candidate.release.package == request.tf.package
        and request.tf.specifier.contains(candidate.version, prereleases=True)
    ]
    if not named:
        return _no_such_release(matrix, request)
    if len(named) == 1:
        reasons = _reasons(named[0])
        verb = "" if reasons.startswith(("needs ", "is known ")) else "does not fit here: "
        message = f"{named[0].name} {verb}{reasons}"
    else:
        which = f"no TensorFlow release that `{request.tf.text}` names" if request.tf.given else _NONE
        held = held_candidate(here, matrix, request, decision)
        message = f"{which} fits this machine" if held is None else f"{which} fits here: {_reasons(held)}"
    notes = (request.tf.note,) if request.tf.note else ()
    report = Report(
        machine=here.machine,
        decision=decision,
        plan=None,
        advice=(*notes, *advice),
        named=tuple(candidate.release.key for candidate in named),
    )
    hints = [*notes, *_ways_out(here, matrix, request, named)]
    hints = hints or [*_remedy(here, matrix, request, named), *advice][:1]
    return NothingFits(message, "\n".join(hints) or None, data=report)


def held_candidate(here: Situation, matrix: Matrix, request: Request, decision: Decision) -> Candidate | None:
    """The newest release that is asked for and that nothing but a package beside it is in the way of."""
    for candidate in decision.candidates:
        against = {verdict.rule for verdict in candidate.verdicts if verdict.fit is Fit.NO}
        beside = against and against <= {companions.RULE, installed.RULE}
        named = beside and rank.is_named(candidate.release, request.tf)
        if named and in_the_way(here, matrix, request, candidate):
            return candidate
    return None


def in_the_way(
    here: Situation, matrix: Matrix, request: Request, candidate: Candidate
) -> tuple[Distribution, ...]:
    """The packages beside the release that need other NVIDIA wheels than it."""
    case = case_of(
        candidate.release,
        here.machine,
        matrix,
        cuda=request.cuda,
        companions=request.companions,
        beside=here.beside,
    )
    return tuple(dist for dist in here.beside if meetings(case, [dist]))


def _no_such_release(matrix: Matrix, request: Request) -> InputError:
    known = [row.version for row in matrix.releases if row.package == request.tf.package]
    missing = absent(matrix, request)
    hint = "\n".join(missing.hints)
    if known and str(max(known)) in missing.hints[-1]:
        hint += "; `pip install -U envfix-tf` brings a newer matrix, where there is one"
    return InputError(missing.message, hint)


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
            yield f"with Python {python} {best.name} fits: {_with_python(here, request, python)}"
            yield f"`uv python install {python}` brings that Python, where there is none"
            return
    best = rank.decide(
        matrix,
        here.machine,
        structs.replace(request, tf=structs.replace(ANY, package=request.tf.package)),
        here.distributions,
        here.beside,
    ).recommended
    if request.tf.given and best is not None:
        yield f"{best.name} is the newest that fits here: --tf {best.release.asked_for}"


def _remedy(here: Situation, matrix: Matrix, request: Request, named: Sequence[Candidate]) -> Iterator[str]:
    """What the newest of what was asked for would take."""
    remedy = change.cheapest_change(matrix, here.machine, named[0], request, here.distributions, here.beside)
    if remedy is not None and remedy.changes:
        yield change.sentence(remedy)


def _pythons(machine: Machine, named: Iterable[Candidate]) -> list[PythonRelease]:
    """The feature releases that some wheel of the named releases is for, the newest first."""
    wheels = [wheels for candidate in named for wheels in candidate.release.wheels]
    return sorted({python for one in wheels if one.os is machine.os for python in one.python}, reverse=True)


def in_new_environment(here: Situation, matrix: Matrix, request: Request) -> Iterator[str]:
    """The command for an environment of its own, where what is installed here is all that is in the way."""
    machine = structs.replace(here.machine, installed={})
    best = rank.decide(matrix, machine, request, (), here.brought).recommended
    if best is not None and len(here.brought) < len(here.beside):
        words = [*_of_install(here, request), "--venv", ".venv-tensorflow"]
        yield f"{best.name} fits in an environment of its own: {shlex.join(words)}"


def command(here: Situation, request: Request) -> str:
    """The command line as it was given, for this request."""
    return shlex.join([*here.again, *_asking(request)])


def to_install(here: Situation, request: Request) -> list[str]:
    """The words of the command line that installs this request there."""
    return [*here.to_install, *_asking(request)]


ELSEWHERE = "envfix install --venv .venv"


def asked_elsewhere(hint: str, request: Request, machine: str | None, lock: str | None) -> str:
    """The hint of a stage that knows nothing of the request, with what was asked for in its command for an
    environment of its own."""
    if "--with " in hint:
        request = structs.replace(request, companions=())  # it has them already
    words = [*ELSEWHERE.split(), *_asking(request)]
    for option, value in {"--machine": machine, "--lock": lock}.items():
        words += [option, value] if value else []
    return hint.replace(ELSEWHERE, shlex.join(words))


def _asking(request: Request) -> list[str]:
    words = ["--tf", request.tf.text] if request.tf.given else []
    for companion in request.companions:
        words += ["--with", str(companion)]
    if request.accelerator is not Accelerator.GPU:
        words += ["--accelerator", request.accelerator.value]
    if request.cuda is not CudaSource.AUTO:
        words += ["--cuda", request.cuda.value]
    return words + (["--minimal"] if request.minimal else [])


def _with_python(here: Situation, request: Request, python: PythonRelease) -> str:
    words = _of_install(here, request)
    return shlex.join([*words, "--python", f"python{python}", "--venv", f".venv-{python}"])


def _of_install(here: Situation, request: Request) -> list[str]:
    return ["envfix", "install", *asked(here, request)]


def asked(here: Situation, request: Request) -> tuple[str, ...]:
    """The options that decide, whatever the environment."""
    named = ("--machine", here.machine_option) if here.machine_option else ()
    return (*_asking(request), *named)
