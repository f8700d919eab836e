"""envfix and TensorFlow run for a proof: what they say, or why that proves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envfix.model.machine import Machine
from envfix.model.outcome import Proof
from envfix.model.request import Accelerator
from envfix.ports import Ran
from envfix.system.outside import RealOutside
from envfix.verify import checks, transcript
from envfix.verify.stub import build

VERIFY_SECONDS = 300.0


class NotInstalled(Exception):
    """envfix did not lock or install the release; the text is envfix's own."""


class NotProven(Exception):
    """TensorFlow's process did not come to its end, so that nothing is known; the text says how it ended."""


class Listening(RealOutside):
    """The real outside with library discovery on or off, that keeps what the last child said."""

    def __init__(self, loader: bool) -> None:
        super().__init__(quiet=True)
        self._switch = {} if loader else {"ENVFIX_LOADER": "0"}
        self.heard: Ran | None = None

    @property
    def environ(self) -> Mapping[str, str]:
        return {**super().environ, **self._switch}

    def run(self, *args: Any, **options: Any) -> Ran:
        self.heard = super().run(*args, **options)
        return self.heard


def run_envfix(cache: Path, *argv: str) -> dict[str, Any]:
    """What `envfix ARGV --json` answers, with uv's cache in `cache`. Raises NotInstalled with its message."""
    env = {**os.environ, "UV_CACHE_DIR": str(cache / "uv")}
    done = subprocess.run(
        [sys.executable, "-m", "envfix", *argv, "--json"], capture_output=True, text=True, env=env
    )
    try:
        answer = dict(json.loads(done.stdout))
    except ValueError:
        raise NotInstalled(f"no answer from envfix: {done.stderr.strip()[-500:]}") from None
    if answer["exit_code"] != 0:
        raise NotInstalled("; ".join(problem["message"] for problem in answer["errors"]))
    return answer


def loaded(python: str, machine: Machine, *, loader: bool) -> tuple[bool, tuple[str, ...]]:
    """Whether every GPU of the machine registers, and the libraries that TensorFlow could not open.

    Raises NotProven.
    """
    outside = Listening(loader)
    stub = build.build(outside)
    verification = checks.verify(
        outside, python, accelerator=Accelerator.GPU, machine=machine, stub=stub, timeout=VERIFY_SECONDS
    )
    assert outside.heard is not None
    missing = _missing(outside.heard, loader)
    registers = verification.proof is Proof.LOADER
    if not registers and not missing:
        # Neither proven nor explained by a library: say what it was, for a proof must not be taken on trust.
        for check in verification.checks:
            if check.cause:
                print(f"  {check.name}: {check.observed}: {check.cause}", file=sys.stderr)
    return registers, missing


def _missing(ran: Ran, loader: bool) -> tuple[str, ...]:
    """The libraries that were not opened. Raises NotProven where the child did not come to its end: a crash,
    a hang or an exception would else be stored as "no GPU"."""
    heard = transcript.read(ran)
    for step, done in heard.answer.get("done", {}).items():
        if "error" in done:
            raise NotProven(f"`{step}` raised {done['error'].strip().splitlines()[0][:500]}")
    if not heard.complete or heard.ended != "exit 0":
        step = f" at `{heard.answer['doing']}`" if heard.answer.get("doing") else ""
        raise NotProven(
            f"TensorFlow {'with' if loader else 'without'} library discovery ended{step} with {heard.ended}: "
            f"{heard.cause or 'no reason given'}"
        )
    return tuple(sorted(heard.not_opened))
