"""From a decision, or a lock, to a choice: the release to have, its build, and where its CUDA comes from."""

from __future__ import annotations

from msgspec import structs
from packaging.version import Version

from envfix.choice import Choice
from envfix.errors import LockMismatch, NothingFits
from envfix.matrix import rank, system_cuda
from envfix.model.decision import Bound, Candidate, Decision, Fit
from envfix.model.matrix import Matrix, Release
from envfix.model.plan import Lock
from envfix.model.request import ANY, Accelerator, CudaSource, Request
from envfix.neighbours import kept_pins
from envfix.nvidia.beside import kept_out
from envfix.ports import Outside
from envfix.resolve import bounds as machine_bounds
from envfix.resolve import wanted
from envfix.situation import Parts, Situation
from envfix.sparing import of_lock, spared
from envfix.standing import lacking, standing_release, system_libraries

NEWEST = "the newest release whose rules are all yes"
UNSURE = "no release is all yes; the newest that nothing forbids"
ASKED = "the newest that fits what --tf asks for"


def choose(parts: Parts, here: Situation, matrix: Matrix, request: Request, decision: Decision) -> Choice:
    """The release to have: the one that is installed when it fits, else the recommended one.

    `request.accelerator` is `gpu` or `cpu` here. Raises NothingFits when there is neither.
    """
    stands = standing_release(here, matrix, request)
    if stands:
        candidate, why = stands
    elif decision.recommended:
        candidate = decision.recommended
        why = ASKED if request.tf.given else NEWEST if candidate.fit is Fit.YES else UNSURE
    else:
        raise NothingFits("no TensorFlow release fits this machine and request")
    if request.accelerator is Accelerator.CPU:
        choice = _choose_cpu(here, matrix, request, candidate, why)
    else:
        choice = _choose_gpu(parts.outside, here, matrix, request, candidate, why)
    kept = kept_pins(here.target)
    because = {**choice.wanted.because, **request.because}
    whole = structs.replace(choice.wanted, caps=(*choice.wanted.caps, *kept), because=because)
    choice = structs.replace(choice, wanted=whole)
    return structs.replace(choice, lacks=lacking(parts.outside, here, choice))


def choice_of_lock(parts: Parts, here: Situation, matrix: Matrix, lock: Lock) -> Choice:
    """A lock as a choice: exactly its pins. Raises LockMismatch for a release that the matrix lacks, or that
    a rule forbids on this machine."""
    key = lock.package, Version(lock.tensorflow)
    release = next((row for row in matrix.releases if row.key == key), None)
    if release is None:
        raise LockMismatch(
            f"the lock is for {lock.package} {lock.tensorflow}, which this matrix ({matrix.date}) does not "
            "know",
            "a newer envfix may: `pip install -U envfix-tf`",
        )
    accelerator = Accelerator(lock.floors.accelerator)
    if lock.cuda == CudaSource.SYSTEM.value and not here.named:
        missing = system_libraries(parts.outside, here, release).missing
        if missing:
            raise LockMismatch(
                f"the lock uses the system's CUDA, which here lacks {', '.join(missing)}",
                here.lock_command(("--cuda", "wheels")),
            )
    asked = Request(tf=ANY, cuda=CudaSource(lock.cuda))
    candidate = rank.judge(
        matrix, here.machine, release, accelerator, request=asked, installed=here.distributions
    )
    no = next((verdict for verdict in candidate.verdicts if verdict.fit is Fit.NO), None)
    if no is not None:
        raise LockMismatch(
            f"the lock is for {lock.package} {lock.tensorflow}, which does not fit here: {no.rule}: needs "
            f"{no.wanted}, found {no.found}",
            here.lock_command(lock.options),
        )
    choice = Choice(
        candidate=candidate,
        accelerator=accelerator,
        cuda=CudaSource(lock.cuda),
        bounds=(),
        wanted=_exactly(lock),
        left_out=of_lock(here, lock, release),
    )
    return structs.replace(choice, lacks=lacking(parts.outside, here, choice))


def _exactly(lock: Lock) -> wanted.Wanted:
    packages = lock.resolution.packages
    return wanted.Wanted(
        roots=tuple(f"{package.name}=={package.version}" for package in packages),
        caps=(),
        because={package.name: "in the lock" for package in packages},
    )


def _choose_cpu(here: Situation, matrix: Matrix, request: Request, candidate: Candidate, why: str) -> Choice:
    bounds = _bounds(here, matrix, request, candidate.release)
    target_wanted = wanted.cpu_wanted(candidate.release, here.target, bounds, request.companions, why)
    return Choice(
        candidate=candidate,
        accelerator=Accelerator.CPU,
        cuda=CudaSource.WHEELS,
        bounds=(),
        wanted=target_wanted,
    )


def _choose_gpu(
    outside: Outside, here: Situation, matrix: Matrix, request: Request, candidate: Candidate, why: str
) -> Choice:
    choice = _on_wheels(here, matrix, request, candidate, why)
    if not _may_use_system(here, request, choice.wanted):
        return choice
    on_system = _judged(here, matrix, request, candidate.release, CudaSource.SYSTEM)
    verdict = system_cuda.judge_system_cuda(candidate.release, here.machine, matrix)
    fits = (
        verdict.fit is Fit.YES
        and on_system.fit.order >= candidate.fit.order
        and (here.named or not system_libraries(outside, here, candidate.release).missing)
    )
    if not fits:
        if request.cuda is CudaSource.SYSTEM:
            raise NothingFits(
                f"`--cuda system`: {candidate.name} needs {verdict.wanted}, found {verdict.found}",
                "leave `--cuda` out: the NVIDIA wheels are installed then",
            )
        _check_wheels(here, matrix, request, candidate)
        return choice
    caps = tuple(bound for bound in choice.bounds if not bound.requirement.startswith("nvidia-"))
    return structs.replace(
        choice,
        candidate=on_system,
        cuda=CudaSource.SYSTEM,
        bounds=caps,
        wanted=wanted.gpu_wanted(candidate.release, here.target, caps, request.companions, why),
        left_out=(),
    )


def _on_wheels(here: Situation, matrix: Matrix, request: Request, candidate: Candidate, why: str) -> Choice:
    """The CUDA build with the NVIDIA wheels, with `--minimal` without those that it does not open."""
    bounds = _bounds(here, matrix, request, candidate.release)
    left = spared(here, matrix, candidate.release, bounds) if request.minimal else ()
    names = {one.name for one in left}
    full = wanted.gpu_wanted(candidate.release, here.target, bounds, request.companions, why, names)
    if here.brought and candidate.release.built_with_cuda:
        out = kept_out(candidate.release.built_with_cuda.major)
        full = structs.replace(full, caps=(*full.caps, *out))
    return Choice(
        candidate=candidate,
        accelerator=Accelerator.GPU,
        cuda=CudaSource.WHEELS,
        bounds=bounds,
        wanted=full,
        left_out=left,
    )


def _check_wheels(here: Situation, matrix: Matrix, request: Request, candidate: Candidate) -> None:
    """Raises NothingFits for a release that fits with the system's CUDA alone, which is not all there."""
    on_wheels = _judged(here, matrix, request, candidate.release, CudaSource.WHEELS)
    no = next((verdict for verdict in on_wheels.verdicts if verdict.fit is Fit.NO), None)
    if no is not None:
        raise NothingFits(
            f"{candidate.name} fits with the system's CUDA alone, some of which is missing: {no.reason}"
        )


def _may_use_system(here: Situation, request: Request, full: wanted.Wanted) -> bool:
    """Left to envfix, the system's CUDA serves only where NVIDIA wheels neither are nor come anyway."""
    if request.cuda is not CudaSource.AUTO:
        return request.cuda is CudaSource.SYSTEM
    return not here.brought and bool(wanted.unmet(full, here.target))


def _judged(
    here: Situation, matrix: Matrix, request: Request, release: Release, cuda: CudaSource
) -> Candidate:
    """The release with the verdicts that hold for this source of CUDA."""
    asked = structs.replace(request, cuda=cuda)
    return rank.judge(
        matrix, here.machine, release, request=asked, installed=here.distributions, beside=here.beside
    )


def _bounds(here: Situation, matrix: Matrix, request: Request, release: Release) -> tuple[Bound, ...]:
    installed = {dist.name: dist.version for dist in here.target.installed}
    return machine_bounds.bounds(release, here.machine, matrix, installed, here.beside, request.companions)
