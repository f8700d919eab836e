"""What a child's end tells: its last answer, how it ended, and what TensorFlow's own log says was missing."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from envfix.ports import Ran
from envfix.verify.loader_log import Search

MARK = "@envfix-verify@"
KEPT_LINES = 40

# `tsl/platform/default/dso_loader.cc`, spoken at TF_CPP_VMODULE=dso_loader=1 (and unasked up to 2.12).
_NOT_OPENED = re.compile(
    r"Could not load dynamic library '([^']+)'; dlerror: (.*?)(?:; LD_LIBRARY_PATH|$)", re.MULTILINE
)
_CUINIT = re.compile(r"failed call to cuInit: (.*)")
_IGNORED = re.compile(r"(Ignoring visible gpu device .*?)\.(?: |$)", re.MULTILINE)
_FATAL = re.compile(r"^(?:F\d{4} |\S+ \S+: F )\S*.*?\] ?(.*)", re.MULTILINE)
# TensorRT is optional, and no environment that envfix makes has it.
_OPTIONAL = ("libnvinfer",)

_SIGNALS = {
    "SIGILL": (
        "the CPU lacks an instruction that this wheel was compiled for",
        "check the CPU with `grep -m1 -ow avx /proc/cpuinfo`: TensorFlow's wheels need AVX",
    ),
    "SIGSEGV": (
        "a library crashed: two copies of one CUDA library, or a driver that does not fit",
        'see what is loaded with `ENVFIX_LOADER_DEBUG=1 python -c "import tensorflow"`',
    ),
    "SIGABRT": ("TensorFlow or a library gave up", ""),
    "SIGFPE": ("a library divided by zero", ""),
    "SIGBUS": ("a file in use was cut short, or the disk or /dev/shm is full", "check with `df -h`"),
    "SIGKILL": ("the process was killed, most likely for want of memory", "check with `dmesg | tail`"),
}


class Transcript(Struct, frozen=True, kw_only=True):
    """`answer` is the last the child said ({} when it said nothing), `ended` how it ended in words.

    `cause` and `hint` explain an end that was no plain exit. `not_opened` maps sonames to the loader's
    reason, `ignored` holds TensorFlow's words on GPUs that it saw and passed over, `searches` what the
    dynamic loader wrote down.
    """

    answer: Mapping[str, Any]
    ended: str
    cause: str = ""
    hint: str = ""
    not_opened: Mapping[str, str]
    cuinit: str = ""
    ignored: tuple[str, ...] = ()
    stderr: str = ""
    searches: tuple[Search, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the child came to the end of its steps."""
        return bool(self.answer) and self.answer["doing"] is None


def read(ran: Ran, searches: tuple[Search, ...] = (), *, deep: bool = False) -> Transcript:
    """The transcript of a run of `child.py`, or of `deep_child.py`, whose steps are of its own.

    Output that is none of theirs is passed over.
    """
    ended, cause, hint = _end(ran)
    found = _CUINIT.search(ran.err)
    missing = {
        name: reason.removeprefix(f"{name}: ").strip()
        for name, reason in _NOT_OPENED.findall(ran.err)
        if not name.startswith(_OPTIONAL)
    }
    # What failed at first and was opened later (the driver under 2.10 and earlier) is not missing.
    opened = set(re.findall(r"Successfully opened dynamic library (\S+)", ran.err))
    return Transcript(
        answer=_last_answer(ran.out, {} if deep else _STEPS),
        ended=ended,
        cause=cause,
        hint=hint,
        not_opened={name: reason for name, reason in missing.items() if name not in opened},
        cuinit=found.group(1).strip() if found else "",
        ignored=tuple(dict.fromkeys(_IGNORED.findall(ran.err))),
        stderr="\n".join(ran.err.strip().splitlines()[-KEPT_LINES:]),
        searches=searches,
    )


def _last_answer(out: str, steps: Mapping[str, type[Struct]]) -> Mapping[str, Any]:
    for line in reversed(out.splitlines()):
        if line.startswith(MARK):
            try:
                answer = json.loads(line[len(MARK) :])
            except (ValueError, RecursionError):
                continue  # cut short by the crash: the one before it is whole
            if _is_sound(answer, steps):
                return {"libraries": {}, **answer}
    return {}


class _Import(Struct):
    version: str
    cuda_build: bool
    build: dict[str, str]


class _Gpu(Struct):
    name: str
    model: str
    compute_capability: str


class _Devices(Struct):
    gpus: list[_Gpu]


class _Initialised(Struct):
    device: str
    sum: float


class _Compared(Struct):
    device: str
    relative_error: float | None


class _Raised(Struct):
    error: str


class _Answer(Struct):
    done: dict[str, dict[str, Any]]
    doing: str | None
    libraries: dict[str, str] = {}


_STEPS: dict[str, type[Struct]] = {
    "import": _Import,
    "devices": _Devices,
    "initialise": _Initialised,
    **dict.fromkeys(("matmul", "convolution", "jit"), _Compared),
}


def _is_sound(answer: object, steps: Mapping[str, type[Struct]]) -> bool:
    """Whether it is an answer of the child with these `steps`.

    Whatever TensorFlow imports prints to the same stream.
    """
    try:
        done = msgspec.convert(answer, _Answer).done
        for step, value in done.items():
            msgspec.convert(value, _Raised if "error" in value else steps.get(step, dict[str, Any]))
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for half a surrogate pair
        return False
    return True


def _end(ran: Ran) -> tuple[str, str, str]:
    if ran.timed_out:
        return (
            ran.error,
            "it hung",
            "a longer limit can be given with `--timeout`; the first run may compile kernels",
        )
    if ran.code is None:
        return ran.error, ran.error, ""
    if ran.code >= 0:
        last = ran.err.strip().splitlines()[-1:] if ran.code else []
        return f"exit {ran.code}", "".join(last), ""
    try:
        name = signal.Signals(-ran.code).name
    except ValueError:
        name = f"signal {-ran.code}"
    cause, hint = _SIGNALS.get(name, ("", ""))
    fatal = _FATAL.findall(ran.err)
    return name, ": ".join(part for part in (name, cause, fatal[-1].strip() if fatal else "") if part), hint
