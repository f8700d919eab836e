"""The proof: under the driver stub for a named machine, on the GPU or the CPU of this one."""

from __future__ import annotations

from msgspec import UNSET, structs

from envfix.circumstances import surroundings
from envfix.errors import InputError, Interrupted
from envfix.model.matrix import Matrix
from envfix.model.outcome import Verification
from envfix.model.request import Accelerator
from envfix.model.results import Installed
from envfix.model.versions import CudnnRelease
from envfix.probe import usage
from envfix.situation import Parts, Situation, visible_gpus
from envfix.verify import checks, deep
from envfix.verify.stub import build as stub

INTERVAL = 0.2  # seconds between looks at the GPUs while the training step runs


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
    matrix: Matrix,
    installed: Installed,
    accelerator: Accelerator,
    timeout: float,
    folder: str | None,
    again: str,
) -> Installed:
    """The outcome with its verification. Raises Interrupted, with what was installed as its data and the
    command `again` that verifies it."""
    try:
        # What has just been run is no advice.
        proof = run_checks(parts, here, matrix, installed.python, accelerator, timeout, folder, repair="")
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted while verifying: {installed.package} {installed.tensorflow} is installed, "
            "and not verified",
            again,
            data=installed,
        ) from None
    return structs.replace(installed, verification=proof)


def run_checks(
    parts: Parts,
    here: Situation,
    matrix: Matrix,
    python: str,
    accelerator: Accelerator,
    timeout: float,
    folder: str | None,
    repair: str,
) -> Verification:
    """On the machine's own GPU, or the loader proof where `folder` holds the driver stub. `repair` is the
    command that puts the environment right, empty where that has just been run."""
    parts.outside.say("verifying in a fresh process ...")
    return checks.verify(
        parts.outside,
        python,
        accelerator=accelerator,
        machine=here.machine,
        stub=folder,
        timeout=timeout,
        surroundings=lambda said: surroundings(parts, here, python, repair, said),
        compiled_cudnn=_compiled_cudnn(matrix),
    )


def run_deep_checks(
    parts: Parts, here: Situation, done: Verification, timeout: float, folder: str | None
) -> Verification:
    """`done` with the training step's checks; `folder` is the driver stub's, as for `run_checks`."""
    parts.outside.say("measuring a training step ...")
    looks = usage.sampler(INTERVAL)
    return deep.deepen(parts.outside, done, machine=here.machine, stub=folder, sampler=looks, timeout=timeout)


def _compiled_cudnn(matrix: Matrix) -> dict[str, CudnnRelease]:
    """The cuDNN that each release was compiled against."""
    return {str(row.version): row.built_with_cudnn for row in matrix.releases if row.built_with_cudnn}
