"""argv → one command → render → exit code: errors, bugs and Ctrl-C included.

Nothing heavy is imported until a command needs it: `envfix --help` costs little more than Python itself.
"""

from __future__ import annotations

import gc
import sys

from envfix import __version__
from envfix.errors import EnvfixError, Interrupted
from envfix.options import build_parser
from envfix.output import complain, deliver
from envfix.system import streams

# Seconds in which a kernel reads its child's output and sends it on: ipykernel's streams wait 0.2 s.
RELAYED = 1.0

# Type checkers take this name for true; importing it from `typing` would cost a third of `--help`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from envfix.render import Rendered


def entry() -> NoReturn:
    """The `envfix` command: exits with the contract's code."""
    # What is imported and read stays: looking for garbage takes 6 ms of a report, 17 of an install.
    gc.set_threshold(200_000)
    streams.prepare()
    streams.leave(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; only a bug of ours raises."""
    command = next((word for word in argv if not word.startswith("-")), "")
    as_json = "--json" in argv or "--format=json" in argv or _follows(argv, "--format", "json")
    try:
        options = parsed(argv)
        as_json, command = options.json, options.command
        rendered = _run(options)
    except EnvfixError as error:
        return _fail(command, error, as_json)
    except KeyboardInterrupt:
        return _fail(command, Interrupted("interrupted"), as_json)
    except Exception as problem:
        return _fail(command, bug(problem), as_json)
    if rendered.last_act is not None:
        return _end_with(rendered, rendered.last_act)
    return deliver(rendered.text, rendered.exit_code)


def _end_with(rendered: Rendered, act: Callable[[], str]) -> int:
    """Do what may end envfix itself, when everything is said and the notebook has had time to take it over.

    Being ended by it is success, and whatever is to be cleared away is cleared away. Where it did not work,
    a file in which it was said is put right; what a notebook has read already is corrected by a warning.
    """
    import signal
    import time

    before = streams.size(sys.stdout)
    exit_code = deliver(rendered.text, rendered.exit_code)
    after = streams.size(sys.stdout)

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(exit_code)

    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), leave)
    # The terminal of a `!` goes with its kernel, before it is seen whether another one came.
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    time.sleep(RELAYED)
    problem = act()
    if problem and rendered.otherwise is not None and streams.cut(sys.stdout, before, after):
        exit_code = deliver(rendered.otherwise(problem), exit_code)
    if problem:
        complain(
            f"warning: the kernel was not restarted: {problem}\nhint: restart it yourself, as said above"
        )
    return exit_code


def parsed(argv: Sequence[str]) -> Namespace:
    """The options of a command line. Raises UsageError."""
    command = next((word for word in argv if not word.startswith("-")), "")
    options = build_parser(command).parse_args(argv)
    options.argv = argv
    if getattr(options, "format", None) == "json":
        options.json = True
    return options


def _follows(argv: Sequence[str], option: str, value: str) -> bool:
    return any(argv[at : at + 2] == [option, value] for at in range(len(argv)))


def _run(options: Namespace) -> Rendered:
    from envfix import own

    own.put_right(options)
    from envfix import commands

    return commands.run(options)


def _fail(command: str, error: EnvfixError, as_json: bool) -> int:
    if as_json:
        return deliver(_as_json(command, error), error.exit_code)
    if error.data is not None:
        from envfix.render import text

        deliver(text.failure(error), error.exit_code)
    hints = error.hint.splitlines() if error.hint else ()
    complain("\n".join((f"error: {error.message}", *(f"hint: {hint}" for hint in hints))))
    return error.exit_code


def _as_json(command: str, error: EnvfixError) -> str:
    if error.data is None:
        from envfix import envelope

        return envelope.failure(command, error, None)
    from envfix.render import json

    return json.failure(command, error)


def bug(problem: Exception) -> EnvfixError:
    """A bug of ours: said as one, with the traceback on standard error for the report."""
    import traceback

    complain("".join(traceback.format_exception(problem)))
    return EnvfixError(
        f"this is a bug in envfix {__version__}: {type(problem).__name__}: {problem}",
        "please report it with the traceback above",
    )
