"""What packages ask of NVIDIA's wheels, as their METADATA says: of what `--with` brings and what is there.

Of a real interpreter the METADATA is there. Of a named machine only names and versions are known, so that of
torch and of jax's plugins is read from the index.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence

from msgspec import structs
from packaging.version import InvalidVersion, Version

from envfix.errors import EnvfixError, IndexUnreachable
from envfix.model.conflicts import TENSORFLOWS
from envfix.model.machine import Machine
from envfix.model.markers import counts
from envfix.model.plan import LockedFile, LockedPackage
from envfix.model.specifiers import allows, name_in, requirement
from envfix.model.target import Distribution, Target
from envfix.nvidia.pins import OF_OTHER_MAJORS
from envfix.ports import Index, IndexFile, Outside
from envfix.resolve.wheels import installable, target_tags
from envfix.situation import Parts, Situation, config_of

# Those that ask for NVIDIA's wheels themselves, where no METADATA is at hand to tell.
ASKING = frozenset({"torch", "jax-cuda12-plugin"}) | OF_OTHER_MAJORS
# The extra by which jax's plugin asks for NVIDIA's wheels (METADATA of jax-cuda12-plugin).
_EXTRA = re.compile(r"""extra == ['"]with-cuda['"]""")
_NO_RUN = "`--offline`, and no earlier run has read its METADATA"


def with_requirements(parts: Parts, here: Situation, *, offline: bool) -> Situation:
    """The situation with the requirements of what is installed and asks for NVIDIA's wheels, or with the
    reason why they cannot be had."""
    read = {
        dist.name: _completed(parts, here, dist, offline=offline)
        for dist in here.target.installed
        if dist.name in ASKING and not _is_told(dist) and not dist.version.endswith("+cpu")
    }
    if not read:
        return here
    installed = tuple(read.get(dist.name, dist) for dist in here.target.installed)
    return structs.replace(here, target=structs.replace(here.target, installed=installed))


def holders_installed(here: Situation, going: Collection[str]) -> tuple[Distribution, ...]:
    """What is installed, asks for NVIDIA's wheels and is not `going`: with these requirements alone, and of
    them those that hold today or whose wheel is not there yet. What is broken already binds nobody."""
    found = []
    for dist in here.target.installed:
        if dist.name in going or dist.name in TENSORFLOWS or dist.name.startswith("nvidia-"):
            continue
        lines = tuple(line for line in _binding(dist.requires, here.machine) if _holds(line, here.target))
        if lines or dist.unread:
            found.append(structs.replace(dist, requires=lines))
    return tuple(found)


def holder_of(outside: Outside, index: Index | None, package: LockedPackage) -> Distribution:
    """A package of a solution with what it asks of NVIDIA's wheels. Raises IndexUnreachable, also where there
    is no index and no earlier run has read it."""
    requires: Sequence[str] = ()
    for file in package.wheels[:1]:
        kept = _kept(outside, file.sha256)
        if kept is None:
            kept = list(_stated(_metadata(index, file, package.name)))
            _keep(outside, file.sha256, kept)
        requires = [line for line in kept if name_in(line).startswith("nvidia-")]
    return Distribution(name=package.name, version=package.version, requires=tuple(requires))


def published(parts: Parts, target: Target, name: str) -> dict[Version, LockedFile]:
    """The stable releases of a project with the wheel of each that the target would take, ascending.

    Raises IndexUnreachable.
    """
    tags = target_tags(target)
    found: dict[Version, list[LockedFile]] = {}
    for file in parts.index(config_of(parts, target)).files(name):
        version = _version_of(file)
        python = file.requires_python
        if version is None or version.is_prerelease or file.yanked or not file.sha256:
            continue
        if python is None or allows(python, str(target.python)):
            found.setdefault(version, []).append(
                LockedFile(filename=file.filename, url=file.url, sha256=file.sha256, size=file.size)
            )
    best = {version: installable(files, tags) for version, files in found.items()}
    return {version: best[version][0] for version in sorted(best) if best[version]}


def holder_in(outside: Outside, index: Index, name: str, version: Version, file: LockedFile) -> Distribution:
    """As `holder_of`, of a wheel on the index."""
    package = LockedPackage(name=name, version=str(version), wheels=(file,))
    return holder_of(outside, index, package)


def _is_told(dist: Distribution) -> bool:
    """Whether its requirements are known: what lies in an interpreter has none where it states none."""
    return bool(dist.requires or dist.location)


def _completed(parts: Parts, here: Situation, dist: Distribution, *, offline: bool) -> Distribution:
    """The distribution with the requirements of its release on the index, or why there are none."""
    config = config_of(parts, here.target)
    asked = f"{dist.name} {dist.version} {here.target.feature} {config.index_url} {config.extra_index_urls}"
    key = hashlib.sha256(asked.encode()).hexdigest()
    kept = _kept(parts.outside, key)
    if kept is not None:
        return structs.replace(dist, requires=tuple(kept))
    if offline:
        return structs.replace(dist, unread=_NO_RUN)
    try:
        lines = _on_index(parts, here.target, dist)
    except EnvfixError as problem:
        return structs.replace(dist, unread=f"its METADATA cannot be read: {problem.message}")
    if lines is None:
        unread = f"the index has no wheel of {dist.name} {dist.version} for Python {here.target.feature}"
        return structs.replace(dist, unread=unread)
    _keep(parts.outside, key, lines)
    return structs.replace(dist, requires=tuple(lines))


def _on_index(parts: Parts, target: Target, dist: Distribution) -> list[str] | None:
    """The requirements of the release; of a local build (`2.6.0+cu124`) those of the release that it is made
    from where that is for the same CUDA."""
    files = published(parts, target, dist.name)
    try:
        version = Version(dist.version)
    except InvalidVersion:
        return None
    index = parts.index(config_of(parts, target))
    if version in files:
        return list(_stated(_metadata(index, files[version], dist.name)))
    public = Version(version.public)
    if public not in files:
        return None
    lines = list(_stated(_metadata(index, files[public], dist.name)))
    return lines if version.local in {f"cu{cuda}" for cuda in _cuda_of(lines)} else None


def _cuda_of(lines: Sequence[str]) -> Iterator[str]:
    """`124` where the lines pin the runtime of CUDA 12.4."""
    for line in lines:
        pinned = requirement(line)
        runtime = name_in(line).startswith("nvidia-cuda-runtime") or name_in(line) == "cuda-toolkit"
        for part in pinned.specifier if pinned and runtime else ():
            yield "".join(part.version.split(".")[:2])


def _metadata(index: Index | None, file: LockedFile, name: str) -> str:
    if index is None:
        raise IndexUnreachable(f"`--offline`, and no earlier run has read what {name} asks for")
    return index.metadata(IndexFile(file.filename, file.url, file.sha256, file.size, None, None, False))


def _stated(metadata: str) -> Iterator[str]:
    for line in metadata.partition("\n\n")[0].splitlines():
        if line.startswith("Requires-Dist:"):
            yield line.partition(":")[2].strip()


def _without_extra(line: str) -> str:
    """The requirement of an extra that asks for NVIDIA's wheels as if it always held."""
    parsed = requirement(line) if _EXTRA.search(line) else None
    return f"{parsed.name}{parsed.specifier}" if parsed else line


def _binding(lines: Sequence[str], machine: Machine) -> Iterator[str]:
    """What is asked of NVIDIA's wheels on this machine."""
    for line in map(_without_extra, lines):
        if name_in(line).startswith("nvidia-") and (";" not in line or counts(line, machine)):
            yield line


def _holds(line: str, target: Target) -> bool:
    parsed, found = requirement(line), target.version_of(name_in(line))
    return parsed is not None and (found is None or allows(str(parsed.specifier), found))


def _version_of(file: IndexFile) -> Version | None:
    """The version in a wheel's name."""
    parts = file.filename.split("-")
    if not file.filename.endswith(".whl") or len(parts) < 5:
        return None
    try:
        return Version(parts[1])
    except InvalidVersion:
        return None


def _kept(outside: Outside, key: str) -> list[str] | None:
    """What an earlier run read in the wheel with this digest, or of this release: it never changes."""
    try:
        first, *lines = outside.read_text(_place(key)).splitlines()
    except (OSError, ValueError):
        return None
    return lines if first == key else None


def _keep(outside: Outside, key: str, lines: Sequence[str]) -> None:
    # A cache that cannot be written costs the next run a request, and is no news to anybody.
    with contextlib.suppress(OSError):
        outside.make_dirs(_place(key).rpartition("/")[0])
        outside.write_text(_place(key), "\n".join([key, *lines]) + "\n")


def _place(key: str) -> str:
    """One of 256 files, so that the folder does not grow."""
    import platformdirs

    folder = platformdirs.user_cache_path("envfix", appauthor=False)
    return folder.joinpath("requirements", f"{key[:2]}.txt").as_posix()
