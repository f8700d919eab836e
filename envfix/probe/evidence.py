"""How a reading becomes evidence: files that are missing, children that crash, readers that hang."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from envfix.model.machine import Evidence, Outcome
from envfix.ports import Outside, Ran

T = TypeVar("T")
DETAIL = 300  # characters of a foreign program's words that are kept as evidence


class Text(NamedTuple):
    """What became of reading one text; `text` is empty unless it was found, `detail` says why."""

    outcome: Outcome
    text: str = ""
    detail: str = ""


def read_file(outside: Outside, path: str, limit: int = 1 << 20) -> Text:
    """A file that may not be there; any other trouble than its absence is a failure."""
    try:
        return Text(Outcome.FOUND, outside.read_text(path, limit))
    except (FileNotFoundError, NotADirectoryError):
        return Text(Outcome.ABSENT, detail="no such file")
    except OSError as problem:
        return Text(Outcome.FAILED, detail=f"cannot be read: {problem.strerror or problem}")


def child_answer(ran: Ran, mark: str) -> tuple[Outcome, dict[str, Any], str]:
    """The JSON object of a child's marked line; without one, how the child ended is the detail."""
    if ran.timed_out:
        return Outcome.TIMEOUT, {}, ran.error
    for line in ran.out.splitlines():
        if line.startswith(mark):
            try:
                answer = json.loads(line[len(mark) :])
            except (ValueError, RecursionError):
                break
            if isinstance(answer, dict):
                return Outcome.FOUND, answer, ""
    return Outcome.FAILED, {}, how_it_ended(ran)


def how_it_ended(ran: Ran) -> str:
    """A child's end in words, with what it said: all of it when that is short, else its last line."""
    lines = [line.strip() for line in (ran.out + "\n" + ran.err).splitlines() if line.strip()]
    said = "; ".join(lines)
    if len(said) > DETAIL // 2:
        said = lines[-1]
    if ran.error:
        ended = ran.error
    elif ran.code is not None and ran.code < 0:
        ended = f"ended by {_signal(-ran.code)}"
    else:
        ended = f"exit {ran.code}"
    return f"{ended}: {said}"[:DETAIL] if said else ended


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def gather(jobs: Mapping[str, Callable[[], T]], limit: float) -> dict[str, T | None]:
    """Run the jobs side by side; None for one that has not ended after `limit` seconds.

    The threads are daemons, because a read of a hanging driver's /proc file cannot be interrupted and must
    not keep envfix from ending. What a job raises is raised here: it is a bug.
    """
    done: dict[str, T] = {}
    raised: list[BaseException] = []

    def run(name: str, job: Callable[[], T]) -> None:
        try:
            done[name] = job()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in jobs.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if raised:
        raise raised[0]
    return {name: done.get(name) for name in jobs}


def piece(fact: str, source: str, outcome: Outcome, detail: str = "") -> Evidence:
    """Evidence whose detail is one line of a length that can be printed."""
    return Evidence(fact=fact, source=source, outcome=outcome, detail=" ".join(detail.split())[:DETAIL])
