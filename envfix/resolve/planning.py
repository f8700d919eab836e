"""What a resolution would change in a target: the plan, its sizes, and what it would break."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix import cache
from envfix.errors import IndexUnreachable
from envfix.model import markers
from envfix.model.conflicts import in_the_way
from envfix.model.plan import (
    NEEDED,
    Break,
    Change,
    LockedFile,
    LockedPackage,
    Plan,
    PlannedPackage,
    Resolution,
)
from envfix.model.specifiers import NOT_VALID, name_in
from envfix.model.target import Target
from envfix.ports import Index, IndexFile, Outside

_CACHE = "unpacked-sizes.json"


def make_plan(
    resolution: Resolution, target: Target, because: Mapping[str, str], sizes: Mapping[str, int]
) -> Plan:
    """The plan, packages sorted by name.

    `because` maps names to reasons; `sizes` maps SHA-256 digests to unpacked bytes (`unpacked_sizes`).
    """
    removed = in_the_way((package.name for package in resolution.packages), target.installed)
    replaced = ", ".join(f"{dist.name} {dist.version}" for dist in removed)
    packages = []
    for package in resolution.packages:
        change = change_of(package, target.version_of(package.name))
        reason = because.get(package.name, NEEDED)
        if replaced and package.name.startswith("tensorflow") and package.name in because:
            reason = f"{reason}; {replaced} is uninstalled first, which installs the same import package"
        packages.append(
            PlannedPackage(
                name=package.name,
                version=package.version,
                size=0 if change is Change.KEEP else download_size(best_file(package)),
                change=change,
                because=reason,
            )
        )
    changed = [
        package
        for package, planned in zip(resolution.packages, packages, strict=True)
        if planned.change is not Change.KEEP
    ]
    return Plan(
        packages=tuple(packages),
        download_bytes=_total(download_size(best_file(package)) for package in changed),
        installed_bytes=_total(sizes.get(best_file(package).sha256) for package in changed),
        breaks=_breaks(target, changed, frozenset(dist.name for dist in removed)),
    )


def change_of(package: LockedPackage, installed: str | None) -> Change:
    """What installing the pin means where `installed` is there now.

    An installed local version (`2.6.0+cu124`) satisfies the pin `2.6.0` (PEP 440, version matching).
    """
    if installed is None:
        return Change.ADD
    try:
        found = Version(installed)
    except ValueError:
        return Change.UPGRADE  # from before PEP 440: whatever it is, it is not the pin
    if SpecifierSet(f"=={package.version}").contains(found, prereleases=True):
        return Change.KEEP
    return Change.UPGRADE if Version(package.version) > found else Change.DOWNGRADE


def best_file(package: LockedPackage) -> LockedFile:
    """The file an installer takes: the first wheel, else the source distribution."""
    file = package.wheels[0] if package.wheels else package.sdist
    assert file is not None, f"{package.name} was resolved without a file"
    return file


def download_size(file: LockedFile) -> int | None:
    """Bytes over the network for the file: none for one that lies on this machine."""
    return 0 if file.url.startswith("file:") else file.size


def _total(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _breaks(target: Target, changed: Iterable[LockedPackage], removed: frozenset[str]) -> tuple[Break, ...]:
    """Requirements of what stays that hold today and would not hold after the change."""
    after: dict[str, str | None] = {package.name: package.version for package in changed}
    staying = [dist for dist in target.installed if dist.name not in after and dist.name not in removed]
    after.update(dict.fromkeys(removed))
    now_there = {dist.name: dist.version for dist in target.installed if dist.name in after}
    environment = marker_environment(target)
    found = []
    for dist in staying:
        for line in dist.requires:
            name = name_in(line)
            before = now_there.get(name)
            if before is None or not _applies(line, environment):
                continue
            specifier = Requirement(line).specifier
            then = after[name]
            if specifier.contains(before, prereleases=True) and not (
                then is not None and specifier.contains(then, prereleases=True)
            ):
                found.append(
                    Break(
                        package=f"{dist.name} {dist.version}",
                        requirement=line,
                        found=f"{name} {then}" if then else f"{name} is uninstalled",
                    )
                )
    return tuple(found)


def _applies(line: str, environment: Mapping[str, str]) -> bool:
    """Whether a Requires-Dist line counts for the target; one that is not valid binds nobody."""
    try:
        requirement = Requirement(line)
    except NOT_VALID:
        return False
    return requirement.marker is None or requirement.marker.evaluate(dict(environment))


def marker_environment(target: Target) -> dict[str, str]:
    """The values of the environment markers in the target."""
    return markers.marker_environment(target.os, target.arch, target.python, target.implementation)


def unpacked_sizes(
    outside: Outside, index: Callable[[], Index] | None, resolution: Resolution, target: Target
) -> Mapping[str, int]:
    """SHA-256 to unpacked bytes of the wheels that would change, from their central directories.

    A wheel's content never changes, so sizes are kept in the user's cache; without an index they come from
    there alone, and one is made only where some are not there. What cannot be read is left out.
    Raises IndexUnreachable when not one of them can be read.
    """
    files = [
        package.wheels[0]
        for package in resolution.packages
        if package.wheels and change_of(package, target.version_of(package.name)) is not Change.KEEP
    ]
    path = cache.place(outside, _CACHE)
    known = _cached(outside, path)
    missing = [file for file in files if file.sha256 not in known]
    if missing and index is not None:
        fresh, problem = _measure(index(), missing)
        if problem is not None and not fresh:
            raise problem
        known.update(fresh)
        _keep(outside, path, known)
    return {file.sha256: known[file.sha256] for file in files if file.sha256 in known}


def _measure(index: Index, files: list[LockedFile]) -> tuple[dict[str, int], IndexUnreachable | None]:
    problems: list[IndexUnreachable] = []

    def one(file: LockedFile) -> int | None:
        try:
            return sum(index.members(_indexed(file)).values())
        except IndexUnreachable as problem:
            problems.append(problem)
            return None

    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(one, files))
    fresh = {file.sha256: size for file, size in zip(files, sizes, strict=True) if size is not None}
    return fresh, problems[0] if problems else None


def _indexed(file: LockedFile) -> IndexFile:
    return IndexFile(
        filename=file.filename,
        url=file.url,
        sha256=file.sha256,
        size=file.size,
        requires_python=None,
        upload_time=None,
        yanked=False,
    )


def _cached(outside: Outside, path: str) -> dict[str, int]:
    try:
        data = json.loads(cache.kept(outside, path) or b"{}")
    except (ValueError, RecursionError):
        return {}  # half a cache: measured again
    if not isinstance(data, dict):
        return {}
    return {key: value for key, value in data.items() if isinstance(value, int)}


def _keep(outside: Outside, path: str, known: Mapping[str, int]) -> None:
    try:
        cache.keep(outside, path, json.dumps(dict(sorted(known.items()))).encode(), lasting=False)
    except OSError as problem:
        outside.say(
            f"warning: `{path}` cannot be written, sizes are read again next time: {problem.strerror}"
        )
