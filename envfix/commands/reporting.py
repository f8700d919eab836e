"""`envfix report`: the dry run, what has changed since, or the block for an issue."""

from __future__ import annotations

import argparse

from envfix import restarting, workflow
from envfix.commands.asking import request, where
from envfix.errors import UsageError
from envfix.situation import Parts


def report(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """The report, or what is asked for in its place; 3 where no release fits. Raises UsageError for options
    that contradict each other."""
    if options.for_issue:
        from envfix.commands.issue import for_issue

        return for_issue(parts, options)
    if options.json and options.format in ("markdown", "html"):
        raise UsageError(
            f"`--json` and `--format {options.format}` ask for two forms of one report",
            "leave one of them out",
        )
    if options.since is not None and options.since.lower() == "list":
        from envfix.commands.recording import listed

        return listed(parts, options), 0
    every = options.json or options.format == "html" or parts.caller is not None
    done = workflow.report(parts, request(options), where(options), every=every)
    done = restarting.reported(parts.outside, done)
    if options.since is not None:
        from envfix.commands.recording import compared

        done = compared(parts, options, done)
    return done, done.exit_code
