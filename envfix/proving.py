"""The proof: under the driver stub for a named machine, on the GPU or the CPU of this one."""

from __future__ import annotations

from msgspec import UNSET, structs

from envfix.errors import InputError, Interrupted
from envfix.model.outcome import Verification
from envfix.model.request import Accelerator
from envfix.model.results import Installed
from envfix.situation import Parts, Situation, visible_gpus
from envfix.verify import checks
from envfix.verify.stub import build as stub


def driver_stub(parts: Parts, here: Situation, accelerator: Accelerator, wanted: bool = True) -> str | None:
    """The compiled driver stub where the proof needs one, made before anything is changed or downloaded."""
    gpus = visible_gpus(here.machine)
    if not (wanted and accelerator is Accelerator.GPU and here.named and gpus):
        return None
    if any(gpu.compute_capability is UNSET for gpu in gpus):
        raise InputError(
            "the loader proof needs the compute capability of every GPU of the machine, found one without",
            "add `compute_capability` to the machine file, or use --no-verify",
        )
    return stub.build(parts.outside)


def proven(
    parts: Parts,
    here: Situation,
    installed: Installed,
    accelerator: Accelerator,
    timeout: float,
    folder: str | None,
    again: str,
) -> Installed:
    """The outcome with its verification. Raises Interrupted, with what was installed as its data and the
    command `again` that verifies it."""
    try:
        proof = run_checks(parts, here, installed.python, accelerator, timeout, folder)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted while verifying: {installed.package} {installed.tensorflow} is installed, "
            "and not verified",
            again,
            data=installed,
        ) from None
    return structs.replace(installed, verification=proof)


def run_checks(
    parts: Parts, here: Situation, python: str, accelerator: Accelerator, timeout: float, folder: str | None
) -> Verification:
    """On the machine's own GPU, or the loader proof where `folder` holds the driver stub."""
    parts.outside.say("verifying in a fresh process ...")
    return checks.verify(
        parts.outside, python, accelerator=accelerator, machine=here.machine, stub=folder, timeout=timeout
    )
