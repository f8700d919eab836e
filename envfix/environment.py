"""The environment that is changed: whether it may be, and a new one that is gone again when that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import structs

from envfix.install import permission, venv
from envfix.model.target import Target
from envfix.probe import interpreter, kernel, session
from envfix.situation import Parts, Situation, Where, config_of


def allowed(parts: Parts, here: Situation, break_system_packages: bool) -> bool:
    """Whether the installer must be told to change an externally managed environment (PEP 668).

    Raises InputError where that is refused.
    """
    platform, _ = session.read_platform(parts.outside, kernel.find_kernel(parts.outside))
    return permission.check_allowed(here.target, platform, break_system_packages)


@contextmanager
def environment(
    parts: Parts, here: Situation, where: Where, *, offline: bool
) -> Iterator[tuple[Situation, bool]]:
    """The situation in the environment to change, and whether that was made now.

    One that was made now is removed when the block raises.
    """
    if where.venv is None:
        yield here, False
        return
    base = here.target.executable if here.new_venv else where.python
    config = config_of(parts, here.target)
    python, made = venv.ensure_venv(parts.outside, where.venv, base, config, offline=offline)
    try:
        yield structs.replace(here, target=interpreter.read_target(parts.outside, python)), made
    except BaseException:
        if made:
            parts.outside.remove_tree(where.venv)
        raise


def read_again(parts: Parts, here: Situation) -> Target:
    """The target as it is now."""
    return interpreter.read_target(parts.outside, here.target.executable)
