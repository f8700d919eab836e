"""`envfix explain`: 0 whenever it ran, whether or not it found a cause."""

from __future__ import annotations

import argparse

from envfix import diagnosing
from envfix.commands.asking import where
from envfix.situation import Parts


def explain(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """What the log means; 0 whether or not a cause was found."""
    return diagnosing.explain(parts, where(options), options.log), 0
