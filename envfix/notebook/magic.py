"""`%envfix` and `%%envfix`: the command line in a cell, with what only the kernel itself knows.

    %envfix install --tf 2.20.*
    result = %envfix report
    %%envfix explain          (the rest of the cell is the log)
    %envfix restart

The exit code is left in `_exit_code`, as `!` does.
"""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from itertools import pairwise
from typing import Any

from envfix.errors import EnvfixError, UsageError
from envfix.notebook import loaded, restarting
from envfix.notebook.asking import ask
from envfix.notebook.results import Result
from envfix.restart import owed
from envfix.system.outside import RealOutside

NAME = "envfix"
HOLDS = ("install", "rollback", "verify")  # after these it is said what the kernel holds
NAMED = 4  # replaced packages that are named where a restart is needed


class Stopped(Exception):
    """Ends the cell, and a "Run all" with it, in a sentence instead of a traceback."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.lines = [message, *(f"hint: {line}" for line in (hint or "").splitlines())]
        super().__init__("\n".join(self.lines))  # what shows an error by its text alone shows the hint too

    def _render_traceback_(self) -> list[str]:
        return self.lines


class RestartNeeded(Stopped):
    """The kernel holds libraries that were replaced: what follows in the notebook would run with them."""


class Magic:
    """The magic of one shell; `before` are the versions that were imported when it was loaded."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.before = loaded.versions()
        self.shown: list[Result] = []

    def __call__(self, line: str, cell: str | None = None) -> Result | None:
        """The result, which the cell shows: of HOLDS wherever the line stands in it.

        Raises Stopped for an error, or where a restart comes first.
        """
        self.shell.user_ns["_exit_code"] = 0
        try:
            return self._run(_words(line), cell)
        except EnvfixError as error:
            self.shell.user_ns["_exit_code"] = error.exit_code
            raise Stopped(f"error: {error.message}", error.hint) from None

    def _run(self, words: list[str], cell: str | None) -> Result | None:
        if words[:1] == ["restart"]:
            if len(words) > 1 or cell is not None:
                raise UsageError(f"`%{NAME} restart` takes nothing: `{(*words[1:], 'a cell')[0]}`")
            print(restarting.restart(self.shell), flush=True)
            return None
        if cell is not None and words[:1] != ["explain"]:
            raise UsageError(
                f"only `%%{NAME} explain` takes the text of a cell", f"%{NAME} {shlex.join(words)}"
            )
        if not words:
            _say(
                f"%{NAME} restart ends the kernel, and the notebook server starts a new one; the others are:"
            )
            words = ["--help"]
        result = ask([*words, *(["-"] if cell is not None else [])], cell or "", _say, self.before)
        self.shell.user_ns["_exit_code"] = result.exit_code
        if result.command == "install":
            loaded.take_hook()
        if words[:1] and words[0] in HOLDS and result.data:
            self._show(result)
            self._stop_if_stale(result, restarts=_has(words, "--restart", "auto"))
        return result

    def _show(self, result: Result) -> None:
        """At once: of what a cell's lines return, IPython shows only the last."""
        import_module("IPython.display").display(result)
        result.mark(shown=True)
        self.shown.append(result)

    def forget_shown(self, *_: object) -> None:
        """A cell has ended: the next one that names its results shows them again."""
        while self.shown:
            self.shown.pop().mark(shown=False)

    def go_on(self) -> None:
        """Verify what was installed before the kernel was restarted, where that is owed, and show it."""
        outside = RealOutside()
        earlier = owed.pending(outside, sys.executable)
        if earlier is None or owed.still_runs(outside, earlier):
            return
        whose = "another notebook's kernel" if loaded.stale(self.before) else "the kernel"
        _say(f"{whose} was restarted after {earlier.release} was installed: verifying ...")
        try:
            import_module("IPython.display").display(ask(["verify", "--accelerator", "auto"], "", _say))
        except EnvfixError as error:
            # The extension is there all the same; the next command goes on with what is owed.
            _say(f"error: {error.message}")

    def _stop_if_stale(self, result: Result, *, restarts: bool) -> None:
        """Raises RestartNeeded where the kernel must not go on."""
        advice = (result.data.get("restart") or {}) if isinstance(result.data, dict) else {}
        if result.command == "verify":
            told = " ".join(check["observed"] for check in result.data["checks"])
            for one in loaded.stale(self.before):
                if str(one) not in told:  # nothing that TensorFlow needs
                    print(f"note     the kernel holds {one}")
            return
        if advice.get("needed") is not True:
            return
        held = [str(one) for one in loaded.stale(self.before)]
        more = [f"and {len(held) - NAMED} more"] if held[NAMED:] else []
        what = f"; it holds {', '.join([*held[:NAMED], *more])}" if held else ""
        if restarts and result.exit_code == 0 and not restarting.unwatched(self.shell):
            said = restarting.restart(self.shell)
            # Raised all the same, so that nothing behind this cell is run by the kernel that ends.
            raise RestartNeeded(f"{said}: {advice['reason']}{what}")
        how = restarting.how(self.shell, advice.get("how", ""))
        begin = "this run cannot go on" if restarting.run_through() else "restart the kernel before you go on"
        raise RestartNeeded(f"{begin}: {advice['reason']}{what}", how)


def _has(words: list[str], option: str, value: str) -> bool:
    return f"{option}={value}" in words or (option, value) in pairwise(words)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as problem:
        raise UsageError(f"`%{NAME} {line}` cannot be split into words: {problem}") from None


def _say(line: str) -> None:
    """Progress goes where the cell's output is: a notebook paints standard error red."""
    print(line, flush=True)


def load(shell: Any) -> None:
    """Register `%envfix` and `%%envfix`, and go on where the restart has cut an install off."""
    magic = Magic(shell)
    shell.register_magic_function(magic, "line_cell", NAME)
    shell.events.register("post_run_cell", magic.forget_shown)
    magic.go_on()


def unload(shell: Any) -> None:
    """Take them away again."""
    for kind in ("line", "cell"):
        magic = shell.magics_manager.magics[kind].pop(NAME, None)
        if kind == "line" and isinstance(magic, Magic):
            shell.events.unregister("post_run_cell", magic.forget_shown)
