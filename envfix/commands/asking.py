"""Parsed options → what is asked for: the request, the place, and which options go together."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from envfix.errors import InputError, UsageError
from envfix.matrix import tf_request
from envfix.model.request import ANY, Accelerator, CudaSource, Request, ResolverName, TensorFlowRequest
from envfix.situation import Where
from envfix.system.outside import RealOutside


def request(options: argparse.Namespace) -> Request:
    return Request(
        tf=tf(options.tf),
        companions=tuple(_companion(value) for value in options.companions),
        accelerator=Accelerator(options.accelerator),
        cuda=CudaSource(options.cuda),
        resolver=ResolverName(options.resolver),
        upgrade=getattr(options, "upgrade", False),
        offline=options.offline,
    )


def tf(text: str | None) -> TensorFlowRequest:
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


def where(options: argparse.Namespace) -> Where:
    return Where(
        python=_python(options.python),
        venv=_absolute(options.venv),
        machine=getattr(options, "machine", None),
        command=options.command,
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


def alone(option: str, given: Mapping[str, object]) -> None:
    """Raises UsageError for an option that another one would make meaningless."""
    wrong = next((name for name, value in given.items() if value), None)
    if wrong:
        raise UsageError(f"`{option}` is about exactly that lock: `{wrong}` does not go with it")
