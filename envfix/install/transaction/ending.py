"""How a change that did not come to its end is told: what is true of the environment, and the way out."""

from __future__ import annotations

import shlex
from typing import Protocol

from envfix.errors import EnvfixError, EnvironmentChanged, InstallFailed, Interrupted
from envfix.install.transaction.journal import Unreadable
from envfix.model.target import Target


class Undoable(Protocol):
    """A change that can be put back."""

    target: Target

    def after_failure(self) -> str: ...


def ended(change: Undoable, problem: BaseException) -> BaseException:
    """The exception that says how it ended, once everything is put back."""
    message, data = message_of(problem), getattr(problem, "data", None)
    try:
        words = change.after_failure()
    except EnvironmentChanged as more:
        return EnvironmentChanged(f"{message}; {more.message}", more.hint, data=data)
    except (OSError, Unreadable) as trouble:
        return EnvironmentChanged(
            f"{message}; the environment is changed, and cannot be put back now: {message_of(trouble)}",
            shlex.join(["envfix", "rollback", "--python", change.target.executable]),
            data=data,
        )
    if isinstance(problem, KeyboardInterrupt):
        return Interrupted(f"{message}; {words}")
    if isinstance(problem, (InstallFailed, OSError)):
        return InstallFailed(f"{message}; {words}", getattr(problem, "hint", None), data=data)
    return problem


def message_of(problem: BaseException) -> str:
    """One sentence on what stopped an install, with the file where the system named one."""
    if isinstance(problem, KeyboardInterrupt):
        return "interrupted"
    if isinstance(problem, EnvfixError):
        return problem.message
    if isinstance(problem, OSError):
        reason = problem.strerror or str(problem)
        return f"`{problem.filename}`: {reason}" if problem.filename else reason
    return f"{type(problem).__name__}: {problem}"
