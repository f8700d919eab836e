"""What a restart still owes: an install marks it, and the next run that proves the environment takes it away.

One small file for each interpreter, in the user's state folder. Whether the kernel was restarted since is
read from the process table: the same process number with the same start is the same kernel.
"""

from __future__ import annotations

import contextlib
import hashlib

import msgspec
from msgspec import Struct, structs

from envfix import state
from envfix.errors import EnvfixError
from envfix.model.outcome import RestartAdvice
from envfix.ports import Outside
from envfix.reading import convert, parse_json

LARGEST = 64 << 10  # bytes of one that is read
_AT = 19  # field 22 of /proc/PID/stat is the start, and field 3 follows the name (proc_pid_stat(5))


class Owed(Struct, frozen=True, kw_only=True):
    """What changed under a kernel for the interpreter `python`, and the `advice` that was given.

    `started` is when the advice's kernel did, in clock ticks since the machine did; `verify` is the command
    line that proves it.
    """

    python: str
    release: str
    advice: RestartAdvice
    started: str = ""
    verify: str = "envfix verify"


def owed_of(outside: Outside, python: str, release: str, advice: RestartAdvice, verify: str) -> Owed:
    """What the advice leaves to be done for `python`, with `release` such as `tensorflow 2.20.0`."""
    # The files that were held may be hundreds, and are of use to nobody later.
    kept = structs.replace(advice, owed=True, loaded=())
    started = start_of(outside, advice.kernel_pid)
    return Owed(python=python, release=release, advice=kept, started=started, verify=verify)


def mark(outside: Outside, owed: Owed) -> None:
    """Keep it until it is settled; what cannot be written is said and costs nothing else."""
    try:
        path = _path(outside, owed.python)
        outside.make_dirs(path.rpartition("/")[0])
        outside.write_bytes(path, msgspec.json.encode(owed), 0o600)
    except (OSError, RuntimeError) as problem:
        why = getattr(problem, "strerror", None) or str(problem)
        outside.say(f"warning: that the kernel is still to be restarted is not remembered: {why}")


def pending(outside: Outside, python: str) -> Owed | None:
    """What is still owed for the interpreter, or None. Another user's word is not taken."""
    try:
        path = _path(outside, python)
        if not outside.trusted(path):
            return None
        found = convert(parse_json(outside.read_text(path, LARGEST), path), Owed, path)
    except (OSError, RuntimeError, EnvfixError):
        return None  # a mark that cannot be read reminds of nothing; the checks themselves still run
    return found if found.python == python else None


def still_runs(outside: Outside, owed: Owed) -> bool:
    """Whether the kernel that held the old libraries has not ended yet."""
    return bool(owed.started) and start_of(outside, owed.advice.kernel_pid) == owed.started


def settle(outside: Outside, owed: Owed) -> None:
    """Nothing is owed any more. A mark that cannot be removed reminds once more, and harms nothing."""
    with contextlib.suppress(OSError, RuntimeError):
        outside.remove(_path(outside, owed.python))


def start_of(outside: Outside, pid: int | None) -> str:
    """When the process started, in clock ticks since the machine did; empty where there is none."""
    if pid is None:
        return ""
    try:
        fields = outside.read_text(f"/proc/{pid}/stat", 4096).rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[_AT] if len(fields) > _AT and fields[0] not in ("Z", "X") else ""


def _path(outside: Outside, python: str) -> str:
    digest = hashlib.sha256(python.encode()).hexdigest()[:16]
    return f"{state.folder(outside, 'owed')}/{digest}.json"
