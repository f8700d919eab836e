"""The nearest releases that go together, where those that were asked for do not: tried with the resolver."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct, structs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envfix.beside import with_beside
from envfix.choosing import choose
from envfix.deciding import ranked
from envfix.errors import IndexUnreachable, NothingFits, ResolutionFailed
from envfix.holders import holder_in, published
from envfix.matrix import rank
from envfix.model.decision import Candidate, Decision, Fit
from envfix.model.matrix import Matrix
from envfix.model.plan import Resolution
from envfix.model.request import Request, TensorFlowRequest
from envfix.model.target import Distribution
from envfix.nvidia.beside import brings
from envfix.refusing import command, held_candidate, in_the_way
from envfix.situation import Parts, Situation, config_of
from envfix.solution import solve

# So many releases are put to the resolver (half a second each), and so many METADATA read, the nearest first.
_TRIES = 8
_READ = 40


class Pair(Struct, frozen=True, kw_only=True):
    """Releases that go together, as the resolver has found: what to ask for, what it comes to, and what was
    kept, in words. `taken` is what the request itself allows, where the pair is within it."""

    request: Request
    here: Situation
    decision: Decision
    said: str
    taken: bool = False

    @property
    def line(self) -> str:
        """The words and the command line for it."""
        return f"{self.said}: {command(self.here, self.request)}"


class _Search(Struct, frozen=True):
    """What is asked for, and the release and the package beside it that are in each other's way."""

    parts: Parts
    there: Situation
    matrix: Matrix
    request: Request
    candidate: Candidate
    fault: Distribution


def pairs_that_fit(
    parts: Parts, there: Situation, matrix: Matrix, request: Request, decision: Decision
) -> tuple[Pair, ...]:
    """The nearest pairs where TensorFlow and a package beside it are in each other's way, else none.

    First TensorFlow is kept and the other moved, then the other way round: by order of release, up or down,
    and of two that are as near the newer. Where neither can be kept, the nearest of the other that some
    TensorFlow goes with. Every pair was resolved.
    """
    candidate = held_candidate(there, matrix, request, decision)
    if candidate is None:
        return ()
    fault = in_the_way(there, matrix, request, candidate)[0]
    search = _Search(parts, there, matrix, request, candidate, fault)
    try:
        found = [_other_beside(search, request), _other_tensorflow(search)]
        if request.tf.given and not any(found):
            free = structs.replace(request, tf=_any_of(candidate.release.package))
            found.append(_other_beside(search, free))
    except IndexUnreachable as problem:
        parts.outside.say(f"warning: other releases cannot be tried: {problem.message}")
        return ()
    return tuple(pair for pair in found if pair is not None)


def _other_beside(search: _Search, request: Request) -> Pair | None:
    """The nearest release of the package beside it, with TensorFlow as the request names it."""
    asked = _moved(search)
    for offered in _offers(search, request, asked):
        tried = _tried(search, _with_instead(request, asked, offered))
        if tried is None:
            continue
        there, decision, resolution = tried
        best = decision.recommended
        pinned = _pinned(offered, resolution)
        assert best is not None
        return Pair(
            request=_exactly(_with_instead(request, asked, pinned), best),
            here=there,
            decision=decision,
            said=f"{_kept(search, request)}the nearest {_without_version(pinned)} that goes with "
            f"{best.name} is {_version_in(pinned)}",
            taken=request.tf == search.request.tf and _is_within(pinned, asked, search.request),
        )
    return None


def _kept(search: _Search, request: Request) -> str:
    if not search.request.tf.given:
        return ""
    return "keeping TensorFlow, " if request.tf.given else "keeping neither, "


def _other_tensorflow(search: _Search) -> Pair | None:
    """What is beside it as it is, and the nearest release of TensorFlow."""
    if not search.request.tf.given:
        return None
    package = search.candidate.release.package
    free = structs.replace(search.request, tf=_any_of(package))
    decision = ranked(search.there, search.matrix, free)
    named = [one for one in decision.candidates if rank.is_named(one.release, free.tf)]
    fitting = [one for one in named if one.fit is Fit.YES] or [one for one in named if one.fit is not Fit.NO]
    order = sorted(one.version for one in named)
    by_version = {one.version: one for one in fitting}
    near = [version for version in _outward(order, search.candidate.version) if version in by_version]
    for version in near[:_TRIES]:
        request = _exactly(free, by_version[version])
        tried = _tried(search, request)
        if tried is not None:
            return Pair(
                request=request,
                here=tried[0],
                decision=tried[1],
                said=f"keeping {search.fault.name}, the nearest {package} that goes with "
                f"{search.fault.name} {search.fault.version} is {version}",
            )
    return None


def _tried(search: _Search, request: Request) -> tuple[Situation, Decision, Resolution] | None:
    """What the request comes to, where it has a solution. Raises IndexUnreachable."""
    here = structs.replace(search.there, beside=())
    try:
        there = with_beside(search.parts, here, search.matrix, request)
        decision = ranked(there, search.matrix, request)
        if decision.recommended is None:
            return None
        choice = choose(search.parts, there, search.matrix, structs.replace(request, upgrade=True), decision)
        return there, decision, solve(search.parts, there, request, choice)
    except (ResolutionFailed, NothingFits):
        return None  # the resolver, or a rule, says no: the next one is tried


def _moved(search: _Search) -> Requirement:
    """The requirement that brings what is in the way; for what is installed the one that would change it."""
    asked = search.request.companions
    by_name = next((one for one in asked if brings(one, search.fault)), None)
    if by_name is not None:
        return by_name
    if search.there.target.version_of(search.fault.name) is None and asked:
        return asked[0]
    jax = re.fullmatch(r"jax-(cuda\d+)-\w+", search.fault.name)
    return Requirement(f"jax[{jax[1]}]" if jax else search.fault.name)


def _offers(search: _Search, request: Request, asked: Requirement) -> Iterator[Requirement]:
    """What is asked for in other releases, the nearest first, as far as nothing is known against them."""
    swapped = _for_the_same_cuda(search.candidate, asked)
    if swapped is not None:
        yield swapped
    if swapped is not None or request.offline:
        return  # no other release has another CUDA; and what is published nobody can say offline
    files = published(search.parts, search.there.target, canonicalize_name(asked.name))
    index = search.parts.index(config_of(search.parts, search.there.target))
    left = _TRIES
    near = _outward(files, _reference(search, asked))
    # What the request itself allows is nearer than anything else.
    near.sort(key=lambda version: not asked.specifier.contains(version))
    for version in near[:_READ]:
        if canonicalize_name(asked.name) == search.fault.name:
            # What it asks for itself is known without the resolver.
            holder = holder_in(search.parts.outside, index, search.fault.name, version, files[version])
            others = [one for one in search.there.beside if one.name != search.fault.name]
            there = structs.replace(search.there, beside=(*others, holder))
            if not holder.requires or not _may_fit(search, request, there):
                continue
        yield Requirement(f"{_without_version(asked)}=={version}")
        left -= 1
        if not left:
            return


def _may_fit(search: _Search, request: Request, there: Situation) -> bool:
    """Whether the rules leave any release of TensorFlow that the request names."""
    named = [row for row in reversed(search.matrix.releases) if rank.is_named(row, request.tf)]
    judged = (
        rank.judge(
            search.matrix,
            there.machine,
            row,
            request=request,
            installed=there.distributions,
            beside=there.beside,
        )
        for row in named
    )
    return any(candidate.fit is not Fit.NO for candidate in judged)


def _for_the_same_cuda(candidate: Candidate, asked: Requirement) -> Requirement | None:
    """`jax[cuda12]` instead of `jax[cuda13]`, where TensorFlow is built with CUDA 12."""
    built = candidate.release.built_with_cuda
    if built is None:
        return None
    extras = {re.sub(r"^cuda\d+", f"cuda{built.major}", extra) for extra in asked.extras}
    if extras == asked.extras:
        return None
    swapped = Requirement(str(asked))
    swapped.extras = extras
    return swapped


def _reference(search: _Search, asked: Requirement) -> Version:
    """The release from which the others are near or far."""
    exact = [part.version for part in asked.specifier if part.operator == "=="]
    text = search.fault.version if brings(asked, search.fault) else (exact or ["9999"])[0]
    try:
        return Version(Version(text).public)
    except InvalidVersion:
        return Version("9999")


def _outward(order: Iterable[Version], start: Version) -> list[Version]:
    """The versions by their distance from `start` in the order of releases, of two that are as near the newer
    first; without `start` itself."""
    below = sorted((one for one in order if one < start), reverse=True)
    above = sorted(one for one in order if one > start)
    newer = [(distance, 0, one) for distance, one in enumerate(above)]
    older = [(distance, 1, one) for distance, one in enumerate(below)]
    return [one for _, _, one in sorted(newer + older)]


def _with_instead(request: Request, asked: Requirement, other: Requirement) -> Request:
    kept = tuple(other if one == asked else one for one in request.companions)
    added = () if asked in request.companions else (other,)
    return structs.replace(request, companions=(*kept, *added))


def _pinned(offered: Requirement, resolution: Resolution) -> Requirement:
    version = resolution.version_of(canonicalize_name(offered.name))
    return Requirement(f"{_without_version(offered)}=={version}") if version else offered


def _is_within(pinned: Requirement, asked: Requirement, request: Request) -> bool:
    """Whether the request itself allows the release."""
    allowed = asked.specifier.contains(_version_in(pinned), prereleases=True)
    return asked in request.companions and pinned.extras == asked.extras and allowed


def _version_in(pinned: Requirement) -> str:
    return next((part.version for part in pinned.specifier), "")


def _exactly(request: Request, candidate: Candidate) -> Request:
    specifier = SpecifierSet(f"=={candidate.version}")
    package = candidate.release.package
    tf = TensorFlowRequest(specifier=specifier, text=candidate.release.asked_for, package=package)
    return structs.replace(request, tf=tf)


def _any_of(package: str) -> TensorFlowRequest:
    return TensorFlowRequest(specifier=SpecifierSet(), text="", package=package)


def _without_version(asked: Requirement) -> str:
    extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
    return f"{asked.name}{extras}"
