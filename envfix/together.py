"""What `--with` brings of NVIDIA's wheels, asked of the resolver first: TensorFlow is then chosen to fit it.

torch and jax ask for NVIDIA wheels themselves, torch for one exact version of each. Decided one after the
other they meet in the resolver, which knows only that it cannot, or goes back to a torch from before there
were such wheels.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence

from msgspec import structs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envfix import cache
from envfix.deciding import decide, ranked
from envfix.errors import EnvfixError, IndexUnreachable, NothingFits, ResolutionFailed
from envfix.model.decision import Decision
from envfix.model.machine import Arch, Os
from envfix.model.matrix import Matrix
from envfix.model.plan import LockedPackage, Resolution
from envfix.model.request import ANY, Accelerator, CudaSource, Request
from envfix.model.specifiers import name_in, requirement
from envfix.model.target import Distribution, PipConfig
from envfix.nvidia.beside import kept_out, other_majors
from envfix.nvidia.pins import HOLDERS
from envfix.ports import Index, IndexFile, Outside
from envfix.resolve.wanted import unmet_companions
from envfix.situation import Parts, Situation, config_of

# jax's plugins for other CUDA majors: what they ask for overwrites what TensorFlow needs.
_OF_OTHER_MAJORS = frozenset({"jax-cuda13-plugin", "jax-cuda13-pjrt"})
# The extra by which jax's plugin asks for NVIDIA's wheels (METADATA of jax-cuda12-plugin).
_EXTRA = "with-cuda"


def with_beside(parts: Parts, here: Situation, matrix: Matrix, request: Request) -> Situation:
    """The situation with the packages of `--with` that ask for NVIDIA wheels.

    Nothing is asked where the companions are there already. Raises ResolutionFailed where they have no
    solution even by themselves, and IndexUnreachable.
    """
    linux = (here.target.os, here.target.arch) == (Os.LINUX, Arch.X86_64)
    gpu = request.accelerator is Accelerator.GPU and request.cuda is not CudaSource.SYSTEM
    if not (linux and gpu and unmet_companions(request.companions, here.target)):
        return here
    config = config_of(parts, here.target)
    found = _alone(parts, here, request, config, _major(matrix, request))
    asked = {canonicalize_name(one.name) for one in request.companions} | HOLDERS | _OF_OTHER_MAJORS
    index = None if request.offline else parts.index(config)
    read = [
        _with_requirements(parts.outside, index, package)
        for package in found.packages
        if package.name in asked
    ]
    return structs.replace(here, beside=tuple(holder for holder in read if holder.requires))


def decide_together(
    parts: Parts, here: Situation, matrix: Matrix, request: Request
) -> tuple[Situation, Decision]:
    """The decision, and the situation with what `--with` brings. Raises NothingFits, with
    pairs that nothing is known against."""
    there = with_beside(parts, here, matrix, request)
    try:
        return there, decide(there, matrix, request)
    except NothingFits as refused:
        pairs = pairs_that_fit(parts, there, matrix, request)
        if not pairs:
            raise
        raise NothingFits(refused.message, "\n".join(pairs), data=refused.data) from None


def pairs_that_fit(parts: Parts, there: Situation, matrix: Matrix, request: Request) -> tuple[str, ...]:
    """Another release for the same companions, and other companions for the same release; where there is
    neither, others of both. May be empty."""
    if not there.beside:
        return ()
    free = tuple(Requirement(_without_version(one)) for one in request.companions)
    others = structs.replace(request, companions=free)
    found = [_pair(there, matrix, structs.replace(request, tf=ANY))]
    try:
        beside = with_beside(parts, there, matrix, others)
        found.append(_pair(beside, matrix, others))
        if not any(found):
            found.append(_pair(beside, matrix, structs.replace(others, tf=ANY)))
    except EnvfixError as problem:
        parts.outside.say(f"warning: other versions of the companions cannot be tried: {problem.message}")
    return tuple(line for line in dict.fromkeys(found) if line)


def _pair(there: Situation, matrix: Matrix, request: Request) -> str:
    best = ranked(there, matrix, request).recommended
    if best is None:
        return ""
    beside = {dist.name: dist.version for dist in there.beside}
    words = ["--tf", str(best.version)]
    for one in request.companions:
        version = beside.get(canonicalize_name(one.name))
        words += ["--with", f"{_without_version(one)}=={version}" if version else str(one)]
    return f"nothing is known against this pair: {shlex.join(words)}"


def _major(matrix: Matrix, request: Request) -> int:
    """The CUDA major of the newest release that the request names."""
    built = {
        release.version: release.built_with_cuda.major
        for release in matrix.releases
        if release.built_with_cuda and request.tf.specifier.contains(release.version, prereleases=True)
    }
    return built[max(built)] if built else 12


def _alone(parts: Parts, here: Situation, request: Request, config: PipConfig, major: int) -> Resolution:
    """The companions' own solution: the newest without wheels whose files have the names of TensorFlow's,
    where there is one that still uses the GPU; else theirs as it is, and the rules say what is wrong with it.
    """
    resolver = parts.resolver(request.resolver, config)
    asked = [str(one) for one in request.companions]
    refused: ResolutionFailed | None = None
    try:
        found = resolver.resolve(asked, kept_out(major), here.target, config, offline=request.offline)
        # An old version may lack the extra that asks for the GPU, and is then found without one.
        if any(package.name.startswith("nvidia-") for package in found.packages):
            return found
    except ResolutionFailed as problem:
        refused = problem
    free = resolver.resolve(asked, [], here.target, config, offline=request.offline)
    if any(package.name in other_majors(major) for package in free.packages):
        return free
    if refused:
        raise refused
    return found


def _with_requirements(outside: Outside, index: Index | None, package: LockedPackage) -> Distribution:
    """The package with what it asks of NVIDIA's wheels, as its METADATA says."""
    requires: Sequence[str] = ()
    for file in package.wheels[:1]:
        kept = _kept(outside, file.sha256)
        if kept is None and index is None:
            raise IndexUnreachable(f"`--offline`, and no earlier run has read what {package.name} asks for")
        if kept is None and index is not None:
            wheel = IndexFile(file.filename, file.url, file.sha256, file.size, None, None, False)
            lines = _requires(index.metadata(wheel))
            kept = [line for line in lines if name_in(line).startswith("nvidia-")]
            _keep(outside, file.sha256, kept)
        requires = kept or ()
    return Distribution(name=package.name, version=package.version, requires=tuple(requires))


def _kept(outside: Outside, sha256: str) -> list[str] | None:
    """What an earlier run read in the wheel with this digest: it never changes."""
    data = cache.kept(outside, _place(outside, sha256)) or b""
    first, *lines = data.decode("utf-8", "replace").splitlines() or [""]
    return lines if first == sha256 else None


def _keep(outside: Outside, sha256: str, lines: Sequence[str]) -> None:
    # A cache that cannot be written costs the next run a request, and is no news to anybody.
    with contextlib.suppress(OSError):
        text = "\n".join([sha256, *lines]) + "\n"
        cache.keep(outside, _place(outside, sha256), text.encode())


def _place(outside: Outside, sha256: str) -> str:
    """One of 256 files, so that the folder does not grow."""
    return cache.place(outside, "requirements", f"{sha256[:2]}.txt")


def _requires(metadata: str) -> Iterator[str]:
    """The requirements, those of the extras that ask for NVIDIA's wheels as if they always held."""
    for line in metadata.partition("\n\n")[0].splitlines():
        if not line.startswith("Requires-Dist:"):
            continue
        text = line.partition(":")[2].strip()
        parsed = requirement(text)
        marker = str(parsed.marker or "") if parsed else ""
        yield f"{parsed.name}{parsed.specifier}" if parsed and f'extra == "{_EXTRA}"' in marker else text


def _without_version(companion: Requirement) -> str:
    extras = f"[{','.join(sorted(companion.extras))}]" if companion.extras else ""
    return f"{companion.name}{extras}"
