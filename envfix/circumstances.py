"""What a verification is judged in: the environment, the notebook's kernel, what else uses the GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs
from packaging.utils import canonicalize_name

from envfix.diagnose import catalogue, explain
from envfix.errors import EnvfixError
from envfix.install import libraries
from envfix.model.conflicts import TENSORFLOWS
from envfix.model.diagnosis import Finding
from envfix.model.matrix import Matrix
from envfix.model.outcome import REPAIR, Check, Status, Verification
from envfix.model.request import Accelerator
from envfix.model.surroundings import Surroundings
from envfix.model.target import Kernel, Stale
from envfix.probe import interpreter, kernel, no_gpu, session, usage
from envfix.resolve.closure import closure
from envfix.restart import stale
from envfix.situation import Parts, Situation, Where, visible_gpus

IMPORTED = "what was imported was replaced since"
ENOUGH = 0.6  # confidence of a finding that is worth being a cause

NVML_BINDING = "nvidia-ml-py"  # Python alone: it brings no library
_NAMED = 3  # damaged libraries that are named


def with_kernel(
    parts: Parts, here: Situation, where: Where, proof: Verification, accelerator: Accelerator
) -> Verification:
    """The verification with a check of the notebook's kernel, if envfix was started from one."""
    check = _of_kernel(parts, here, where, proof.python, accelerator)
    return structs.replace(proof, checks=(*proof.checks, check)) if check else proof


def hinting(proof: Verification, repair: str) -> Verification:
    """The verification whose hints to install say with which options: to be pasted as they are."""
    checks = (
        structs.replace(check, hint=f"run `{repair}`") if check.hint == REPAIR else check
        for check in proof.checks
    )
    return structs.replace(proof, checks=tuple(checks))


def with_tensorflow(parts: Parts, here: Situation, proof: Verification, repair: str) -> Verification:
    """The verification with a failed check where TensorFlow's own files are gone or cut short, which an error
    in the middle of an import does not say. `repair` is the command that puts the environment right."""
    found = libraries.lost_files(parts.outside, here.target, TENSORFLOWS)
    if not found:
        return proof
    check = Check(
        name="TensorFlow's files",
        status=Status.FAILED,
        expected="every file is there, with the size that the wheel's RECORD says",
        observed=_damaged(found),
        cause="something removed them or wrote into them, or a copy was cut short",
        hint=f"run `{repair}`",
    )
    return structs.replace(proof, checks=(*proof.checks, check))


def with_wheels(
    parts: Parts, here: Situation, matrix: Matrix, proof: Verification, repair: str
) -> Verification:
    """The verification with a check of the NVIDIA wheels' libraries by content, where there are such wheels.

    What no loader proof opens can be damaged all the same: cuDNN opens its parts when an op needs them.
    `repair` is the command that puts the environment right.
    """
    wheels = [
        dist
        for dist in here.target.installed
        if dist.name.startswith("nvidia-") and dist.name != NVML_BINDING
    ]
    if not wheels:
        return proof
    major = next(
        (
            row.built_with_cuda.major
            for row in matrix.releases
            if row.built_with_cuda and str(row.version) == proof.tensorflow
        ),
        None,
    )
    found = libraries.damages(parts.outside, here.target)
    ours = [one for one in found if major is None or one.package.endswith(f"-cu{major}")]
    check = Check(
        name="NVIDIA wheels",
        status=Status.FAILED if ours else Status.PASSED,
        expected="every library is what the wheel's RECORD says, by its SHA-256",
        observed=_damaged(found) or f"{len(wheels)} wheel{'s are' if len(wheels) > 1 else ' is'} whole",
        cause="another package that shares the folder was removed or installed, or a copy was cut short"
        if ours
        else "",
        hint=f"run `{repair}`" if ours else "",
    )
    return structs.replace(proof, checks=(*proof.checks, check))


def _damaged(found: Sequence[libraries.Damage]) -> str:
    told = [f"{one.package}: `{one.path}` {one.how}" for one in found[:_NAMED]]
    return "; ".join([*told, f"and {len(found) - _NAMED} more"][: len(told) + (len(found) > _NAMED)])


def _of_kernel(
    parts: Parts, here: Situation, where: Where, python: str, accelerator: Accelerator
) -> Check | None:
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
            hint=f"run `{where.verify_command(running.python, accelerator)}`",
        )
    platform, _ = session.read_platform(parts.outside, running)
    advice = stale.still_holds(parts.outside, running, platform, here.site_packages)
    held = told(parts, here, running)
    observed = "holds what was replaced" if advice else "holds what is installed"
    if held:
        observed = f"holds {'; '.join(map(str, held))}"
    return Check(
        name="notebook kernel",
        status=Status.FAILED if advice or held else Status.PASSED,
        expected=wanted,
        observed=f"process {running.pid} {observed}",
        cause=advice.reason if advice else IMPORTED if held else "",
        hint=stale.how(platform) if advice or held else "",
    )


def told(parts: Parts, here: Situation, running: Kernel) -> list[Stale]:
    """What the kernel, where it asks itself, says it holds of what TensorFlow is and needs."""
    if parts.caller is None or parts.caller.pid != running.pid:
        return []
    needed = closure(here.target, TENSORFLOWS)
    return [
        one
        for one in parts.caller.stale
        if canonicalize_name(one.name) in needed or canonicalize_name(one.name) in TENSORFLOWS
    ]


def surroundings(parts: Parts, here: Situation, python: str, repair: str, said: str) -> Surroundings:
    """What the causes of a failed check are sought in, after TensorFlow `said` this of it."""
    try:
        target = interpreter.read_target(parts.outside, python)
    except EnvfixError:
        target = here.target
    seen = bool(visible_gpus(here.machine)) and not here.named
    return Surroundings(
        target=target,
        kernel=kernel.find_kernel(parts.outside),
        gpus=usage.once(parts.outside) if seen else (),
        repair=repair,
        without_gpu=no_gpu.advice_without_gpu(here.machine, here.to_install)
        if here.machine.has_no_gpu
        else (),
        finding=_finding(parts, here, said),
    )


def _finding(parts: Parts, here: Situation, said: str) -> Finding | None:
    """The first cause that the words show, beside this machine's facts; None where they are not enough."""
    if not said:
        return None
    known = catalogue.load(parts.outside, parts.matrix_dir)
    found = explain.explain([said.encode()], None if here.named else here.machine, known)
    return next((one for one in found if not one.benign and one.confidence >= ENOUGH), None)
