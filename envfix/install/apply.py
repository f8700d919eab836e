"""Install exactly what a plan changes, from its lock, every hash checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from packaging.specifiers import SpecifierSet

from envfix.errors import InstallFailed
from envfix.explanation import why_failed
from envfix.install.commands import Installer, UvInstaller
from envfix.install.disk import check_space
from envfix.install.lacking import hint_for
from envfix.install.transaction.ahead import Ahead
from envfix.install.transaction.change import Change
from envfix.install.transaction.journal import Moved
from envfix.install.warmth import uncached
from envfix.model.conflicts import in_the_way
from envfix.model.outcome import InstallResult
from envfix.model.plan import Lock, LockedPackage, Plan
from envfix.model.target import Target
from envfix.ports import Outside, Ran


class _Job(Struct, frozen=True, kw_only=True):
    """One install: what it works on, and what the environment was like before. `cache` is uv's, None where it
    keeps none or pip installs."""

    outside: Outside
    installer: Installer
    target: Target
    cache: str | None
    packages: tuple[LockedPackage, ...]
    removed: tuple[str, ...]
    repaired: frozenset[str]

    @property
    def affected(self) -> tuple[str, ...]:
        return (*(package.name for package in self.packages), *self.removed)


def apply(
    outside: Outside,
    lock: Lock,
    plan: Plan,
    installer: Installer,
    reread: Callable[[], Target],
    change: Change,
) -> InstallResult:
    """What was changed; `loader` is empty, for library discovery comes after.

    `installer` is for the target, which `reread` reads anew. Nothing is resolved: only the packages the plan
    changes are handed to it, each with its hashes. Raises InstallFailed and OSError, whereupon `change` puts
    things back.
    """
    packages, target = lock.changed_by(plan), installer.target
    if not packages:
        change.begin((), (), plan.breaks)  # the loader may be written yet
        return InstallResult(python=target.executable, changed=(), before={}, after={}, loader="")
    job = _job(outside, lock, packages, installer)
    check_space(
        outside,
        plan,
        target.purelib,
        installer=job.installer.name,
        cache=job.cache or outside.temporary_dir(),
        uncached=lambda: _uncached(job),
        kept=change.copied_bytes(job.affected),
    )
    _change(job, plan, change)
    change.installed({package.name: package.version for package in packages}, job.removed)
    return _result(job, reread())


def _job(outside: Outside, lock: Lock, packages: tuple[LockedPackage, ...], installer: Installer) -> _Job:
    target = installer.target
    everything = (package.name for package in lock.resolution.packages)
    same = (package.name for package in packages if target.version_of(package.name) == package.version)
    return _Job(
        outside=outside,
        installer=installer,
        cache=installer.kept_cache if isinstance(installer, UvInstaller) else None,
        target=target,
        packages=packages,
        removed=tuple(dist.name for dist in in_the_way(everything, target.installed)),
        repaired=frozenset(same),
    )


def _uncached(job: _Job) -> frozenset[str] | None:
    return uncached(job.installer, job.packages) if isinstance(job.installer, UvInstaller) else None


def _change(job: _Job, plan: Plan, change: Change) -> None:
    change.installer = job.installer.name
    if job.cache is None or not _links(job.outside, job.cache, job.target):
        _install(job, plan, change)
        return
    names = {package.name for package in job.packages}
    with Ahead(job.outside, job.cache, names, settles=change.lasts) as ahead:
        _install(job, plan, change)
    change.seals = tuple(ahead.seals)


def _links(outside: Outside, cache: str, target: Target) -> bool:
    """Whether uv's files in the target are those of its cache (uv's documentation, "Link mode")."""
    apart = outside.environ.get("UV_LINK_MODE", "") in ("copy", "symlink")
    return not apart and outside.device(cache) == outside.device(target.purelib)


def _install(job: _Job, plan: Plan, change: Change) -> None:
    if change.needs_fetch:
        job.outside.say("fetching everything before the first change ...")
        _finish(job, job.installer.fetch(job.packages), "download")
    change.begin(_moves(job), job.installer.arrives, plan.breaks)
    if job.removed:
        names = ", ".join(job.removed)
        # Removing comes first, or it would take files of what is installed.
        job.outside.say(f"uninstalling {names}: its files are in the same folder `tensorflow` ...")
        _finish(job, job.installer.uninstall(job.removed), "uninstall")
    _finish(job, job.installer.install(job.packages), "install")


def _moves(job: _Job) -> Sequence[Moved]:
    coming = {package.name: package.version for package in job.packages}
    return [Moved(name, job.target.version_of(name), coming.get(name)) for name in sorted(job.affected)]


def _finish(job: _Job, ran: Ran, what: str) -> None:
    if not ran.ok:
        hint = hint_for(job.installer, job.packages, ran)
        raise InstallFailed(f"{job.installer.name} could not {what}: {why_failed(ran)}", hint)


def _result(job: _Job, now: Target) -> InstallResult:
    """What is there now, which must be what was planned: an installer's exit code is not enough."""
    wrong = [
        f"{package.name} should be {package.version}, found {now.version_of(package.name) or 'none'}"
        for package in job.packages
        if not _is(now.version_of(package.name), package.version)
    ]
    wrong += [
        f"{name} should be gone, found {now.version_of(name)}" for name in job.removed if now.version_of(name)
    ]
    if wrong:
        raise InstallFailed(f"{job.installer.name} ended well, but {'; '.join(wrong)}")
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
