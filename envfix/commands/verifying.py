"""`envfix verify`: 0 when every check that counts has passed, 6 otherwise."""

from __future__ import annotations

import argparse

from envfix import restarting, workflow
from envfix.commands.asking import where
from envfix.errors import UsageError
from envfix.model.request import Accelerator
from envfix.situation import Parts


def verify(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """What the checks found; 6 where one failed or nothing was proven."""
    if not 0 < options.timeout < 1e6:
        raise UsageError(f"`--timeout` needs seconds above 0 and below 1e6, found `{options.timeout:g}`")
    accelerator = Accelerator(options.accelerator)
    done = workflow.verify(parts, where(options), accelerator, options.timeout, deep=options.deep)
    done = restarting.verified(parts.outside, done)
    return done, done.exit_code
