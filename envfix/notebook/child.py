"""The process that does what a notebook or a program has asked for.

It is one of its own, because an install replaces packages that envfix itself has imported. The first line
of standard input is what the asking process says of itself (`envfix.notebook.loaded`), the rest is the
command's. Standard output is one JSON object: the contract's own as `answer`, and the same as `text` and
`html`; `raised` says that there is no result but an error.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from typing import Any, NoReturn

from envfix import cli, envelope, own
from envfix.errors import EnvfixError, Interrupted, UsageError
from envfix.system import streams


def entry(argv: list[str]) -> NoReturn:
    """Do it, print the object, and exit with the contract's code."""
    streams.prepare()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        answer = _answered(argv)
    if said.getvalue():  # `--help` and `--version` print and end
        answer["text"] = said.getvalue() + answer["text"]
    streams.write(json.dumps(answer) + "\n", sys.stdout)
    streams.leave(answer["answer"]["exit_code"])


def _answered(argv: list[str]) -> dict[str, Any]:
    command = next((word for word in argv if not word.startswith("-")), "")
    try:
        caller = json.loads(sys.stdin.buffer.readline())
        options = cli.parsed(argv)
        if options.command == "watch":
            raise UsageError("`watch` runs until it is stopped", "!envfix watch --count 10")
        # Nothing but the standard library is imported before.
        own.put_right(options)
        return _result(options, caller)
    except EnvfixError as error:
        return _raised(command, error)
    except KeyboardInterrupt:
        return _raised(command, Interrupted("interrupted"))
    except SystemExit as ended:
        return _object(json.loads(envelope.envelope(command, int(ended.code or 0), None, [])), "", "", False)
    except Exception as bug:
        return _raised(command, cli.bug(bug))


def _result(options: argparse.Namespace, said: dict[str, Any]) -> dict[str, Any]:
    from envfix import commands
    from envfix.model.target import Caller, Stale
    from envfix.render import cell, text
    from envfix.render import json as results

    caller = Caller(
        pid=said["pid"],
        python=said["python"],
        imported=frozenset(said["imported"]),
        stale=tuple(Stale(*one) for one in said["stale"]),
    )
    result, exit_code, _ = commands.perform(options, caller)
    rendered = commands.render(options, result, exit_code).text
    answer = json.loads(results.success(options.command, result, exit_code))
    if getattr(options, "format", "") == "html" or not rendered:
        rendered = text.result(result)
    return _object(answer, rendered, "" if options.json else cell.cell(result, rendered), False)


def _raised(command: str, error: EnvfixError) -> dict[str, Any]:
    text = ""
    data = None
    if error.data is not None:
        from envfix.render import json as results
        from envfix.render import text as texts

        text, data = texts.failure(error), results.data(error.data)
    return _object(json.loads(envelope.failure(command, error, data)), text, "", True)


def _object(answer: Any, text: str, html: str, raised: bool) -> dict[str, Any]:
    return {"answer": answer, "text": text, "html": html, "raised": raised}
