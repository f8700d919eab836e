"""Parsed options → request and real parts → workflow → rendered text, one function a command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from envfix.errors import InputError
from envfix.matrix import load
from envfix.model.request import ResolverName
from envfix.model.results import Installed, Report
from envfix.model.target import Caller, PipConfig
from envfix.ports import Attester, Index, Outside, Resolver
from envfix.render import Rendered
from envfix.situation import Parts
from envfix.system.outside import RealOutside

if TYPE_CHECKING:
    from envfix.restarting import LastAct

Command = Callable[[Parts, argparse.Namespace], tuple[object, int]]
# The module and the function of each. Importing them all takes longer than `explain` needs to run.
COMMANDS = {
    "probe": "looking:probe",
    "report": "reporting:report",
    "lock": "locking:lock",
    "install": "installing:install",
    "verify": "verifying:verify",
    "rollback": "undoing:rollback",
    "explain": "explaining:explain",
    "watch": "watch:watch",
    "matrix": "matrix:matrix",
    "machines": "looking:machines",
    "completion": "completing:completion",
}
RECORDED = ("install", "verify")
# What these change may be what envfix runs on: what is needed after the change is imported before it.
WRITING = ("install", "rollback")
AFTERWARDS = ("envfix.render.json", "envfix.render.text", "envfix.restarting", "envfix.system.jupyter")


def command(name: str) -> Command:
    """The function of a command; what it needs is imported with it, and nothing of the others."""
    for later in AFTERWARDS if name in WRITING else ():
        import_module(later)
    module, _, function = COMMANDS[name].partition(":")
    found: Command = getattr(import_module(f"envfix.commands.{module}"), function)
    return found


def run(options: argparse.Namespace) -> Rendered:
    """The rendered result of one command. Raises EnvfixError for everything it refuses or fails in."""
    return render(options, *perform(options))


def perform(options: argparse.Namespace, caller: Caller | None = None) -> tuple[object, int, LastAct | None]:
    """The result of one command, asked for by `caller` from within Python, the exit code, and what is to be
    done when all is said."""
    _end_like_ctrl_c()
    outside = RealOutside(quiet=False)
    if options.command == "install":
        from envfix.commands.asking import in_cell

        outside.in_cell = in_cell(outside)
    parts = Parts(
        outside=outside,
        matrix_dir=load.matrix_dir(),
        index=_index,
        resolver=lambda name, config: _resolver(outside, name, config),
        caller=caller,
        attester=_attester,
    )
    result, exit_code = _done(parts, options)
    last_act = None
    if isinstance(result, Installed):
        from envfix import restarting
        from envfix.system.jupyter import RealKernelHost

        host, within = RealKernelHost(), caller is not None
        result, last_act = restarting.prepared(outside, host, result, options.restart, within=within)
    return result, exit_code, last_act


def render(
    options: argparse.Namespace, result: object, exit_code: int, last_act: LastAct | None = None
) -> Rendered:
    """The result in the form that the options name; a report for a file is written there."""
    rendered = _rendered(options, result, exit_code)
    if options.command == "report" and options.output:
        _write(RealOutside(), options.output, rendered)
        rendered = ""
    if last_act is None or not isinstance(result, Installed):
        return Rendered(rendered, exit_code)

    def otherwise(problem: str) -> str:
        from envfix import restarting

        return _rendered(options, restarting.left_alone(result, problem), exit_code)

    return Rendered(rendered, exit_code, last_act, otherwise)


def _done(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if options.command not in RECORDED:
        return command(options.command)(parts, options)
    from envfix.commands.recording import recorded

    return recorded(parts, options, command(options.command))


def _rendered(options: argparse.Namespace, result: object, exit_code: int) -> str:
    if options.json:
        from envfix.render import json

        return json.success(options.command, result, exit_code)
    if isinstance(result, Report) and options.format == "markdown":
        from envfix.render import markdown

        return markdown.report(result)
    if isinstance(result, Report) and options.format == "html":
        from envfix.render import html

        return html.page(result)
    from envfix.render import text

    return text.result(result)


def _end_like_ctrl_c() -> None:
    """A closed terminal or a stopped kernel ends envfix as Ctrl-C does: children ended, things put back."""
    import signal

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Somebody who has it ignored (`nohup`) wants it ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def matrix_date() -> str:
    """The date of the shipped matrix."""
    return load.load(RealOutside(), load.matrix_dir()).date


def _write(outside: Outside, path: str, content: str) -> None:
    try:
        outside.write_text(path, content if content.endswith("\n") else content + "\n")
    except OSError as problem:
        raise InputError(f"`{path}` cannot be written: {problem.strerror}") from None


def _index(config: PipConfig) -> Index:
    from envfix.system.index import RealIndex

    return RealIndex(config)


def _attester() -> Attester | None:
    from envfix.system import attestations

    return attestations.attester()


def _resolver(outside: Outside, name: ResolverName, config: PipConfig) -> Resolver:
    if name is ResolverName.PIP_TOOLS:
        from envfix.resolve.pip_tools import PipToolsResolver

        return PipToolsResolver(outside, _index(config))
    from envfix.resolve.uv import UvResolver

    return UvResolver(outside)
