"""Parsed options → what is asked for: the request, the place, and which options go together."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envfix.errors import InputError, Interrupted, UsageError
from envfix.matrix import tf_request
from envfix.model.request import ANY, Accelerator, CudaSource, Request, ResolverName, TensorFlowRequest
from envfix.model.specifiers import NOT_VALID
from envfix.ports import Outside
from envfix.probe import kernel
from envfix.situation import Where
from envfix.system.outside import RealOutside


def request(options: argparse.Namespace) -> Request:
    """The options that decide. Raises InputError for a `--tf` or `--with` that does not parse."""
    return Request(
        tf=tf(options.tf),
        companions=tuple(_companion(value) for value in options.companions),
        accelerator=Accelerator(options.accelerator),
        cuda=CudaSource(options.cuda),
        resolver=ResolverName(options.resolver),
        upgrade=getattr(options, "upgrade", False),
        offline=options.offline,
        minimal=options.minimal,
        attestations=getattr(options, "attestations", False),
        allow_break=tuple(canonicalize_name(name) for name in getattr(options, "allow_break", ())),
    )


def tf(text: str | None) -> TensorFlowRequest:
    """`--tf` parsed; without it every release is meant."""
    if text is None:
        return ANY
    return tf_request.parse_tf(text)


def _companion(value: str) -> Requirement:
    try:
        return Requirement(value)
    except NOT_VALID as problem:
        what = str(problem).splitlines()[0]
        raise InputError(
            f"`--with {value}` is no requirement: {what}", "for example `--with 'torch>=2.6'`"
        ) from None


def where(options: argparse.Namespace) -> Where:
    """The interpreter, environment and machine that are meant, paths absolute. Raises InputError for an
    interpreter that is not on PATH and for a path that is none."""
    return Where(
        python=_python(options.python),
        venv=_absolute(options.venv),
        machine=getattr(options, "machine", None),
        command=options.command,
    )


def _python(given: str | None, which: Callable[[str], str | None] | None = None) -> str | None:
    """An interpreter's path; a bare name such as `python3.10` is looked for on PATH, as in a shell."""
    if given and not re.search(r"[/\\]", given):
        found = (which or RealOutside().which)(given)
        if found:
            return found
        here = f"./{given}" if Path(given).exists() else "/usr/bin/python3"
        raise InputError(
            f"no interpreter `{given}` is on PATH",
            f"name one that is there, by its path or a name on PATH: --python {shlex.quote(here)}",
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


def alone(option: str, given: Mapping[str, object]) -> None:
    """Raises UsageError for an option that another one would make meaningless."""
    wrong = next((name for name, value in given.items() if value), None)
    if wrong:
        raise UsageError(f"`{option}` is about exactly that lock: `{wrong}` does not go with it")


def in_cell(outside: Outside) -> bool:
    """Whether envfix was started with `!` in a notebook, which pretends to be a terminal (a pty)."""
    # jupyter_client sets the variable for its kernels; /proc tells it of the others, where there is one.
    return bool(outside.environ.get("JPY_PARENT_PID")) or kernel.find_kernel(outside) is not None


def can_answer(outside: Outside, options: argparse.Namespace) -> bool:
    """Whether a person at a terminal can be asked; in a notebook's cell nobody can type."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not options.json and not in_cell(outside)


def asks(outside: Outside, options: argparse.Namespace) -> bool:
    """Whether a person who can answer did not say `--yes`."""
    return not options.yes and can_answer(outside, options)


def proceed(outside: Outside, options: argparse.Namespace) -> None:
    """Ask a person who can answer and did not say `--yes`. Raises Interrupted for a no."""
    if not asks(outside, options):
        return
    print("proceed? [Y/n] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    # Without a line (Ctrl-D) nobody has agreed to anything.
    if not answer or answer.strip().lower() not in ("", "y", "yes"):
        raise Interrupted("stopped before the first change, as you said")
