"""The cheapest change that would make a release fit: changed machines are judged by the same rules.

Every step that might help is taken, the release is judged again, and then the steps are given up one by one,
the last first, as long as the release comes to no less without them. What is left is the answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from msgspec import structs
from packaging.utils import canonicalize_name

from envfix.matrix import rank
from envfix.matrix.alike import alike
from envfix.matrix.another_gpu import change_gpu
from envfix.matrix.steps import STEPS, Step, World
from envfix.model.conflicts import TENSORFLOWS
from envfix.model.decision import Candidate, Change, ChangeKind, Decision, Fit, Newer, Remedy, Verdict
from envfix.model.machine import Machine
from envfix.model.matrix import Matrix
from envfix.model.request import Request
from envfix.model.target import Distribution

# Of the releases that different rules keep away, as many are looked at.
_EXPLAINED = 12
_ANOTHER_MACHINE = (ChangeKind.ARCH, ChangeKind.MACHINE, ChangeKind.CPU, ChangeKind.GPU)


def cheapest_change(
    matrix: Matrix,
    machine: Machine,
    candidate: Candidate,
    request: Request,
    installed: Sequence[Distribution] | None = None,
    beside: Sequence[Distribution] = (),
) -> Remedy | None:
    """What would make the candidate fit, or fit better; None where it fits already.

    A remedy without changes says that none of those that are known helps. `installed` and `beside` are as in
    `rank.decide`.
    """
    if candidate.fit is Fit.YES:
        return None
    return _cheapest(
        _world(matrix, candidate, rank.ask(matrix, machine, request, installed, beside)), candidate
    )


def for_newer(matrix: Matrix, decision: Decision, asked: rank.Asked) -> Newer:
    """What would have to change for a release newer than the recommended one, of those that are asked for.

    The newest is explained, and below it each that something cheaper would do. Where there is no GPU
    nothing is: no change to software brings one; nor where something else than the release is in the way.
    `asked` is what the decision was made by.
    """
    if decision.unmet or (asked.wants_gpu and asked.machine.has_no_gpu):
        return Newer()
    remedies: list[Remedy] = []
    for candidate in _newer(decision, asked.request):
        world = _world(matrix, candidate, asked)
        # Nobody changes the GPU for a release that is not the newest.
        another = not remedies
        remedy = _cheapest(world, candidate) if another else _on_this_gpu(world, candidate)
        if remedy is None and not remedies:
            remedy = _remedy(candidate)
        if remedy is not None and all(_is_cheaper(remedy, other) for other in remedies):
            remedies.append(remedy)
    advice = [sentence(remedy) for remedy in remedies if remedy.changes or remedy.fit is Fit.NO]
    older = _older(decision, asked.request)
    if older is not None:
        advice.append(f"{older.name} is the newest that fits here as it is")
    return Newer(remedies=tuple(remedies), older=older.version if older else None, advice=tuple(advice))


def for_each(matrix: Matrix, decision: Decision, asked: rank.Asked) -> tuple[Remedy, ...]:
    """The cheapest change for every release that does not fit or is not known to, newest first, with the
    release to take instead. `asked` is what the decision was made by."""
    if decision.unmet:
        return ()
    instead, found = _instead(decision), dict[Hashable, Remedy]()
    remedies = []
    for candidate in decision.candidates:
        if candidate.fit is Fit.YES:
            continue
        kind = candidate.version if _told_apart(asked) else alike(matrix, candidate.release)
        if kind not in found:
            found[kind] = _cheapest(_world(matrix, candidate, asked), candidate)
        remedies.append(_told(_remedy(candidate, found[kind].changes, found[kind].fit), instead))
    return tuple(remedies)


def _told_apart(asked: rank.Asked) -> bool:
    """Whether something asks for TensorFlow by its version, so that no two releases are alike."""
    names: set[str] = {canonicalize_name(one.name) for one in asked.request.companions}
    names.update(demand.name for demand in asked.demands or ())
    return bool(asked.beside) or not TENSORFLOWS.isdisjoint(names)


def sentence(remedy: Remedy) -> str:
    """`tensorflow 2.21.0 would fit with driver >= 555.42.02`, or that nothing here helps."""
    name = f"{remedy.package} {remedy.version}"
    words = " and ".join(change.wanted for change in remedy.changes)
    sure = remedy.verdict.fit is Fit.NO
    if not remedy.changes:
        if sure:
            return f"nothing that is known makes {name} fit here"
        return f"whether {name} works here is not known, and nothing that could be changed tells"
    if any(change.kind in _ANOTHER_MACHINE for change in remedy.changes):
        what = f"makes {name} fit" if sure else f"makes sure of {name}"
        return f"nothing on this machine {what}; it needs {words}"
    return f"{name} {'would' if remedy.fit is Fit.YES else 'might'} fit with {words}"


def _told(remedy: Remedy, instead: Candidate | None) -> Remedy:
    """The remedy with its sentence, and with what to take as things are."""
    if instead is None or instead.version == remedy.version:
        return structs.replace(remedy, text=sentence(remedy))
    word = "fits" if instead.fit is Fit.YES else "may fit"
    text = f"{sentence(remedy)}; tensorflow {instead.version} {word} here as it is"
    return structs.replace(remedy, text=text, instead=instead.version)


def _instead(decision: Decision) -> Candidate | None:
    """The recommended release, else the newest that fits although it was not asked for, else None."""
    fitting = (one for fit in (Fit.YES, Fit.UNKNOWN) for one in decision.candidates if one.fit is fit)
    return decision.recommended or next(fitting, None)


def in_the_way(candidate: Candidate) -> Verdict:
    """The first verdict that keeps the candidate from fitting."""
    return next(verdict for verdict in candidate.verdicts if verdict.fit is candidate.fit)


def _newer(decision: Decision, request: Request) -> list[Candidate]:
    """Those that do not fit and are newer than the recommended one, newest first, one for each set of
    reasons."""
    best = decision.recommended
    found, seen = [], set()
    for candidate in decision.candidates:
        if candidate.fit is Fit.YES or (best is not None and candidate.version <= best.version):
            continue
        against = tuple((one.rule, one.wanted) for one in candidate.verdicts if one.fit is not Fit.YES)
        if against not in seen and rank.is_named(candidate.release, request.tf):
            seen.add(against)
            found.append(candidate)
    return found[:_EXPLAINED]


def _older(decision: Decision, request: Request) -> Candidate | None:
    """The newest release that fits although it is not asked for, where nothing that is does."""
    if decision.recommended is not None or not request.tf.given:
        return None
    package = request.tf.package
    same = (candidate for candidate in decision.candidates if candidate.release.package == package)
    return next((candidate for candidate in same if candidate.fit is Fit.YES), None)


def _world(matrix: Matrix, candidate: Candidate, asked: rank.Asked) -> World:
    return World(
        matrix=matrix,
        machine=asked.machine,
        request=asked.request,
        release=candidate.release,
        demands=asked.demands,
        beside=asked.beside,
    )


def _cheapest(world: World, candidate: Candidate) -> Remedy:
    return _on_this_gpu(world, candidate) or _on_another_gpu(world, candidate) or _remedy(candidate)


def _on_this_gpu(world: World, candidate: Candidate) -> Remedy | None:
    """The fewest steps on the machine's own GPUs; None where they do not help."""
    taken, fit = _all_of(world, STEPS)
    if fit.order <= candidate.fit.order:
        return None
    for step in taken[::-1]:
        still, without = _all_of(world, tuple(one for one in taken if one is not step))
        if without.order >= fit.order:
            taken, fit = still, without
    return _remedy(candidate, _changes(world, taken), fit)


def _on_another_gpu(world: World, candidate: Candidate) -> Remedy | None:
    """The same with another GPU, for a release that no software makes run on this one."""
    done = change_gpu(world)
    if done is None:
        return None
    other, change = done
    rest = _on_this_gpu(other, structs.replace(candidate, fit=other.fit()))
    if rest is None:
        return _remedy(candidate, (change,), other.fit())
    # Another machine has another GPU, whichever it is.
    changes = sorted((change, *rest.changes), key=lambda one: one.kind is not ChangeKind.MACHINE)
    return _remedy(candidate, tuple(changes), rest.fit)


def _remedy(candidate: Candidate, changes: tuple[Change, ...] = (), fit: Fit | None = None) -> Remedy:
    verdict = in_the_way(candidate)
    package, version = candidate.release.key
    return Remedy(
        version=version, package=package, verdict=verdict, changes=changes, fit=fit or candidate.fit
    )


def _is_cheaper(remedy: Remedy, other: Remedy) -> bool:
    """Whether the dearest of its changes is cheaper, or is an older driver for the same."""
    mine, theirs = _dearest(remedy), _dearest(other)
    if mine != theirs:
        return mine < theirs
    floors = [one.driver for change in (remedy, other) for one in change.changes if one.driver]
    return len(floors) == 2 and floors[0] < floors[1]


def _dearest(remedy: Remedy) -> int:
    kinds = list(ChangeKind)
    return max((kinds.index(change.kind) for change in remedy.changes), default=len(kinds))


def _all_of(world: World, steps: Sequence[Step]) -> tuple[tuple[Step, ...], Fit]:
    """The steps that changed something when taken in turn, and what the release comes to then."""
    taken = []
    for step in steps:
        done = step(world)
        if done is not None:
            world = done[0]
            taken.append(step)
    return tuple(taken), world.fit()


def _changes(world: World, steps: Sequence[Step]) -> tuple[Change, ...]:
    """The changes of the steps taken, the cheapest first."""
    changes = []
    for step in steps:
        done = step(world)
        if done is not None:
            world, change = done
            changes.append(change)
    kinds = list(ChangeKind)
    return tuple(sorted(changes, key=lambda change: kinds.index(change.kind)))
