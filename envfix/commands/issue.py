"""`envfix report --for-issue`: what is asked for, and the block."""

from __future__ import annotations

import argparse

from envfix.commands.asking import where
from envfix.errors import UsageError
from envfix.issue import collect
from envfix.model.request import Accelerator
from envfix.model.results import IssueReport
from envfix.render.issue import issue
from envfix.situation import Parts


def for_issue(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """The block, and 0 whatever it tells of. Raises UsageError for an option that is about another machine
    or request."""
    given = {
        "--machine": options.machine,
        "--tf": options.tf,
        "--with": options.companions,
        "--cuda": options.cuda != "auto",
        "--resolver": options.resolver != "auto",
        "--offline": options.offline,
        "--since": options.since,
        f"--format {options.format}": options.format not in ("text", "json", "markdown"),
    }
    wrong = next((name for name, value in given.items() if value), None)
    if wrong:
        raise UsageError(f"`--for-issue` is about what is installed here: `{wrong}` does not go with it")
    facts = collect(parts, where(options), Accelerator(options.accelerator))
    return IssueReport(markdown=issue(facts)), 0
