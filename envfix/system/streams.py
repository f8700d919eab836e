"""The standard streams: each is there, and what cannot be written is a value and no traceback."""

from __future__ import annotations

import os
import sys

# Type checkers take this name for true; `typing` is not worth its import at every start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TextIO


def prepare() -> None:
    """Put the null device in the place of a standard stream that was closed (`>&-`), as git and uv do.

    Otherwise the next file that is opened would take its descriptor, and a child would print into that file.
    What the encoding of standard output does not have is printed as an escape, as on standard error.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken: this one. Children inherit it, as the other two.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def leave(exit_code: int) -> NoReturn:
    """End this process, with all done that was registered for its end (`atexit`) and all output written.

    The interpreter is not taken apart object by object: that is 25 ms of a report and 35 of an install.
    """
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            exit_code = exit_code or 2  # what was not said is no success
    os._exit(exit_code)


def write(text: str, stream: TextIO) -> str:
    """Write the text and flush. Returns why that could not be done, empty when it was.

    A reader that has gone (`| head`) has seen what it wanted: that is no trouble.
    """
    problem = _put(text, stream)
    if problem is None or isinstance(problem, BrokenPipeError):
        return ""
    return problem.strerror or str(problem)


def is_read(text: str, stream: TextIO) -> bool:
    """Write the text and flush; False where its reader has gone. Raises OSError for any other trouble."""
    problem = _put(text, stream)
    if problem is not None and not isinstance(problem, BrokenPipeError):
        raise problem
    return problem is None


def size(stream: TextIO) -> int | None:
    """The bytes of the file behind the stream; None where it is none, and nothing can be taken back."""
    import stat

    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def cut(stream: TextIO, start: int | None, end: int | None) -> bool:
    """Take back what was written from byte `start` to `end`, where the file still ends there: others may have
    written into it since. Whether that was done."""
    if start is None or end is None or size(stream) != end:
        return False
    try:
        os.ftruncate(stream.fileno(), start)
        os.lseek(stream.fileno(), 0, os.SEEK_END)
    except (OSError, ValueError):
        return False
    return True


def _put(text: str, stream: TextIO) -> OSError | None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as problem:
        _silence(stream)
        return problem
    return None


def _silence(stream: TextIO) -> None:
    """Python's own flush at its end would fail again (documentation of `signal`, "Note on SIGPIPE")."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
