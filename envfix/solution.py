"""From a machine and a request to a lock and a plan: decide, bound, resolve, compare with what is there."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs
from packaging.version import Version

from envfix.choice import Choice
from envfix.errors import EnvfixError, IndexUnreachable, LockMismatch, NothingFits
from envfix.install import libraries, loader
from envfix.matrix import rank, system_cuda
from envfix.model.decision import Bound, Candidate, Decision, Fit
from envfix.model.machine import Os, known
from envfix.model.matrix import Matrix, Release
from envfix.model.plan import Change, Floors, Lock, Plan, PlannedPackage, Resolution
from envfix.model.request import ANY, Accelerator, CudaSource, Request
from envfix.model.target import Target
from envfix.nvidia.beside import kept_out
from envfix.ports import Outside
from envfix.resolve import bounds as machine_bounds
from envfix.resolve import planning, remembered, wanted
from envfix.situation import Parts, Situation, config_of
from envfix.standing import lacking, overwritten, standing_release, system_libraries

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
                "envfix lock --cuda wheels",
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
            "envfix lock",
        )
    choice = Choice(
        candidate=candidate,
        accelerator=accelerator,
        cuda=CudaSource(lock.cuda),
        bounds=(),
        wanted=_exactly(lock),
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
    bounds = _bounds(here, matrix, request, candidate.release)
    full = wanted.gpu_wanted(candidate.release, here.target, bounds, request.companions, why)
    if here.brought and candidate.release.built_with_cuda:
        out = kept_out(candidate.release.built_with_cuda.major)
        full = structs.replace(full, caps=(*full.caps, *out))
    choice = Choice(
        candidate=candidate, accelerator=Accelerator.GPU, cuda=CudaSource.WHEELS, bounds=bounds, wanted=full
    )
    if not _may_use_system(here, request, full):
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
    caps = tuple(bound for bound in bounds if not bound.requirement.startswith("nvidia-"))
    return structs.replace(
        choice,
        candidate=on_system,
        cuda=CudaSource.SYSTEM,
        bounds=caps,
        wanted=wanted.gpu_wanted(candidate.release, here.target, caps, request.companions, why),
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


def solve(parts: Parts, here: Situation, request: Request, choice: Choice) -> Resolution:
    """Ask the resolver for everything the choice wants. Raises ResolutionFailed or IndexUnreachable."""
    config, wants = config_of(parts, here.target), choice.wanted
    found = parts.resolver(request.resolver, config).resolve(
        wants.roots, wants.caps, here.target, config, offline=request.offline
    )
    if not request.offline:
        remembered.remember(parts.outside, wants.roots, wants.caps, here.target, config, found)
    return found


def recall(parts: Parts, here: Situation, choice: Choice) -> Resolution:
    """What an earlier run found for the same wants. Raises IndexUnreachable where there was none."""
    config, wants = config_of(parts, here.target), choice.wanted
    found = remembered.recall(parts.outside, wants.roots, wants.caps, here.target, config)
    if found is None:
        raise IndexUnreachable("`--offline`, and no earlier run has left its solution")
    return found


def make_lock(here: Situation, matrix: Matrix, choice: Choice, resolution: Resolution) -> Lock:
    """The lock of a resolution with the least a machine must have for it."""
    target = here.target
    gpus = () if choice.accelerator is Accelerator.CPU else known(here.machine.gpus, ())
    return Lock(
        tensorflow=str(choice.candidate.version),
        requirements=(*choice.wanted.roots, *choice.wanted.caps),
        resolution=resolution,
        floors=Floors(
            python=str(target.feature),
            os=target.os.value,
            arch=target.arch.value,
            glibc=_glibc_floor(choice.release, target),
            driver=None if not gpus else rank.driver_floor(choice.release, here.machine, matrix),
            compute_capabilities=tuple(
                sorted({str(known(gpu.compute_capability, "")) for gpu in gpus} - {""})
            ),
            accelerator=choice.accelerator.value,
        ),
        matrix_digest=matrix.digest,
        cuda=choice.cuda.value,
    )


def plan_of(parts: Parts, here: Situation, choice: Choice, resolution: Resolution, *, offline: bool) -> Plan:
    """What the resolution would change in the target, with sizes in bytes.

    An NVIDIA wheel that lacks some of its libraries counts as absent: it is installed anew.
    """
    lost = () if here.new_venv else libraries.incomplete_distributions(parts.outside, here.target)
    over = () if here.new_venv else overwritten(here, choice)
    because = {
        **choice.wanted.because,
        **dict.fromkeys(lost, "some of its libraries are missing: installed anew"),
        **dict.fromkeys(over, "another one lies over it: installed anew"),
    }
    broken = {*lost, *over}
    kept = tuple(dist for dist in here.target.installed if dist.name not in broken)
    target = structs.replace(here.target, installed=kept)
    sizes: Mapping[str, int] = {}
    try:
        index = None if offline else parts.index(config_of(parts, target))
        sizes = planning.unpacked_sizes(parts.outside, index, resolution, target)
    except EnvfixError as problem:
        # Sizes inform, they decide nothing: without them the plan says that they are not known.
        parts.outside.say(f"warning: unpacked sizes are not known: {problem.message}")
    return planning.make_plan(resolution, target, because, sizes)


def plan_if_possible(
    parts: Parts, here: Situation, request: Request, choice: Choice
) -> tuple[Plan | None, str]:
    """The plan, or None and the reason: a report is complete without it."""
    try:
        found = recall(parts, here, choice) if request.offline else solve(parts, here, request, choice)
        return plan_of(parts, here, choice, found, offline=request.offline), ""
    except EnvfixError as problem:
        return None, f"no plan: {problem.message}"


def plan_of_keeping(choice: Choice, target: Target) -> Plan:
    """The plan of an environment that is already right: what was asked for stays, nothing is downloaded."""
    names = [name for name in choice.wanted.because if target.version_of(name)]
    return Plan(
        packages=tuple(
            PlannedPackage(
                name=name,
                version=target.version_of(name) or "",
                size=0,
                change=Change.KEEP,
                because=choice.wanted.because[name],
            )
            for name in sorted(names)
        ),
        download_bytes=0,
        installed_bytes=0,
    )


def with_loader(plan: Plan, target: Target) -> Plan:
    """The plan of an environment that lacks nothing but the loader."""
    package = PlannedPackage(
        name=loader.NAME,
        version=loader.VERSION,
        size=0,
        change=Change.UPGRADE if target.version_of(loader.NAME) else Change.ADD,
        because="through it TensorFlow finds its CUDA libraries",
    )
    return structs.replace(plan, packages=(package, *plan.packages))


def _glibc_floor(release: Release, target: Target) -> str | None:
    if target.os is not Os.LINUX:
        return None
    for wheels in release.wheels:
        if (wheels.os, wheels.arch) == (target.os, target.arch) and wheels.glibc:
            return str(wheels.glibc)
    return None
