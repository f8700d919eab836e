"""Doing what was decided: resolve, plan, show, install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from msgspec import Struct, structs

from envfix.aftercare import add_loader, install_loader, restart_advice
from envfix.aside import Aside
from envfix.attesting import attestations_of
from envfix.choice import Choice
from envfix.environment import Admission, admit, environment, read_again
from envfix.install import apply
from envfix.install.commands import Installer, installer_named
from envfix.install.transaction.undoable import changing
from envfix.model.attestation import Attestations
from envfix.model.matrix import Matrix
from envfix.model.plan import Lock, Plan
from envfix.model.request import InstallOptions, Request, ResolverName
from envfix.model.results import Installed
from envfix.neighbours import harm_of
from envfix.situation import Parts, Situation, Where, config_of
from envfix.solution import make_lock, plan_of, solve, with_loader


class Work(Struct, frozen=True):
    """What an install works on, once it is decided."""

    parts: Parts
    here: Situation
    matrix: Matrix
    request: Request
    where: Where
    options: InstallOptions
    choice: Choice

    def plan_in(self, here: Situation, lock: Lock) -> Plan:
        """What the lock changes there."""
        return plan_of(self.parts, here, self.choice, lock.resolution, offline=self.request.offline)


class _Planned(Struct, frozen=True):
    """What is to be installed, what that changes, and what is attested of it."""

    lock: Lock
    plan: Plan
    attested: Attestations | None


def install_packages(work: Work, lock: Lock | None, installed: Installed) -> Installed:
    """Lock, plan, show, install, make the libraries findable, advise on the restart.

    Where nobody is asked, a new environment is made while the resolver works; it is gone again where the
    plan is refused.
    """
    parts, options = work.parts, work.options
    admission = admit(parts, work.here, work.where, options)
    planning = Aside.begun(partial(_planned, work, lock))
    # Of what does not verify nothing is made, not even the environment for it.
    before = options.asks or options.dry_run or work.request.attestations
    if before:
        installed = _shown(work, planning.result(), installed)
    if options.dry_run:
        return installed
    with _environment(work, admission, planning) as (here, new):
        installer = _installer(work, here, admission)
        installer.prepare()
        planned = planning.result()
        installed = installed if before else _shown(work, planned, installed)
        # A new environment is seeded with pip, so the plan for an empty one may be too long now.
        plan = work.plan_in(here, planned.lock) if new else planned.plan
        reread = partial(read_again, parts, here)
        with changing(parts.outside, here.target, reread, disposable=new) as step:
            result = apply.apply(parts.outside, planned.lock, plan, installer, reread, step)
            restart = restart_advice(parts, here, work.choice, result, new)
            result = structs.replace(result, loader=install_loader(parts, here, work.choice))
    return structs.replace(
        installed,
        python=here.target.executable,
        plan=plan,
        result=result,
        transaction=str(step.number or ""),
        restart=restart,
    )


@contextmanager
def _environment(
    work: Work, admission: Admission, planning: Aside[_Planned]
) -> Iterator[tuple[Situation, bool]]:
    """The environment to work in. Where that goes wrong, the resolver is not left at work."""
    outside, offline = work.parts.outside, work.request.offline
    made = environment(work.parts, work.here, admission.place, offline=offline, before_asking=planning.result)
    try:
        with made as found:
            yield found
    except BaseException:
        outside.end_children()
        raise


def _planned(work: Work, lock: Lock | None) -> _Planned:
    parts, here, choice = work.parts, work.here, work.choice
    if lock is None:
        parts.outside.say(f"resolving {choice.candidate.name} for Python {here.target.feature} ...")
        lock = make_lock(here, work.matrix, choice, solve(parts, here, work.request, choice))
    plan = work.plan_in(here, lock)
    return _Planned(lock, plan, attestations_of(parts, here, work.request, lock.changed_by(plan)))


def _shown(work: Work, planned: _Planned, installed: Installed) -> Installed:
    """The outcome as it is planned; a person has agreed to it. Raises what forbids it."""
    plan, options = planned.plan, work.options
    installed = structs.replace(installed, plan=plan, attestations=planned.attested)
    harm = harm_of(plan, work.here.target, work.request, locked=options.lock is not None)
    if options.dry_run:
        notes = (*installed.notes, f"not done without consent: {harm.message}") if harm else installed.notes
        return structs.replace(installed, notes=notes)
    if harm:
        raise harm
    options.approve(installed)
    return installed


def _installer(work: Work, here: Situation, admission: Admission) -> Installer:
    return installer_named(
        "pip" if work.request.resolver is ResolverName.PIP_TOOLS else "uv",
        work.parts.outside,
        here.target,
        config_of(work.parts, here.target),
        offline=work.request.offline,
        break_system_packages=admission.managed,
        from_urls=work.options.lock is not None,
    )


def add_missing_loader(work: Work, installed: Installed) -> Installed:
    """Only the loader is missing: show it, add it, advise on the restart."""
    admit(work.parts, work.here, work.where, work.options)
    installed = structs.replace(installed, plan=with_loader(installed.plan, work.here.target))
    if work.options.dry_run:
        return installed
    work.options.approve(installed)
    reread = partial(read_again, work.parts, work.here)
    with changing(work.parts.outside, work.here.target, reread) as step:
        result, restart = add_loader(work.parts, work.here, work.choice, step)
    return structs.replace(installed, result=result, transaction=str(step.number or ""), restart=restart)
