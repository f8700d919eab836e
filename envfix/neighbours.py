"""What else lives in an environment: what a plan may not change there, and what it may not break unasked."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from packaging.utils import canonicalize_name

from envfix.errors import EnvfixError, InputError, LockMismatch, NothingFits, ResolutionFailed
from envfix.model.plan import Change, Plan
from envfix.model.request import Request
from envfix.model.target import Target
from envfix.resolve.notebook_host import kept_alive, why_kept
from envfix.resolve.wanted import unmet_companions

_ELSEWHERE = "envfix install --venv .venv"
_SHOWN = 3


def refuse_companions(target: Target, request: Request) -> None:
    """Raises NothingFits where `--with` asks for another version of what keeps a kernel alive."""
    kept = kept_alive(target)
    for companion in request.companions:
        name = canonicalize_name(companion.name)
        if name in kept and unmet_companions([companion], target):
            raise NothingFits(
                f"`--with {companion}`: {_kept(name, kept[name])}",
                f"{_ELSEWHERE} --with {shlex.quote(str(companion))}",
            )


def kept_pins(target: Target) -> tuple[str, ...]:
    """What holds the packages of the notebook's kernel where they are, as constraints for a resolver."""
    return tuple(f"{name}=={version}" for name, version in kept_alive(target).items())


def explained(problem: ResolutionFailed, target: Target) -> ResolutionFailed:
    """The same failure; where a package of the notebook's kernel has a part in it, with that said."""
    named = {name: version for name, version in kept_alive(target).items() if name in problem.message}
    if not named:
        return problem
    return ResolutionFailed(f"{problem.message}; {_all_kept(named)}", _ELSEWHERE)


def harm_of(plan: Plan, target: Target, request: Request, *, locked: bool) -> EnvfixError | None:
    """What forbids the plan: None where it leaves the kernel's packages alone and breaks only what it may.

    A LockMismatch (of a lock) or NothingFits for a plan that changes what keeps the kernel alive, NothingFits
    for one that breaks more than was allowed. Raises InputError for an `--allow-break` that names nothing
    installed.
    """
    for name in request.allow_break:
        if target.version_of(name) is None:
            raise InputError(f"`--allow-break {name}`: {name} is not installed in `{target.prefix}`")
    kept = kept_alive(target)
    changed = {
        one.name: kept[one.name]
        for one in plan.packages
        if one.name in kept and one.change is not Change.KEEP
    }
    if changed:
        kind: type[EnvfixError] = LockMismatch if locked else NothingFits
        return kind(f"the plan would change what must stay: {_all_kept(changed)}", _ELSEWHERE)
    broken = [one for one in plan.breaks if one.name not in request.allow_break]
    if broken:
        texts = dict.fromkeys(
            f"{one.package} needs {one.requirement}, would find {one.found}" for one in broken
        )
        allowed = " ".join(f"--allow-break {name}" for name in dict.fromkeys(one.name for one in broken))
        return NothingFits(
            f"the plan would break installed packages: {_few(texts)}",
            f"`{allowed}` accepts that; `{_ELSEWHERE}` leaves this environment alone",
        )
    return None


def _all_kept(kept: Mapping[str, str]) -> str:
    return _few(_kept(name, version) for name, version in kept.items())


def _kept(name: str, version: str) -> str:
    return f"{why_kept(name, version)}, so that an install never changes it"


def _few(texts: Iterable[str]) -> str:
    found = list(texts)
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
