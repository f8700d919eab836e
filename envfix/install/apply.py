"""Install exactly what a plan changes, from its lock, every hash checked; and say truthfully how it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from msgspec import Struct
from packaging.specifiers import SpecifierSet

from envfix.errors import EnvfixError, EnvironmentChanged, InputError, InstallFailed, Interrupted
from envfix.explanation import why_failed
from envfix.install.commands import Installer, UvInstaller, installer_named
from envfix.install.disk import check_space
from envfix.install.fingerprint import Fingerprint, take
from envfix.install.warmth import uncached
from envfix.model.conflicts import in_the_way
from envfix.model.outcome import InstallResult
from envfix.model.plan import Lock, LockedPackage, Plan
from envfix.model.target import PipConfig, Target
from envfix.ports import Outside, Ran


class Manner(Struct, frozen=True, kw_only=True):
    """How to install.

    `installer` is `uv` or `pip`. `from_urls`: the lock is one the user named, whose files may be of another
    index. A `disposable` target was made for this install, and the caller removes it when `apply` raises: it
    is never said to be changed. `again` is the command line that finishes what was interrupted.
    """

    installer: str = "uv"
    offline: bool = False
    break_system_packages: bool = False
    from_urls: bool = False
    disposable: bool = False
    again: str = "envfix install"


class _Job(Struct, frozen=True, kw_only=True):
    """One install: what it works on, and what the environment was like before."""

    outside: Outside
    installer: Installer
    target: Target
    packages: tuple[LockedPackage, ...]
    removed: tuple[str, ...]
    repaired: frozenset[str]
    before: Fingerprint
    reread: Callable[[], Target]
    disposable: bool
    again: str

    @property
    def affected(self) -> tuple[str, ...]:
        return (*(package.name for package in self.packages), *self.removed)


def apply(
    outside: Outside,
    lock: Lock,
    plan: Plan,
    target: Target,
    config: PipConfig,
    manner: Manner,
    reread: Callable[[], Target],
) -> InstallResult:
    """What was changed; `loader` is empty, for library discovery comes after.

    `reread` reads the target anew. Nothing is resolved: only the packages the plan changes are handed to the
    installer, each with its hashes. Raises InstallFailed when the environment is as it was,
    EnvironmentChanged when it is not, Interrupted after Ctrl-C, InputError for a read-only environment.
    """
    changing = {package.name for package in plan.changes}
    packages = tuple(package for package in lock.resolution.packages if package.name in changing)
    if not packages:
        return InstallResult(python=target.executable, changed=(), before={}, after={}, loader="")
    installer = _installer(outside, target, config, manner)
    _check_room(outside, plan, target, installer, packages)
    everything = (package.name for package in lock.resolution.packages)
    removed = tuple(dist.name for dist in in_the_way(everything, target.installed))
    same = (package.name for package in packages if target.version_of(package.name) == package.version)
    job = _Job(
        outside=outside,
        installer=installer,
        target=target,
        packages=packages,
        removed=removed,
        repaired=frozenset(same),
        before=take(outside, target, (*changing, *removed)),
        reread=reread,
        disposable=manner.disposable,
        again=manner.again,
    )
    return _run(job)


@contextlib.contextmanager
def finishing(result: InstallResult, manner: Manner) -> Iterator[None]:
    """Around what follows the packages: Ctrl-C in it raises EnvironmentChanged, with what finishes it.

    Where no package was changed, or the caller removes the whole environment, KeyboardInterrupt passes.
    """
    try:
        yield
    except KeyboardInterrupt:
        if manner.disposable or not result.changed:
            raise
        changed = ", ".join(_step(name, result.before[name], result.after[name]) for name in result.changed)
        raise EnvironmentChanged(
            f"interrupted; the packages are installed, but not all that follows is done: {changed}",
            manner.again,
        ) from None


def _installer(outside: Outside, target: Target, config: PipConfig, manner: Manner) -> Installer:
    return installer_named(
        manner.installer,
        outside,
        target,
        config,
        offline=manner.offline,
        break_system_packages=manner.break_system_packages,
        from_urls=manner.from_urls,
    )


def _run(job: _Job) -> InstallResult:
    try:
        try:
            _change(job)
        except OSError as problem:
            _failed(job, f"`{problem.filename}` cannot be written: {problem.strerror or problem}")
        return _result(job)
    except KeyboardInterrupt:
        # Also while the result is read, which takes seconds: the packages are in by then.
        _interrupted(job)


def _change(job: _Job) -> None:
    if job.removed:
        names = ", ".join(job.removed)
        # Removing comes first, or it would take files of what is installed; fetching before both.
        job.outside.say(f"downloading everything before {names} is uninstalled ...")
        _finish(job, job.installer.fetch(job.packages), "download")
        job.outside.say(f"uninstalling {names}: its files are in the same folder `tensorflow` ...")
        _finish(job, job.installer.uninstall(job.removed), "uninstall")
    _finish(job, job.installer.install(job.packages), "install")


def _finish(job: _Job, ran: Ran, what: str) -> None:
    if not ran.ok:
        _failed(job, f"{job.installer.name} could not {what}: {why_failed(ran)}")


def _failed(job: _Job, message: str) -> NoReturn:
    """End with what is true of the environment now."""
    raise _outcome(job, message, InstallFailed)


def _interrupted(job: _Job) -> NoReturn:
    raise _outcome(job, "interrupted", Interrupted) from None


def _outcome(job: _Job, message: str, unchanged: type[EnvfixError]) -> EnvfixError:
    """`unchanged` when the environment is as it was, else EnvironmentChanged with what finishes it."""
    if job.disposable:
        return unchanged(f"{message}; the new environment is removed again")
    try:
        now = job.reread()
        same = take(job.outside, now, job.affected) == job.before
    except EnvfixError as problem:
        return _unreadable(job, message, problem)
    except KeyboardInterrupt:
        # Pressed again: what is not known to be as it was is said to be changed.
        return EnvironmentChanged(
            f"{message}; the environment may be changed: it was not looked at", job.again
        )
    if same:
        return unchanged(f"{message}; the environment is as it was")
    changed = ", ".join(_differences(job, now)) or "files were left behind or are gone"
    return EnvironmentChanged(f"{message}; the environment is changed: {changed}", job.again)


def _unreadable(job: _Job, message: str, problem: EnvfixError) -> EnvironmentChanged:
    return EnvironmentChanged(
        f"{message}; the environment cannot be read any more: {problem.message}", job.again
    )


def _differences(job: _Job, now: Target) -> list[str]:
    found = []
    for name in job.affected:
        before, after = job.target.version_of(name), now.version_of(name)
        if before != after:
            found.append(_step(name, before, after))
    return found


def _step(name: str, before: str | None, after: str | None) -> str:
    return f"{name} {before or 'was not there'} -> {after or 'gone'}"


def _result(job: _Job) -> InstallResult:
    """What is there now, which must be what was planned: an installer's exit code is not enough."""
    try:
        now = job.reread()
    except EnvfixError as problem:
        ended = f"{job.installer.name} ended well"
        if job.disposable:
            _failed(job, f"{ended}, but the new environment cannot be read: {problem.message}")
        raise _unreadable(job, ended, problem) from problem
    wrong = [
        f"{package.name} should be {package.version}, found {now.version_of(package.name) or 'none'}"
        for package in job.packages
        if not _is(now.version_of(package.name), package.version)
    ]
    wrong += [
        f"{name} should be gone, found {now.version_of(name)}" for name in job.removed if now.version_of(name)
    ]
    if wrong:
        _failed(job, f"{job.installer.name} ended well, but {'; '.join(wrong)}")
    names = [
        name
        for name in job.affected
        if job.target.version_of(name) != now.version_of(name) or name in job.repaired
    ]
    return InstallResult(
        python=job.target.executable,
        changed=tuple(sorted(names)),
        before={name: job.target.version_of(name) for name in sorted(names)},
        after={name: now.version_of(name) for name in sorted(names)},
        loader="",
    )


def _is(found: str | None, pin: str) -> bool:
    return found is not None and SpecifierSet(f"=={pin}").contains(found, prereleases=True)


def _check_room(
    outside: Outside, plan: Plan, target: Target, installer: Installer, packages: Sequence[LockedPackage]
) -> None:
    """Raises InputError for a read-only environment, InstallFailed for a disk that is too small."""
    _check_writable(outside, target)
    check_space(
        outside,
        plan,
        target.purelib,
        installer=installer.name,
        uncached=lambda: uncached(installer, packages) if isinstance(installer, UvInstaller) else None,
    )


def _check_writable(outside: Outside, target: Target) -> None:
    for folder in dict.fromkeys((target.purelib, target.platlib)):
        if not outside.writable(folder):
            raise InputError(f"`{folder}` cannot be written by this user", "envfix install --venv .venv")
