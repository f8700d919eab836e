"""`envfix install`: the plan is shown, and a person who can answer is asked."""

from __future__ import annotations

import argparse
import shlex
import sys

from envfix import installing
from envfix.commands.asking import alone, request, where
from envfix.errors import InputError, Interrupted, UsageError
from envfix.model.request import InstallOptions
from envfix.model.results import Installed
from envfix.ports import Outside
from envfix.probe import kernel
from envfix.render.plan import plan
from envfix.situation import Parts


def install(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if options.break_system_packages and not options.yes:
        raise UsageError("`--break-system-packages` needs `--yes` beside it")
    if options.lock:
        given = {"--tf": options.tf, "--with": options.companions, "--upgrade": options.upgrade}
        given["--accelerator"] = options.accelerator != "gpu"
        given["--cuda"] = options.cuda != "auto"
        alone("--lock", given)
    done = installing.install(
        parts,
        request(options),
        where(options),
        InstallOptions(
            approve=lambda installed: _approve(parts.outside, installed, options),
            again=shlex.join(["envfix", *options.argv]),
            lock=options.lock,
            dry_run=options.dry_run,
            break_system_packages=options.break_system_packages,
            verify=not options.no_verify,
        ),
    )
    return done, done.exit_code


def in_cell(outside: Outside) -> bool:
    """Whether envfix was started with `!` in a notebook, which pretends to be a terminal (a pty)."""
    # jupyter_client sets the variable for its kernels; /proc tells it of the others, where there is one.
    return bool(outside.environ.get("JPY_PARENT_PID")) or kernel.find_kernel(outside) is not None


def _approve(outside: Outside, installed: Installed, options: argparse.Namespace) -> None:
    """Show the plan; ask only a person at a terminal who did not say `--yes`."""
    for line in plan(installed.plan):
        outside.say(line)
    # In a notebook's cell there seems to be a terminal, but nobody can type there.
    asked = sys.stdin.isatty() and sys.stderr.isatty() and not options.json and not in_cell(outside)
    if installed.plan.breaks and not options.yes and not asked:
        broken = ", ".join(f"{one.package} (needs {one.requirement})" for one in installed.plan.breaks)
        raise InputError(f"the plan would break installed packages: {broken}", "--yes accepts that")
    if options.yes or not asked:
        return
    print("proceed? [Y/n] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    # Without a line (Ctrl-D) nobody has agreed to anything.
    if not answer or answer.strip().lower() not in ("", "y", "yes"):
        raise Interrupted("stopped before the first change, as you said")
