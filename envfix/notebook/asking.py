"""A command line done in a process of its own, and its outcome as a value or an exception."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from envfix import errors
from envfix.errors import EnvfixError, Interrupted
from envfix.notebook import loaded
from envfix.notebook.results import Result
from envfix.system import asked


def ask(
    words: list[str],
    text: str = "",
    say: Callable[[str], None] | None = None,
    before: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """The result of `envfix WORDS`, whose standard input is `text`; progress goes to `say` line by line.
    `before` are this process's `loaded.versions` at an earlier time.

    Raises the EnvfixError that the command line would print; a result with an exit code of its own (a report
    in which nothing fits, a verification that failed) is returned.
    """
    replaced = loaded.surely_stale(before) if words[:1] in (["verify"], ["install"]) else ()
    knowledge = json.dumps(loaded.describe(replaced)).encode()
    ended = asked.ask(words, knowledge + b"\n" + text.encode(), say or _to_standard_error)
    try:
        object = json.loads(ended.out)
        answer, raised = object["answer"], object["raised"]
    except (ValueError, KeyError, TypeError):
        if ended.interrupted:
            raise Interrupted("interrupted") from None
        raise EnvfixError(
            f"`envfix {' '.join(words[:1])}` ended with {ended.code} and without an answer"
        ) from None
    if raised:
        problem = answer["errors"][0]
        raise _error(problem["code"], problem["message"], problem["hint"], answer["data"])
    return Result(answer, object["text"], object["html"])


def _error(code: str, message: str, hint: str | None, data: object) -> EnvfixError:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EnvfixError)
    ]
    kind = next((kind for kind in kinds if kind.code == code), EnvfixError)
    return kind(message, hint, data=data)


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
