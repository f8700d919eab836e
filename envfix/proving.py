"""The proof: under the driver stub for a named machine, on the GPU or the CPU of this one."""

from __future__ import annotations

from msgspec import UNSET, structs

from envfix.errors import EnvfixError, InputError, Interrupted
from envfix.model.matrix import Matrix
from envfix.model.outcome import Check, Status, Verification
from envfix.model.request import Accelerator
from envfix.model.results import Installed
from envfix.model.surroundings import Surroundings
from envfix.model.versions import CudnnRelease
from envfix.probe import gpu_memory, interpreter, kernel, no_gpu, session
from envfix.restart import stale
from envfix.situation import Parts, Situation, Where, visible_gpus
from envfix.verify import checks
from envfix.verify.stub import build as stub

MEMORY_TIMEOUT = 10.0


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
            f"interrupted while verifying: tensorflow {installed.tensorflow} is installed, and not verified",
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
        surroundings=lambda: _surroundings(parts, here, python, repair),
        compiled_cudnn=_compiled_cudnn(matrix),
    )


def with_kernel(parts: Parts, here: Situation, where: Where, proof: Verification) -> Verification:
    """The verification with a check of the notebook's kernel, if envfix was started from one."""
    check = _of_kernel(parts, here, where, proof.python)
    return structs.replace(proof, checks=(*proof.checks, check)) if check else proof


def _of_kernel(parts: Parts, here: Situation, where: Where, python: str) -> Check | None:
    running = kernel.find_kernel(parts.outside)
    if running is None:
        return None
    wanted = f"the kernel runs {python}, and holds the libraries that are installed there"
    if not stale.runs_in(parts.outside, running, here.site_packages):
        if where.python or where.venv:
            return None  # another environment was asked for
        return Check(
            name="notebook kernel",
            status=Status.FAILED,
            expected=wanted,
            observed=f"process {running.pid} runs {running.python}",
            cause=f"the notebook imports from another environment than `{python}`, which was verified",
            hint=f"run `envfix verify --python {running.python}`",
        )
    platform, _ = session.read_platform(parts.outside, running)
    advice = stale.still_holds(parts.outside, running, platform, here.site_packages)
    return Check(
        name="notebook kernel",
        status=Status.FAILED if advice else Status.PASSED,
        expected=wanted,
        observed=f"process {running.pid} "
        + ("holds what was replaced" if advice else "holds what is installed"),
        cause=advice.reason if advice else "",
        hint=advice.how if advice else "",
    )


def _surroundings(parts: Parts, here: Situation, python: str, repair: str) -> Surroundings:
    """What the causes of a failed check are sought in; read only where one failed."""
    try:
        target = interpreter.read_target(parts.outside, python)
    except EnvfixError:
        target = here.target
    seen = bool(visible_gpus(here.machine)) and not here.named
    return Surroundings(
        target=target,
        kernel=kernel.find_kernel(parts.outside),
        memory=gpu_memory.read_gpu_memory(parts.outside, MEMORY_TIMEOUT) if seen else (),
        repair=repair,
        without_gpu=no_gpu.advice_without_gpu(here.machine) if here.machine.has_no_gpu else (),
    )


def _compiled_cudnn(matrix: Matrix) -> dict[str, CudnnRelease]:
    """The cuDNN that each release was compiled against."""
    return {str(row.version): row.built_with_cudnn for row in matrix.releases if row.built_with_cudnn}
