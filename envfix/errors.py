"""The error tree: every way envfix refuses or fails, with its code and exit code.

The exit codes are part of the command line's contract (README, "Exit codes").
"""

from __future__ import annotations

from envfix.model.urls import redact

# Type checkers take this name for true; `typing` is not worth its import at every start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class EnvfixError(Exception):
    """Something envfix can say in one sentence.

    `message` names the place and both values; `hint`, when there is one, can be pasted into a shell. Both
    are without the credentials that a URL in them had, however they came in.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None, *, data: object = None) -> None:
        """`data` is the result as far as there is one (every rejected release, say), shown with the error."""
        self.message = redact(message)
        super().__init__(self.message)
        self.hint = redact(hint) if hint else hint
        self.data = data

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: a notebook is told what the command line prints."""
        return [f"error: {self.message}", *(f"hint: {line}" for line in (self.hint or "").splitlines())]


class UsageError(EnvfixError):
    """The command line does not parse, or its options contradict each other."""

    code = "usage"
    exit_code = 2


class InputError(EnvfixError):
    """A file or a value of the user's is wrong: machine file, specifier, interpreter, lock."""

    code = "bad-input"
    exit_code = 2


class MatrixError(EnvfixError):
    """A file of the compatibility matrix is malformed; the message holds file, row and key."""

    code = "bad-matrix"
    exit_code = 2


class IndexUnreachable(EnvfixError):
    """The package index did not answer, or not with a project page."""

    code = "index-unreachable"
    exit_code = 4


class NothingFits(EnvfixError):
    """No release fits this machine and request; a missing GPU is one of the reasons."""

    code = "nothing-fits"
    exit_code = 3


class ResolutionFailed(EnvfixError):
    """The resolver found no set of packages that holds every requirement."""

    code = "resolution-failed"
    exit_code = 3


class InstallFailed(EnvfixError):
    """The install failed and the environment is as it was."""

    code = "install-failed"
    exit_code = 4


class AttestationFailed(InstallFailed):
    """What the index attests of a file does not verify; nothing was changed or written."""

    code = "attestation-failed"


class EnvironmentChanged(EnvfixError):
    """The install failed and the environment is changed; the hint says what to run."""

    code = "environment-changed"
    exit_code = 5


class ProofUnavailable(EnvfixError):
    """The driver stub cannot be compiled, so the loader proof cannot be run."""

    code = "proof-unavailable"
    exit_code = 6


class LockMismatch(EnvfixError):
    """The lock does not fit this machine or this matrix."""

    code = "lock-mismatch"
    exit_code = 7


class Interrupted(EnvfixError):
    """Ctrl-C, after putting things back."""

    code = "interrupted"
    exit_code = 130
