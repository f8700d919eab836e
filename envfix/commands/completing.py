"""`envfix completion`: a script for the shell, written by shtab from the command line's own parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from envfix.errors import InputError
from envfix.matrix import load
from envfix.options import build_parser
from envfix.probe.machine_file import list_machines
from envfix.situation import Parts

if TYPE_CHECKING:
    from types import ModuleType

# By what an option's value is called in the help. What has no entry is not completed.
FILES = ("FILE", "PATH", "LOG")
FOLDERS = ("DIR",)
MACHINES = ("NAME|FILE", "NAME|FILE|this")
RELEASES = ("SPEC", "VERSION")


def completion(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """The script for `options.shell`. Raises InputError where shtab is not installed."""
    shtab = _shtab()
    machines = [name for name, _ in list_machines(parts.outside, f"{parts.matrix_dir}/machines")]
    matrix = load.load(parts.outside, parts.matrix_dir)
    newest_first = sorted({row.version for row in matrix.releases}, reverse=True)
    values = {
        **dict.fromkeys(FILES, shtab.FILE),
        **dict.fromkeys(FOLDERS, shtab.DIRECTORY),
        **dict.fromkeys(MACHINES, _words("machines", machines, files=True)),
        **dict.fromkeys(RELEASES, _words("releases", [str(version) for version in newest_first])),
    }
    parser = build_parser()
    for action in _actions(parser):
        if isinstance(action.metavar, str) and action.metavar in values:
            action.complete = values[action.metavar]  # type: ignore[attr-defined] # what shtab looks for
    return shtab.complete(parser, shell=options.shell), 0


def _shtab() -> ModuleType:
    try:
        import shtab
    except ImportError:
        raise InputError(
            "`shtab`, which writes the script, is not installed", "pip install 'envfix-tf[completion]'"
        ) from None
    found: ModuleType = shtab
    return found


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every option and argument, those of the commands too."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)


def _words(name: str, words: Sequence[str], files: bool = False) -> dict[str, Any]:
    """What shtab's `complete` attribute takes for these words, in their order, and files beside them."""
    # shtab tells bash that names of files are among them by the name of the function.
    function, listed = f"_envfix_{name}{'_or_files' if files else ''}", " ".join(words)
    bash = [f'compgen -W "{listed}" -- "$1"']
    zsh = [f"_alternative '{name}:{name}:({listed})'"]
    fish = [f"printf '%s\\n' {listed}"]
    if files:
        bash.append('_shtab_compgen_files "$1"')
        zsh[0] += " 'files:file:_files'"
        fish.append("__fish_complete_path (commandline -ct)")
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({function})",
        "preamble": {
            "bash": "\n  ".join((f"{function}() {{", *bash)) + "\n}\n",
            "zsh": "\n  ".join((f"{function}() {{", *zsh)) + "\n}\n",
            "fish": "\n  ".join((f"function {function}", *fish)) + "\nend\n",
        },
    }
