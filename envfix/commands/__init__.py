"""Parsed options → request and real parts → workflow → rendered text, one function a command."""

from __future__ import annotations

import argparse

from envfix import restarting, workflow
from envfix.commands.asking import in_cell, request, where
from envfix.commands.explaining import explain
from envfix.commands.installing import install
from envfix.commands.issue import for_issue
from envfix.commands.locking import lock
from envfix.commands.matrix import matrix
from envfix.commands.recording import compared, listed, recorded
from envfix.commands.undoing import rollback
from envfix.commands.watch import watch
from envfix.errors import InputError, UsageError
from envfix.matrix import load
from envfix.model.request import Accelerator, ResolverName
from envfix.model.results import Installed, Report
from envfix.model.target import Caller, PipConfig
from envfix.ports import Attester, Index, Outside, Resolver
from envfix.render import Rendered, json, markdown, text
from envfix.restarting import LastAct
from envfix.situation import Parts
from envfix.system.jupyter import RealKernelHost
from envfix.system.outside import RealOutside


def run(options: argparse.Namespace) -> Rendered:
    """The rendered result of one command. Raises EnvfixError for everything it refuses or fails in."""
    return render(options, *perform(options))


def perform(options: argparse.Namespace, caller: Caller | None = None) -> tuple[object, int, LastAct | None]:
    """The result of one command, asked for by `caller` from within Python, the exit code, and what is to be
    done when all is said."""
    _end_like_ctrl_c()
    outside = RealOutside(quiet=False)
    outside.in_cell = options.command == "install" and in_cell(outside)
    parts = Parts(
        outside=outside,
        matrix_dir=load.matrix_dir(),
        index=_index,
        resolver=lambda name, config: _resolver(outside, name, config),
        caller=caller,
        attester=_attester,
    )
    result, exit_code = recorded(parts, options, COMMANDS[options.command])
    last_act = None
    if isinstance(result, Installed):
        # The kernel that asks from within Python restarts itself (`envfix.notebook.restarting`).
        mode = options.restart if caller is None else "ask"
        result, last_act = restarting.prepared(outside, RealKernelHost(), result, mode)
    return result, exit_code, last_act


def render(
    options: argparse.Namespace, result: object, exit_code: int, last_act: LastAct | None = None
) -> Rendered:
    """The result in the form that the options name; a report for a file is written there."""
    if options.json:
        rendered = json.success(options.command, result, exit_code)
    elif isinstance(result, Report) and options.format == "markdown":
        rendered = markdown.report(result)
    elif isinstance(result, Report) and options.format == "html":
        from envfix.render import html

        rendered = html.page(result)
    else:
        rendered = text.result(result)
    if options.command == "report" and options.output:
        _write(RealOutside(), options.output, rendered)
        rendered = ""
    return Rendered(rendered, exit_code, last_act)


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


def _probe(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    return workflow.probe(parts, where(options)), 0


def _report(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if options.for_issue:
        return for_issue(parts, options)
    if options.since is not None and options.since.lower() == "list":
        return listed(parts, options), 0
    every = options.json or options.format == "html" or parts.caller is not None
    report = workflow.report(parts, request(options), where(options), every=every)
    report = restarting.reported(parts.outside, report)
    if options.since is not None:
        report = compared(parts, options, report)
    return report, report.exit_code


def _verify(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if not 0 < options.timeout < 1e6:
        raise UsageError(f"`--timeout` needs seconds above 0 and below 1e6, found `{options.timeout:g}`")
    accelerator = Accelerator(options.accelerator)
    done = workflow.verify(parts, where(options), accelerator, options.timeout, deep=options.deep)
    done = restarting.verified(parts.outside, done)
    return done, done.exit_code


def _machines(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    return workflow.machines(parts), 0


COMMANDS = {
    "probe": _probe,
    "report": _report,
    "lock": lock,
    "install": install,
    "verify": _verify,
    "rollback": rollback,
    "explain": explain,
    "watch": watch,
    "matrix": matrix,
    "machines": _machines,
}


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
