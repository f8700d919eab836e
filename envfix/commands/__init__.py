"""Parsed options → request and real parts → workflow → rendered text, one function a command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

from envfix.errors import InputError
from envfix.matrix import load
from envfix.model.request import ResolverName
from envfix.model.results import Report
from envfix.model.target import PipConfig
from envfix.ports import Index, Outside, Resolver
from envfix.render import Rendered
from envfix.situation import Parts
from envfix.system.outside import RealOutside

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
}
RECORDED = ("install", "verify")


def command(name: str) -> Command:
    """The function of a command; what it needs is imported with it, and nothing of the others."""
    module, _, function = COMMANDS[name].partition(":")
    found: Command = getattr(import_module(f"envfix.commands.{module}"), function)
    return found


def run(options: argparse.Namespace) -> Rendered:
    """The rendered result of one command. Raises EnvfixError for everything it refuses or fails in."""
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
    )
    result, exit_code = _done(parts, options)
    rendered = _rendered(options, result, exit_code)
    if options.command == "report" and options.output:
        _write(outside, options.output, rendered)
        rendered = ""
    return Rendered(rendered, exit_code)


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


def _resolver(outside: Outside, name: ResolverName, config: PipConfig) -> Resolver:
    if name is ResolverName.PIP_TOOLS:
        from envfix.resolve.pip_tools import PipToolsResolver

        return PipToolsResolver(outside, _index(config))
    from envfix.resolve.uv import UvResolver

    return UvResolver(outside)
