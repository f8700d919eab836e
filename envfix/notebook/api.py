"""`envfix.report(machine="colab-t4")`: each function is the command of its name, and takes its options.

An option `--no-verify` is written `no_verify=True`, one that can stand twice takes a list, and `--with` is
`with_`. An argument without a name is the command's own (`explain("train.log")`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from envfix.errors import UsageError
from envfix.notebook import loaded
from envfix.notebook.asking import ask
from envfix.notebook.results import Result

Say = Callable[[str], None]


def report(*, say: Say | None = None, **options: Any) -> Result:
    """A verdict for every TensorFlow release on a machine, and the plan for the best one; changes nothing.

        found = envfix.report(machine="colab-t4", tf="2.20.*", with_=["torch"])
        if found.plan:
            print(found.recommended, found.plan["download_bytes"])

    The options are those of `envfix report`, all optional: `machine` (a shipped name or a file; without it
    this machine), `python` or `venv`, `tf`, `with_`, `accelerator`, `cuda`, `resolver`, `minimal`, `offline`,
    `since` and the rest of its `--help`. `say` is called with each line of progress; without it they go to
    standard error.

    The result has the keys of `--json` as attributes: `machine`, `recommended` (a version; None where no
    release fits, and then `exit_code` is 3), `releases` with the verdicts of each, `plan` with its packages
    and sizes in bytes (None where it could not be made: offline, say), `advice` and `remedies`.

    Raises UsageError for an option that the command has not, InputError for a value that is none (a machine
    that nobody knows, a `tf` that does not parse), MatrixError, and Interrupted after Ctrl-C: all are
    EnvfixErrors, with `code`, `hint` and `exit_code`.
    """
    return ask(["report", *words(options)], say=say)


def lock(*, say: Say | None = None, **options: Any) -> Result:
    """Write `pylock.envfix.toml` and `requirements.envfix.txt`, every file hashed.

    The options are those of `envfix lock` (`output`, `format`, `check` beside those of `report`). Raises
    NothingFits, ResolutionFailed, IndexUnreachable, with `check` LockMismatch, and what `report` raises.
    """
    return ask(["lock", *words(options)], say=say)


def verify(*, say: Say | None = None, **options: Any) -> Result:
    """Visibility, placement and numbers, in a fresh process.

    `ok` is false, and `exit_code` 6, where a check has failed or nothing was proven. Raises ProofUnavailable
    where the driver stub that a machine without a GPU needs cannot be compiled, and UsageError, InputError.
    """
    return ask(["verify", *words(options)], say=say)


def explain(log: str | os.PathLike[str] | None = None, *, text: str = "", **options: Any) -> Result:
    """What a log means: its path, or the log itself as `text`. Without it, what this machine's facts say.

    `findings` holds the causes, the primary one first; `ok` whether or not there is one. Raises UsageError,
    and InputError for a file that cannot be read.
    """
    if not isinstance(text, str):
        raise UsageError(f"`text` needs the text of a log, found {text!r}")
    if log is not None and not isinstance(log, (str, os.PathLike)):
        raise UsageError(f"`explain` takes the path of a log, found {log!r}")
    if log is not None and text:
        raise UsageError("`explain` takes the path of a log or its `text`, not both")
    named = ["-"] if text else [] if log is None else [os.fspath(log)]
    return ask(["explain", *words(options), *(["--", *named] if named else [])], text)


def install(*, say: Say | None = None, **options: Any) -> Result:
    """Make the environment right and prove it; nobody is asked. `restart["needed"]` says whether this process
    must end, `ok` is false where the environment is made and its proof failed.

    Raises NothingFits, ResolutionFailed, IndexUnreachable or InstallFailed, with the environment as it was,
    EnvironmentChanged where it is not, and what `report` raises.
    """
    result = ask(["install", *words(options)], say=say)
    loaded.take_hook()
    return result


def words(options: Mapping[str, Any]) -> list[str]:
    """The command line's options. Raises UsageError for a value that no option takes."""
    found: list[str] = []
    for name, value in options.items():
        option = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            found.append(option)
        elif isinstance(value, (str, int, float, os.PathLike)):
            found.append(f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
        elif isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
            found += [f"{option}={one}" for one in value]
        else:
            raise UsageError(f"`{name}` needs text, a number, True or a list of texts, found {value!r}")
    return found
