"""The command line: commands and their options, nothing of what they do.

Nothing heavy is imported here: `envfix --help` costs little more than Python itself.
"""

from __future__ import annotations

import argparse
import os
import sys

from envfix import __version__
from envfix.errors import UsageError
from envfix.output import deliver

# Type checkers take this name for true; importing it from `typing` would cost a third of `--help`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

EXIT_CODES = """exit codes:
  0 done   1 a bug in envfix   2 usage or bad input   3 nothing fits   4 install failed, nothing changed
  5 install failed, environment changed   6 verification failed   7 lock does not fit   130 interrupted"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """argparse's own look-up of the terminal's width imports shutil and five compression modules."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width())


def _width() -> int:
    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        columns = os.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else 80
    return max(40, columns - 2)


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are ours, so that they can speak JSON and name the way out."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        options.setdefault("allow_abbrev", False)  # `--break` must not stand for `--break-system-packages`
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"`{self.prog} --help` lists what it takes")

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse's own drops what cannot be written, and exits with 0."""
        code = deliver(message, 0)
        if code:
            raise SystemExit(code)


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line (README, "Commands").

    With `only`, the other commands are named without their options: adding them all costs 5 ms.
    """
    parser = _Parser(
        prog="envfix",
        description="Make TensorFlow see the NVIDIA GPU, and prove it.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, help="print envfix's version and the matrix's date")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser, required=True)
    for name, (text, add_options) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if only in (None, name):
            add_options(command)
    return parser


def _probe(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    _json_option(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    _machine_option(parser)
    _deciding_options(parser)
    parser.add_argument("--format", choices=("text", "json", "markdown", "html"), default="text")
    parser.add_argument(
        "--for-issue",
        action="store_true",
        help="one Markdown block about this machine to paste into an issue, private parts replaced",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there instead of printing it")
    parser.add_argument(
        "--since",
        metavar="LAST|DATE|ID",
        help="also what has changed since it last worked; `list` lists what is recorded",
    )
    _json_option(parser)


def _lock(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    _machine_option(parser)
    _deciding_options(parser)
    parser.add_argument(
        "--format",
        choices=("pylock", "dockerfile", "conda", "pyproject", "uv"),
        default="pylock",
        help="write the lock for another tool; a Dockerfile comes with the lock that it installs",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="default: pylock.envfix.toml, or the name the other tool looks for",
    )
    parser.add_argument("--requirements", metavar="FILE", help="default: requirements.envfix.txt beside it")
    parser.add_argument("--check", metavar="FILE", help="only check that this lock fits the machine")
    _attestations_option(parser)
    _json_option(parser)


def _install(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    _machine_option(parser)
    _deciding_options(parser)
    parser.add_argument(
        "--upgrade", action="store_true", help="take a newer TensorFlow than the one that fits"
    )
    parser.add_argument("--lock", metavar="FILE", help="install exactly this lock")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    _attestations_option(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument(
        "--restart",
        choices=("ask", "auto", "never"),
        default="ask",
        help="what to do about a needed restart: `auto` restarts the notebook's kernel where something "
        "brings it up again, the others advise",
    )
    parser.add_argument("--no-verify", action="store_true", help="do not start TensorFlow afterwards")
    parser.add_argument(
        "--kernel",
        metavar="NAME",
        help="into an environment of its own, registered as a Jupyter kernel; the notebook's is not touched",
    )
    parser.add_argument(
        "--allow-break",
        metavar="NAME",
        action="append",
        default=[],
        help="an installed package whose requirements the plan may break (repeatable)",
    )
    parser.add_argument(
        "--break-system-packages",
        action="store_true",
        help="with --yes: change an externally managed environment (PEP 668) all the same",
    )
    _json_option(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    _machine_option(parser)
    parser.add_argument("--accelerator", choices=("gpu", "cpu", "auto"), default="gpu")
    parser.add_argument(
        "--deep", action="store_true", help="run a training step too: placement, utilisation, memory, input"
    )
    parser.add_argument(
        "--timeout", type=float, default=180.0, metavar="SECONDS", help="for each process that is started"
    )
    _json_option(parser)


def _watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("--count", type=int, metavar="N", help="stop after so many looks (default: Ctrl-C)")
    _json_option(parser)


def _explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "log", nargs="?", metavar="LOG", help="a log, notebook or post; `-` is standard input (default: none)"
    )
    _target_options(parser)
    parser.add_argument(
        "--machine", metavar="NAME|FILE|this", help="the machine that the text is from; `this` is this one"
    )
    _json_option(parser)


def _rollback(parser: argparse.ArgumentParser) -> None:
    _target_options(parser)
    parser.add_argument("id", metavar="ID", nargs="?", help="of `--list` (default: the latest)")
    parser.add_argument("--list", action="store_true", help="what can be rolled back; changes nothing")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    _json_option(parser)


def _matrix(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=_Parser, required=True)
    text = "the releases and what they were built with"
    show = actions.add_parser("show", help=text, description=text)
    show.add_argument("--tf", metavar="SPEC")
    _json_option(show)
    text = "what the package index has otherwise than the matrix, and how old the matrix is"
    _json_option(actions.add_parser("check", help=text, description=text))
    text = "read one release from its wheels, by range requests"
    derive = actions.add_parser("derive", help=text, description=text)
    derive.add_argument("version", metavar="VERSION")
    derive.add_argument("--package", default="tensorflow")
    _json_option(derive)


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(json=False)


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object")


COMMANDS = {
    "probe": ("what this machine is, each fact with its evidence", _probe),
    "report": ("dry run: a verdict for every release, and the plan for the best", _report),
    "lock": ("write pylock.envfix.toml and requirements.envfix.txt, every file hashed", _lock),
    "install": ("plan, show it, install it, advise on the restart, verify", _install),
    "verify": ("visibility, placement and numbers, in a fresh process", _verify),
    "rollback": ("put back what an install changed; `--list` shows what can be", _rollback),
    "explain": ("what a log means: the cause, the evidence, the fix", _explain),
    "watch": ("what the GPUs are doing, until it is stopped", _watch),
    "matrix": ("the compatibility matrix: show it, check it, or derive a release from its wheel", _matrix),
    "machines": ("the machines that can be named with --machine", _json_option),
    "completion": ("a script that completes envfix's commands and options in a shell", _completion),
}


def _target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--python", metavar="PATH", help="the interpreter to work on (default: the one running)"
    )
    parser.add_argument("--venv", metavar="DIR", help="a virtual environment; `install` makes it if absent")


def _machine_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", metavar="NAME|FILE", help="decide for that machine instead of this one")


def _deciding_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tf", metavar="SPEC", help="`2.20.*`, `>=2.16,<2.20`, `tensorflow-gpu==2.10.0`")
    parser.add_argument(
        "--with", dest="companions", metavar="REQ", action="append", default=[], help="also in the solution"
    )
    parser.add_argument("--accelerator", choices=("gpu", "cpu", "auto"), default="gpu")
    parser.add_argument("--cuda", choices=("auto", "wheels", "system"), default="auto")
    parser.add_argument(
        "--minimal",
        action="store_true",
        help="leave out the NVIDIA wheels that TensorFlow was seen not to open",
    )
    parser.add_argument("--resolver", choices=("auto", "uv", "pip-tools"), default="auto")
    parser.add_argument("--offline", action="store_true", help="touch no network")


def _attestations_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--attestations",
        action="store_true",
        help="check what the index attests of each file (PEP 740), and stop where it does not verify",
    )


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help, default=argparse.SUPPRESS)

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> NoReturn:
        from envfix import commands

        raise SystemExit(deliver(f"envfix {__version__} (matrix of {commands.matrix_date()})", 0))
