"""`envfix install`: the plan is shown, and a person who can answer is asked."""

from __future__ import annotations

import argparse

from envfix import installing, isolating
from envfix.commands.asking import alone, asks, proceed, request, where
from envfix.errors import UsageError
from envfix.model.request import InstallOptions
from envfix.model.results import Installed
from envfix.ports import Outside
from envfix.render.plan import plan
from envfix.situation import Parts


def install(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """What was done, or would be; 6 where the proof failed. Raises UsageError for options that contradict
    each other, Interrupted for a no, and every EnvfixError of an install."""
    if options.break_system_packages and not options.yes:
        raise UsageError("`--break-system-packages` needs `--yes` beside it")
    if options.lock:
        given = {"--tf": options.tf, "--with": options.companions, "--upgrade": options.upgrade}
        given["--accelerator"] = options.accelerator != "gpu"
        given["--cuda"] = options.cuda != "auto"
        given["--minimal"] = options.minimal
        alone("--lock", given)
    how = InstallOptions(
        approve=lambda installed: _approve(parts.outside, installed, options),
        asks=asks(parts.outside, options),
        lock=options.lock,
        dry_run=options.dry_run,
        break_system_packages=options.break_system_packages,
        verify=not options.no_verify,
    )
    if options.kernel is None:
        done = installing.install(parts, request(options), where(options), how)
    elif options.lock:
        raise UsageError(
            "`--kernel` needs ipykernel in the solution: `--lock` does not go with it",
            f"envfix install --kernel {options.kernel} --tf '2.20.*'",
        )
    else:
        done = isolating.install_kernel(parts, request(options), where(options), how, options.kernel)
    return done, done.exit_code


def _approve(outside: Outside, installed: Installed, options: argparse.Namespace) -> None:
    """Show the plan; ask only a person at a terminal who did not say `--yes`."""
    for line in plan(installed.plan):
        outside.say(line)
    proceed(outside, options)
