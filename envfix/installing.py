"""Making an environment right: decide, lock, change it, make its libraries findable, prove it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec import structs

from envfix.aftercare import renamed_kernels, still_held
from envfix.aside import Aside
from envfix.choice import Choice, Lacks
from envfix.choosing import choice_of_lock, choose
from envfix.deciding import refuse_without_gpu, settled
from envfix.errors import EnvfixError
from envfix.future import knowing, knowing_locked
from envfix.install.transaction.change import Contended
from envfix.lock import check as lock_check
from envfix.lock import pylock
from envfix.matrix import load
from envfix.mending import look, put_right
from envfix.model.matrix import Matrix
from envfix.model.plan import Plan
from envfix.model.request import Accelerator, InstallOptions, Request
from envfix.model.results import Installed
from envfix.neighbours import refuse_companions
from envfix.notes import notes_of
from envfix.performing import Work, add_missing_loader, install_packages
from envfix.proving import driver_stub, proven
from envfix.provision import from_folders
from envfix.refusing import asked, asked_elsewhere
from envfix.situation import Parts, Situation, Where, complete
from envfix.solution import plan_of_keeping
from envfix.standing import unjudged
from envfix.together import decide_together

NO_PLAN = Plan(packages=(), download_bytes=0, installed_bytes=0)


def install(parts: Parts, request: Request, where: Where, options: InstallOptions) -> Installed:
    """Make the environment right and prove it; an environment that is right already is left untouched.

    What an earlier change left half done is put back first. Where another envfix has changed the environment
    meanwhile, everything is decided anew.
    """
    while True:
        try:
            return _install(parts, request, where, options)
        except Contended:
            parts.outside.say("the environment has changed meanwhile: deciding anew ...")
        except EnvfixError as error:
            error.hint = error.hint and asked_elsewhere(error.hint, request, where.machine, options.lock)
            raise


def _install(parts: Parts, request: Request, where: Where, options: InstallOptions) -> Installed:
    made = pylock.read_lock(parts.outside, options.lock) if options.lock else None
    if made is not None:
        request = structs.replace(request, accelerator=Accelerator(made.floors.accelerator))
    # Read while the machine answers.
    reading = Aside.begun(partial(load.load, parts.outside, parts.matrix_dir))
    here = look(parts, where, to_install=True) if options.dry_run else put_right(parts, where, makes=True)
    refuse_without_gpu(here, request)
    matrix = reading.result()
    here = complete(here, matrix)
    request = settled(request, here, matrix)
    refuse_companions(here.target, request)
    if made is not None:
        matrix = knowing_locked(parts, here, matrix, made, request.offline)
        anew = here.lock_command(made.options)
        notes = lock_check.check_lock(made, here.machine, here.target, matrix.digest, anew)
        choice = choice_of_lock(parts, here, matrix, made)
        made = from_folders(parts, here, made)
    else:
        matrix = knowing(parts, here, matrix, request)
        if newer := unjudged(here, matrix, request):
            return _left_alone(parts, here, where, options, request, matrix, newer)
        request, here, choice, notes = _decided(parts, here, matrix, request)

    plan = plan_of_keeping(choice, here.target)
    installed = _kept(parts, here, request, choice.candidate.name, choice.accelerator, plan, notes, options)
    folder = driver_stub(parts, here, choice.accelerator, options.proves)
    work = Work(parts, here, matrix, request, where, options, choice)
    if choice.lacks is Lacks.PACKAGES:
        installed = install_packages(work, made, installed)
        if not options.dry_run:
            kernels = renamed_kernels(parts, installed.python, installed.tensorflow)
            installed = structs.replace(installed, kernelspecs=kernels)
    elif choice.lacks is Lacks.LOADER:
        installed = add_missing_loader(work, installed)
    return _proven(parts, here, matrix, where, options, installed, choice.accelerator, folder)


def _decided(
    parts: Parts, here: Situation, matrix: Matrix, request: Request
) -> tuple[Request, Situation, Choice, tuple[str, ...]]:
    """What to have, beside what is there and what `--with` brings, and what is to be said of it."""
    found = decide_together(parts, here, matrix, request)
    request, here, decision = found.request, found.here, found.decision
    choice = choose(parts, here, matrix, request, decision)
    return request, here, choice, notes_of(here, matrix, request, decision, choice)


def _left_alone(
    parts: Parts,
    here: Situation,
    where: Where,
    options: InstallOptions,
    request: Request,
    matrix: Matrix,
    newer: str,
) -> Installed:
    """The outcome for a TensorFlow that the matrix is too old to judge."""
    name = f"{request.tf.package} {newer}"
    note = f"{name} is newer than this matrix ({matrix.date}): left as it is, only verified"
    kept = _kept(parts, here, request, name, request.accelerator, NO_PLAN, (note,), options)
    folder = driver_stub(parts, here, request.accelerator, options.proves)
    return _proven(parts, here, matrix, where, options, kept, request.accelerator, folder)


def _proven(
    parts: Parts,
    here: Situation,
    matrix: Matrix,
    where: Where,
    options: InstallOptions,
    installed: Installed,
    accelerator: Accelerator,
    folder: str | None,
) -> Installed:
    """The outcome with its verification, where one is wanted."""
    if not options.proves:
        return installed
    again = where.verify_command(installed.python, accelerator)
    return proven(parts, here, matrix, installed, accelerator, options.timeout, folder, again)


def _kept(
    parts: Parts,
    here: Situation,
    request: Request,
    name: str,
    accelerator: Accelerator,
    plan: Plan,
    notes: Sequence[str],
    options: InstallOptions,
) -> Installed:
    """The outcome as long as nothing is changed."""
    package, _, version = name.partition(" ")
    return Installed(
        machine=here.machine,
        python=here.target.executable,
        tensorflow=version,
        package=package,
        asked=asked(here, request),
        accelerator=accelerator.value,
        plan=plan,
        notes=tuple(note for note in notes if note),
        restart=None if options.dry_run else still_held(parts, here),
        dry_run=options.dry_run,
    )
