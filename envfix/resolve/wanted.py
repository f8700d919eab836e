"""From a chosen release to what the resolver is asked for, and whether an environment already holds it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from envfix.model.conflicts import TENSORFLOWS
from envfix.model.decision import Bound
from envfix.model.machine import Arch, Os
from envfix.model.markers import marker_environment
from envfix.model.matrix import Release
from envfix.model.specifiers import NOT_VALID, name_in, requirement
from envfix.model.target import Distribution, Target


class Wanted(Struct, frozen=True, kw_only=True):
    """What the solution must hold: `roots` are installed, `caps` only hold what others bring.

    `because` maps normalised names to the reason the plan shows.
    """

    roots: tuple[str, ...]
    caps: tuple[str, ...]
    because: Mapping[str, str]


def gpu_wanted(
    release: Release,
    target: Target,
    bounds: Iterable[Bound],
    companions: Sequence[Requirement],
    why: str,
    left_out: Container[str] = (),
) -> Wanted:
    """The CUDA build of a release with its NVIDIA wheels pinned; those of `left_out` are only held, where
    others bring them.

    The `and-cuda` extra is never asked for by name: it is absent before 2.14, cannot be installed in 2.14 on
    Python 3.11 and in 2.15.0, and floats from 2.20 on; its pins arrive as bounds instead.
    """
    package = gpu_package(release, target)
    roots = [f"{package}=={release.version}"]
    caps: list[str] = []
    because = {package: why}
    for bound in bounds:
        name = canonicalize_name(Requirement(bound.requirement).name)
        because[name] = bound.because
        installs = name.startswith("nvidia-") and name not in left_out
        (roots if installs else caps).append(bound.requirement)
    return Wanted(
        roots=(*roots, *(str(companion) for companion in companions)),
        caps=tuple(caps),
        because=_with_companions(because, companions),
    )


def cpu_wanted(
    release: Release, target: Target, caps: Iterable[Bound], companions: Sequence[Requirement], why: str
) -> Wanted:
    """The CPU build of a release: `tensorflow-cpu`, unless something asks for the other name."""
    package = cpu_package(release, target, companions)
    held = [bound for bound in caps if not bound.requirement.startswith("nvidia-")]
    because = {package: why} | {
        canonicalize_name(Requirement(bound.requirement).name): bound.because for bound in held
    }
    return Wanted(
        roots=(f"{package}=={release.version}", *(str(companion) for companion in companions)),
        caps=tuple(bound.requirement for bound in held),
        because=_with_companions(because, companions),
    )


def gpu_package(release: Release, target: Target) -> str:
    """`tensorflow`; or `tensorflow-gpu` where that is installed in this release and nothing asks for the
    other name: until 2.11 it was the same build (2.12 has nothing in it and only says so)."""
    old = "tensorflow-gpu"
    if release.package != "tensorflow":
        return release.package
    if release.version >= Version("2.12") or not _holds(target, old, SpecifierSet(f"=={release.version}")):
        return release.package
    needed = any(_requires(dist, release.package) for dist in target.installed)
    return release.package if needed else old


def cpu_package(release: Release, target: Target, companions: Sequence[Requirement]) -> str:
    """`tensorflow-cpu` has wheels for x86_64 Linux and Windows; elsewhere `tensorflow` is the CPU build.

    A `tensorflow` of this release that is installed stays: on a CPU it computes the same.
    """
    if (
        release.package != "tensorflow"
        or target.os is Os.MACOS
        or target.arch is not Arch.X86_64
        or release.version.is_postrelease
    ):
        return release.package
    if _holds(target, release.package, SpecifierSet(f"=={release.version}")):
        return release.package
    names = {canonicalize_name(companion.name) for companion in companions}
    needed = any(_requires(dist, "tensorflow") for dist in target.installed) or "tf-keras" in names
    return release.package if needed else "tensorflow-cpu"


def unmet(wanted: Wanted, target: Target) -> tuple[str, ...]:
    """The requirements that the environment does not hold, each with what was found; empty: all hold."""
    missing = []
    for text in wanted.roots:
        requirement = Requirement(text)
        if not _is_met(requirement, target):
            found = target.version_of(canonicalize_name(requirement.name))
            missing.append(f"{text} (found {found or 'none'})")
    for text in wanted.caps:
        requirement = Requirement(text)
        version = target.version_of(canonicalize_name(requirement.name))
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{text} (found {version})")
    return tuple(missing)


def unmet_companions(companions: Sequence[Requirement], target: Target) -> tuple[str, ...]:
    """Those of `--with` that the environment does not hold."""
    return tuple(str(one) for one in companions if not _is_met(one, target))


def _is_met(requirement: Requirement, target: Target, depth: int = 5) -> bool:
    """Whether the environment holds it, with what its extras ask for; also where its marker is false here."""
    environment = marker_environment(target.os, target.arch, target.python, target.implementation)
    if requirement.marker and not requirement.marker.evaluate(dict(environment)):
        return True
    name = canonicalize_name(requirement.name)
    if not _holds(target, name, requirement.specifier):
        return False
    dist = next(dist for dist in target.installed if dist.name == name)
    wanted = _of_extras(dist, requirement.extras, environment) if requirement.extras and depth else ()
    return all(_is_met(one, target, depth - 1) for one in wanted)


def _of_extras(
    dist: Distribution, extras: Iterable[str], environment: Mapping[str, str]
) -> Iterator[Requirement]:
    """What the extras ask for beside the distribution's own requirements."""
    for line in dist.requires:
        try:
            one = Requirement(line)
        except NOT_VALID:
            continue  # from before PEP 508: it binds nobody
        if one.marker is None or one.marker.evaluate(dict(environment)):
            continue
        if any(one.marker.evaluate({**environment, "extra": extra}) for extra in extras):
            one.marker = None
            yield one


def _holds(target: Target, name: str, specifier: SpecifierSet) -> bool:
    version = target.version_of(canonicalize_name(name))
    return version is not None and specifier.contains(version, prereleases=True)


def tensorflow_installed(target: Target) -> Distribution | None:
    """The distribution that provides `import tensorflow`, whatever its name."""
    return next((dist for dist in target.installed if dist.name in TENSORFLOWS), None)


def _with_companions(because: dict[str, str], companions: Sequence[Requirement]) -> Mapping[str, str]:
    return because | {canonicalize_name(companion.name): "asked for with --with" for companion in companions}


def _requires(dist: Distribution, name: str) -> bool:
    for line in dist.requires:
        # Thousands of lines are of other packages: parsing each would take longer than the decision.
        parsed = requirement(line) if name_in(line) == name else None
        if parsed is not None and "extra" not in str(parsed.marker or ""):
            return True
    return False
