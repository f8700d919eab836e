"""`envfix rollback`: what would be put back is shown, and a person who can answer is asked."""

from __future__ import annotations

import argparse

from envfix import undoing
from envfix.commands.asking import proceed, where
from envfix.errors import UsageError
from envfix.model.results import RolledBack
from envfix.render import undone
from envfix.situation import Parts


def rollback(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """What was put back, or with `--list` what can be. Raises EnvfixError where it is refused."""
    if options.list:
        if options.id is not None:
            raise UsageError(f"`--list` shows every transaction: `{options.id}` does not go with it")
        return undoing.transactions(parts, where(options)), 0

    def approve(planned: RolledBack) -> None:
        for line in undone.undoing(planned.transaction):
            parts.outside.say(line)
        proceed(parts.outside, options)

    earlier = getattr(options, "recovered", ())
    return undoing.rollback(parts, where(options), _number(options.id), approve, earlier), 0


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise UsageError(f"`{text}` is no transaction", "`envfix rollback --list` shows them")
    return int(text)
