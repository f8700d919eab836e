"""The environment that is changed: whether it may be, and a new one that is gone again when that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct, structs

from envfix.install import making, permission, venv
from envfix.install.transaction.change import Contended
from envfix.model.request import InstallOptions
from envfix.model.target import Target
from envfix.probe import interpreter, kernel, session
from envfix.situation import Parts, Situation, Where, config_of


class Admission(Struct, frozen=True):
    """That an environment may be changed, and how: `managed` says that an installer must be told to change
    one that is externally managed (PEP 668), `place` where `--venv` leads (None without it)."""

    managed: bool
    place: venv.Place | None


def admit(parts: Parts, here: Situation, where: Where, options: InstallOptions) -> Admission:
    """Nothing is made or changed. Raises InputError where the environment may not be changed or made, and
    Contended where another envfix has begun to make it, or has made it, since `here` was read."""
    platform, _ = session.read_platform(parts.outside, kernel.find_kernel(parts.outside))
    managed = permission.check_allowed(here.target, platform, options.break_system_packages)
    if where.venv is None:
        return Admission(managed, None)
    base = here.target.executable if here.new_venv else where.python
    if making.is_marked(parts.outside, where.venv):
        if options.dry_run:
            return Admission(managed, None)  # of what was not finished nothing stays
        raise Contended
    place = venv.check_venv(parts.outside, where.venv, base)
    if place.there and here.new_venv:
        raise Contended
    return Admission(managed, place)


@contextmanager
def environment(
    parts: Parts,
    here: Situation,
    place: venv.Place | None,
    *,
    offline: bool,
    before_asking: Callable[[], object],
) -> Iterator[tuple[Situation, bool]]:
    """The situation in the environment to change, and whether that was made now.

    One that was made now is removed when the block raises. An index is asked for it only after
    `before_asking` has returned.
    """
    if place is None:
        yield here, False
        return
    if place.there:
        yield structs.replace(here, target=interpreter.read_target(parts.outside, place.python)), False
        return
    config = config_of(parts, here.target)
    held = venv.make_venv(parts.outside, place, config, offline=offline, before_asking=before_asking)
    try:
        yield structs.replace(here, target=interpreter.read_target(parts.outside, place.python)), True
    except BaseException:
        venv.remove_venv(parts.outside, place, held)
        raise
    venv.finish_venv(parts.outside, place, held)


def read_again(parts: Parts, here: Situation) -> Target:
    """The target as it is now."""
    return interpreter.read_target(parts.outside, here.target.executable)
