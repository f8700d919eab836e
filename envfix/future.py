"""Releases that the shipped matrix is too old to know: read from their wheels when they are needed."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix.errors import EnvfixError, IndexUnreachable, NothingFits
from envfix.matrix import rank
from envfix.model.conflicts import PACKAGES
from envfix.model.matrix import Matrix, Release
from envfix.model.plan import Lock
from envfix.model.request import Request, TensorFlowRequest
from envfix.resolve.wanted import tensorflow_installed, unmet_companions
from envfix.situation import Parts, Situation, config_of
from envfix.standing import public_version


def knowing(
    parts: Parts, here: Situation, matrix: Matrix, request: Request, *, judge_installed: bool = False
) -> Matrix:
    """The matrix with the releases that it lacks and that are asked for, or installed where that matters.

    What is installed matters to `--with` and `--upgrade`, and where it is to be judged. Nothing is asked
    where the matrix has a release that is asked for. An index that does not answer is said, and the matrix
    returned as it is: what then does not fit is refused with its reason.
    """
    wanted = _wanted(here, matrix, request, judge_installed)
    if wanted is None or request.offline:
        return matrix
    # Reading wheels takes modules that a matrix which is new enough never needs.
    from envfix.matrix import live

    try:
        index = parts.index(config_of(parts, here.target))
        return live.with_derived(parts.outside, index, matrix, wanted, request.tf.package)
    except EnvfixError as problem:
        if request.tf.given and not isinstance(problem, IndexUnreachable):
            raise NothingFits(
                f"what `{request.tf.text}` names cannot be judged: {problem.message}",
                f"name a release that the matrix of {matrix.date} has",
            ) from None
        parts.outside.say(
            f"warning: releases that the matrix of {matrix.date} lacks were not read: {problem.message}"
        )
        return matrix


def knowing_locked(parts: Parts, here: Situation, matrix: Matrix, lock: Lock, offline: bool) -> Matrix:
    """The matrix with the release of a lock."""
    tf = TensorFlowRequest(
        specifier=SpecifierSet(f"=={lock.tensorflow}"), text=lock.tensorflow, package=lock.package
    )
    asked = Request(tf=tf, offline=offline)
    return knowing(parts, here, matrix, asked)


def _wanted(here: Situation, matrix: Matrix, request: Request, judge_installed: bool) -> SpecifierSet | None:
    """The releases to look up; None where the matrix has what is needed."""
    if request.tf.given:
        known = any(rank.is_named(row, request.tf) for row in matrix.releases)
        return None if known else request.tf.specifier
    dist = tensorflow_installed(here.target)
    found = public_version(dist.version) if dist and dist.name in PACKAGES else None
    known_of = [row.version for row in matrix.releases if dist and row.package == dist.name]
    if found is None or (known_of and found <= max(known_of)):
        return None
    matters = judge_installed or request.upgrade or unmet_companions(request.companions, here.target)
    return _exactly(found) if matters else None


def _exactly(version: Version) -> SpecifierSet:
    # Also a pre-release, since it is named.
    return SpecifierSet(f"=={version}", prereleases=True)


def said_of(matrix: Matrix, release: Release) -> tuple[str, ...]:
    """What must be known of a release that was read just now."""
    if not release.derived:
        return ()
    return (
        f"{release.name} is not in the matrix of {matrix.date}: it was read from its wheels just now, and "
        "nothing of it is proven",
    )
