"""`envfix probe` and `envfix machines`: what is there, with nothing decided."""

from __future__ import annotations

import argparse

from envfix import workflow
from envfix.commands.asking import where
from envfix.situation import Parts


def probe(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """The machine, and 0 whatever is missing on it."""
    return workflow.probe(parts, where(options)), 0


def machines(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """The shipped machines."""
    return workflow.machines(parts), 0
