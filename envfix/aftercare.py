"""What follows the packages: the CUDA libraries made findable, and the word on the restart."""

from __future__ import annotations

from msgspec import structs

from envfix.choice import Choice
from envfix.circumstances import told
from envfix.install import kernelspec, loader
from envfix.install.transaction.change import Change
from envfix.install.transaction.journal import Moved
from envfix.model.outcome import InstallResult, KernelspecChange, RestartAdvice
from envfix.model.request import Accelerator
from envfix.probe import kernel, session
from envfix.restart import stale
from envfix.situation import Parts, Situation
from envfix.standing import library_folders


def restart_advice(
    parts: Parts, here: Situation, choice: Choice, result: InstallResult, venv_made: bool
) -> RestartAdvice:
    """About the session envfix really runs in, whatever machine was named; before the loader is installed."""
    if venv_made:
        return RestartAdvice(needed=False, reason="the environment is new, nothing runs in it yet")
    running = kernel.find_kernel(parts.outside)
    platform, _ = session.read_platform(parts.outside, running)
    changed = list(result.changed)
    if choice.accelerator is not Accelerator.CPU and not loader.is_there(parts.outside, here.target):
        changed.append(loader.NAME)
    # Not the loader: a kernel that started before it was there does without it.
    added = [name for name in result.changed if result.before.get(name) is None]
    return stale.advise(parts.outside, running, platform, changed, here.site_packages, added, parts.caller)


def still_held(parts: Parts, here: Situation) -> RestartAdvice | None:
    """Where nothing is to be changed: the advice to restart a kernel that holds what was replaced before, by
    another notebook maybe; None where it holds nothing of that."""
    running = kernel.find_kernel(parts.outside)
    if running is None:
        return None
    platform, _ = session.read_platform(parts.outside, running)
    advice = stale.still_holds(parts.outside, running, platform, here.site_packages)
    if advice is None and (held := told(parts, here, running)):
        reason, how = f"the kernel holds {'; '.join(map(str, held))}", stale.how(platform)
        return RestartAdvice(needed=True, reason=reason, how=how, kernel_pid=running.pid)
    return advice


def install_loader(parts: Parts, here: Situation, choice: Choice) -> str:
    """Make the CUDA libraries findable by a plain `import tensorflow`; what was done, in words."""
    if choice.accelerator is Accelerator.CPU:
        return ""
    return loader.install(parts.outside, here.target, library_folders(parts.outside, here, choice))


def renamed_kernels(parts: Parts, python: str, tensorflow: str) -> tuple[KernelspecChange, ...]:
    """The kernels of the interpreter that now name the release it has; what cannot be written is said."""
    try:
        return kernelspec.rename(parts.outside, python, tensorflow)
    except OSError as problem:
        parts.outside.say(
            f"warning: a Jupyter kernel still names what is gone: `{problem.filename}`: {problem.strerror}"
        )
        return ()


def add_loader(
    parts: Parts, here: Situation, choice: Choice, change: Change
) -> tuple[InstallResult, RestartAdvice]:
    """Only the loader is missing: nothing is resolved or downloaded for it."""
    before = here.target.version_of(loader.NAME)
    change.begin((Moved(loader.NAME, before, loader.VERSION),), ())
    nothing = InstallResult(python=here.target.executable, changed=(), before={}, after={}, loader="")
    restart = restart_advice(parts, here, choice, nothing, venv_made=False)
    said = loader.install(parts.outside, here.target, library_folders(parts.outside, here, choice))
    result = structs.replace(
        nothing,
        changed=(loader.NAME,),
        before={loader.NAME: before},
        after={loader.NAME: loader.VERSION},
        loader=said,
    )
    return result, restart
