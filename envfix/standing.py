"""What stands in an environment already: its TensorFlow, its libraries, and what it lacks of a choice."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from envfix.choice import Choice, Lacks
from envfix.errors import NothingFits
from envfix.install import libraries, loader
from envfix.matrix import rank
from envfix.model.conflicts import PACKAGES, TENSORFLOWS, in_the_way, package_of
from envfix.model.decision import Candidate, Fit
from envfix.model.matrix import Matrix, Release
from envfix.model.request import Accelerator, CudaSource, Request
from envfix.ports import Outside
from envfix.resolve import wanted
from envfix.situation import Situation

KEPT = "installed, and it fits"
KEPT_UNSURE = "installed, and nothing is known against it"
GPU_BUILDS = (*PACKAGES, "tensorflow-gpu")


def standing_release(here: Situation, matrix: Matrix, request: Request) -> tuple[Candidate, str] | None:
    """The installed release with its verdicts, and why it is the one to have; None where another one is
    asked for, or a rule refuses it.

    Of a CPU build where the GPU is asked for, the release stays and the build changes.
    """
    dist = wanted.tensorflow_installed(here.target)
    if dist is None or request.upgrade:
        return None
    if request.tf.given and not request.tf.specifier.contains(dist.version, prereleases=True):
        return None
    # A local build (`2.17.0+nv25.2` of NVIDIA's containers) is judged as the release it is made from.
    key = package_of(dist.name), public_version(dist.version)
    release = next((row for row in matrix.releases if row.key == key), None)
    if release is None or release.package != request.tf.package:
        return None
    candidate = rank.judge(
        matrix,
        here.machine,
        release,
        request.accelerator,
        request=request,
        installed=here.distributions,
        beside=here.beside,
    )
    if request.accelerator is Accelerator.GPU and dist.name not in GPU_BUILDS:
        why = f"the release of the {dist.name} that is installed, for the GPU"
        return (candidate, why) if candidate.fit is Fit.YES else None
    if candidate.fit is Fit.NO:
        return None
    return candidate, KEPT if candidate.fit is Fit.YES else KEPT_UNSURE


def unjudged(here: Situation, matrix: Matrix, request: Request) -> str:
    """The installed TensorFlow that the matrix is too old to know; empty where it knows it, or where another
    one is asked for.

    Putting an older release in its place would be a downgrade that nobody asked for. Raises NothingFits for
    companions that are not there, since nobody knows which would fit beside it.
    """
    dist = wanted.tensorflow_installed(here.target)
    if dist is None or request.tf.given:
        return ""
    newest = max((row.version for row in matrix.releases if row.package == dist.name), default=None)
    found = public_version(dist.version)
    if dist.name not in PACKAGES or newest is None or found is None or found <= newest:
        return ""
    missing = wanted.unmet_companions(request.companions, here.target)
    if missing:
        raise NothingFits(
            f"{dist.name} {dist.version} is newer than this matrix ({matrix.date}), so which `--with "
            f"{missing[0]}` fits beside it is not known",
            f"name a release that it knows: --tf '<={newest}'",
        )
    return dist.version


def public_version(version: str) -> Version | None:
    """The version without its local part; None for one from before PEP 440."""
    try:
        return Version(Version(version).public)
    except ValueError:
        return None


def system_libraries(outside: Outside, here: Situation, release: Release) -> libraries.LibrarySearch:
    """Where the system has the libraries that the release opens."""
    if release.built_with_cuda is None:
        return libraries.LibrarySearch(found={}, missing=("a CUDA build",))
    names = libraries.needed_sonames(release.built_with_cuda, release.built_with_cudnn)
    if not names:
        unknown = f"the libraries of CUDA {release.built_with_cuda.major}, whose names are not known"
        return libraries.LibrarySearch(found={}, missing=(unknown,))
    return libraries.find_libraries(outside, names, libraries.system_folders(outside, here.machine))


def library_folders(outside: Outside, here: Situation, choice: Choice) -> tuple[str, ...]:
    """The folders outside site-packages that the loader must know of: none where wheels are used."""
    if choice.cuda is not CudaSource.SYSTEM:
        return ()
    found = system_libraries(outside, here, choice.release).found
    return tuple(dict.fromkeys(path.rpartition("/")[0] for path in found.values()))


def overwritten(here: Situation, choice: Choice) -> tuple[str, ...]:
    """The installed TensorFlow of the choice, where another one lies over it; empty where it is alone."""
    names = {canonicalize_name(Requirement(text).name) for text in choice.wanted.roots}
    if not in_the_way({*names, "tensorflow-intel"}, here.target.installed):
        return ()
    return tuple(sorted(names & TENSORFLOWS))


def damaged(outside: Outside, here: Situation, choice: Choice) -> Mapping[str, str]:
    """Which of the packages that the choice holds are not whole, with a reason to install each anew.

    Others' are not looked after: torch's own libraries may rightly have been replaced by TensorFlow's.
    """
    held = {canonicalize_name(Requirement(text).name) for text in choice.wanted.roots}
    found: dict[str, str] = {}
    lost = libraries.lost_files(outside, here.target, held & TENSORFLOWS)
    for one in (*libraries.damages(outside, here.target), *lost):
        if one.package in held:
            found.setdefault(one.package, f"its `{one.path.rpartition('/')[2]}` {one.how}: installed anew")
    return found


def _needed(choice: Choice) -> tuple[str, ...]:
    """The sonames of the CUDA major, without those of the wheels that the release was seen to do without."""
    assert choice.release.built_with_cuda is not None
    names = libraries.needed_sonames(choice.release.built_with_cuda, choice.release.built_with_cudnn)
    left_out = tuple(f"lib{one.name.split('-')[1]}.so." for one in choice.left_out)
    return tuple(name for name in names if not name.startswith(left_out))


def lacking(outside: Outside, here: Situation, choice: Choice) -> Lacks:
    """What is missing: packages, libraries by soname, or only the loader.

    A second TensorFlow under another name has overwritten files of the first.
    """
    if here.new_venv or wanted.unmet(choice.wanted, here.target):
        return Lacks.PACKAGES
    if overwritten(here, choice) or damaged(outside, here, choice):
        return Lacks.PACKAGES
    if choice.accelerator is Accelerator.CPU:
        return Lacks.NOTHING
    if choice.cuda is CudaSource.WHEELS and choice.release.built_with_cuda:
        folders = libraries.wheel_folders(outside, here.site_packages)
        if libraries.find_libraries(outside, _needed(choice), folders).missing:
            return Lacks.PACKAGES
        if any(proof.registers_as_published for proof in choice.release.proofs):
            return Lacks.NOTHING  # the wheel finds the NVIDIA wheels itself: what is right stays untouched
    current = loader.is_current(outside, here.target, library_folders(outside, here, choice))
    return Lacks.NOTHING if current else Lacks.LOADER
