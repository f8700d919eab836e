"""Parsed options → request and real parts → workflow → rendered text, one function a command."""

from __future__ import annotations

import argparse
import datetime
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from envfix import workflow
from envfix.errors import InputError, Interrupted, UsageError
from envfix.matrix import load, tf_request
from envfix.model.request import (
    ANY,
    Accelerator,
    CudaSource,
    InstallOptions,
    Request,
    ResolverName,
    TensorFlowRequest,
)
from envfix.model.results import Installed, MatrixShown
from envfix.model.target import PipConfig
from envfix.ports import Index, Outside, Resolver
from envfix.probe import kernel
from envfix.render import Rendered, json, markdown, text
from envfix.render.plan import plan
from envfix.resolve import pip_config
from envfix.situation import Parts, Where
from envfix.system.outside import RealOutside


def run(options: argparse.Namespace) -> Rendered:
    """The rendered result of one command. Raises EnvfixError for everything it refuses or fails in."""
    _end_like_ctrl_c()
    outside = RealOutside(quiet=False)
    outside.in_cell = options.command == "install" and in_cell(outside)
    parts = Parts(
        outside=outside,
        matrix_dir=load.matrix_dir(),
        index=_index,
        resolver=lambda name, config: _resolver(outside, name, config),
    )
    result, exit_code = COMMANDS[options.command](parts, options)
    if options.json:
        rendered = json.success(options.command, result, exit_code)
    elif getattr(options, "format", "text") == "markdown":
        rendered = markdown.report(result)  # type: ignore[arg-type]
    else:
        rendered = text.result(result)
    if options.command == "report" and options.output:
        _write(outside, options.output, rendered)
        rendered = ""
    return Rendered(rendered, exit_code)


def in_cell(outside: Outside) -> bool:
    """Whether envfix was started with `!` in a notebook, which pretends to be a terminal (a pty)."""
    # jupyter_client sets the variable for its kernels; /proc tells it of the others, where there is one.
    return bool(outside.environ.get("JPY_PARENT_PID")) or kernel.find_kernel(outside) is not None


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
    return workflow.probe(parts, _where(options)), 0


def _report(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    report = workflow.report(parts, _request(options), _where(options), every=options.json)
    return report, report.exit_code


def _lock(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if options.check:
        given = {"--tf": options.tf, "--with": options.companions, "-o": options.output}
        given["--requirements"] = options.requirements
        _alone("--check", given)
        return workflow.check_lock(parts, _where(options), options.check, offline=options.offline), 0
    path = options.output or "pylock.envfix.toml"
    beside = options.requirements or str(Path(path).with_name("requirements.envfix.txt"))
    if Path(path).resolve() == Path(beside).resolve():
        raise UsageError(f"`-o` and `--requirements` both name `{path}`", "name two files")
    return workflow.lock(parts, _request(options), _where(options), path, beside), 0


def _install(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if options.break_system_packages and not options.yes:
        raise UsageError("`--break-system-packages` needs `--yes` beside it")
    if options.lock:
        given = {"--tf": options.tf, "--with": options.companions, "--upgrade": options.upgrade}
        given["--accelerator"] = options.accelerator != "gpu"
        given["--cuda"] = options.cuda != "auto"
        _alone("--lock", given)
    done = workflow.install(
        parts,
        _request(options),
        _where(options),
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


def _alone(option: str, given: Mapping[str, object]) -> None:
    """Raises UsageError for an option that another one would make meaningless."""
    wrong = next((name for name, value in given.items() if value), None)
    if wrong:
        raise UsageError(f"`{option}` is about exactly that lock: `{wrong}` does not go with it")


def _verify(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if not 0 < options.timeout < 1e6:
        raise UsageError(f"`--timeout` needs seconds above 0 and below 1e6, found `{options.timeout:g}`")
    done = workflow.verify(parts, _where(options), Accelerator(options.accelerator), options.timeout)
    return done, done.exit_code


def _matrix(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    if options.action == "derive":
        from envfix.matrix import derive

        config = pip_config.read_pip_config(parts.outside, None)
        known = load.load(parts.outside, parts.matrix_dir)
        release = derive.derive(
            _index(config), options.version, options.package, known.wheels, known.cuda.ptx
        )
        return (release if options.json else derive.to_yaml(release)), 0
    matrix = load.load(parts.outside, parts.matrix_dir)
    if options.action == "check":
        from envfix.matrix import check

        config = pip_config.read_pip_config(parts.outside, None)
        return check.check(_index(config), matrix, datetime.date.today()), 0
    asked = _tf(options.tf).specifier
    rows = [row for row in matrix.releases if asked.contains(row.version, prereleases=True)]
    rows.sort(key=lambda row: row.version, reverse=True)
    return MatrixShown(date=matrix.date, digest=matrix.digest, releases=tuple(rows)), 0


def _machines(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    return workflow.machines(parts), 0


COMMANDS = {
    "probe": _probe,
    "report": _report,
    "lock": _lock,
    "install": _install,
    "verify": _verify,
    "matrix": _matrix,
    "machines": _machines,
}


def _request(options: argparse.Namespace) -> Request:
    return Request(
        tf=_tf(options.tf),
        companions=tuple(_companion(value) for value in options.companions),
        accelerator=Accelerator(options.accelerator),
        cuda=CudaSource(options.cuda),
        resolver=ResolverName(options.resolver),
        upgrade=getattr(options, "upgrade", False),
        offline=options.offline,
    )


def _tf(text: str | None) -> TensorFlowRequest:
    """`--tf` parsed; without it every release is meant."""
    if text is None:
        return ANY
    return tf_request.parse_tf(text)


def _companion(value: str) -> Requirement:
    try:
        return Requirement(value)
    except InvalidRequirement as problem:
        what = str(problem).splitlines()[0]
        raise InputError(
            f"`--with {value}` is no requirement: {what}", "for example `--with 'torch>=2.6'`"
        ) from None


def _where(options: argparse.Namespace) -> Where:
    return Where(
        python=_python(options.python),
        venv=_absolute(options.venv),
        machine=getattr(options, "machine", None),
    )


def _python(given: str | None, which: Callable[[str], str | None] | None = None) -> str | None:
    """An interpreter's path; a bare name such as `python3.10` is looked for on PATH, as the shell does."""
    if given and not re.search(r"[/\\]", given):
        found = (which or RealOutside().which)(given)
        if found:
            return found
        if not Path(given).exists():
            raise InputError(
                f"no interpreter `{given}` is on PATH",
                "name one that is there, by its path or a name on PATH: --python /usr/bin/python3",
            )
    return _absolute(given)


def _absolute(path: str | None) -> str | None:
    """Absolute, but without following links: a virtual environment's interpreter is one."""
    if path is None:
        return None
    if not path:
        raise InputError("a path is empty", "name a file or folder, or leave the option out")
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:
        raise InputError(
            f"`{path}`: there is no user of that name with a home folder", "write the path out"
        ) from None


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
