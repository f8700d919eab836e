"""`envfix lock`: which files to write, and what may be overwritten."""

from __future__ import annotations

import argparse
from pathlib import Path

from envfix import workflow
from envfix.commands.asking import alone, request, where
from envfix.errors import InputError, UsageError
from envfix.lock import exports, pylock, requirements
from envfix.lock.exports import LOCK, MACHINE, Export
from envfix.model.plan import Lock
from envfix.situation import Parts


def lock(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """What was written, or checked with `--check`. Raises UsageError for options that contradict each other,
    InputError for a file that is not envfix's to overwrite, LockMismatch, and what deciding and resolving
    raise."""
    kind = Export(options.format)
    if options.check:
        given = {"--tf": options.tf, "--with": options.companions, "-o": options.output}
        given |= {"--requirements": options.requirements, "--attestations": options.attestations}
        given["--minimal"] = options.minimal
        given["--format"] = kind is not Export.PYLOCK
        alone("--check", given)
        return workflow.check_lock(parts, where(options), options.check, offline=options.offline), 0
    if kind is not Export.PYLOCK:
        return _exported(parts, options, kind), 0
    path = options.output or LOCK
    beside = options.requirements or str(Path(path).with_name("requirements.envfix.txt"))
    if Path(path).resolve() == Path(beside).resolve():
        raise UsageError(f"`-o` and `--requirements` both name `{path}`", "name two files")

    def files(made: Lock) -> dict[str, str]:
        return {path: pylock.render_pylock(made), beside: requirements.render_requirements(made)}

    return workflow.lock(parts, request(options), where(options), files), 0


def _exported(parts: Parts, options: argparse.Namespace, kind: Export) -> object:
    if options.requirements:
        raise UsageError(f"`--format {kind.value}` writes no requirements file", "leave `--requirements` out")
    path = options.output or exports.FILES[kind]
    _refuse_foreign(parts, path)
    lock_path, machine_path = (str(Path(path).with_name(name)) for name in (LOCK, MACHINE))

    def files(made: Lock) -> dict[str, str]:
        text = exports.export(made, kind)
        if kind is not Export.DOCKERFILE:
            return {path: text}
        machine = exports.machine_of(made.floors)
        return {path: text, lock_path: pylock.render_pylock(made), machine_path: machine}

    return workflow.lock(parts, request(options), where(options), files)


def _refuse_foreign(parts: Parts, path: str) -> None:
    """A Dockerfile or `pyproject.toml` of the user's own is never written over."""
    try:
        head = parts.outside.read_text(path, 200)
    except OSError:
        return
    if head.strip() and not head.startswith(exports.MADE):
        raise InputError(
            f"`{path}` is there already, and envfix did not write it", "name another file with `-o FILE`"
        )
