"""The restart as envfix's last act, and what is still owed after one."""

from __future__ import annotations

import os.path
import shlex
from collections.abc import Callable

from msgspec import structs

from envfix.model.outcome import NotebookKernel, RestartAdvice, RestartBy, Verification
from envfix.model.request import Accelerator
from envfix.model.results import Installed, Report, Verified
from envfix.model.target import Kernel
from envfix.ports import KernelHost, Outside
from envfix.probe.kernel import ancestors, find_kernel
from envfix.probe.session import read_platform
from envfix.restart import owed, watched

# Restarts the kernel, and returns why that did not work.
LastAct = Callable[[], str]
FAILED = "verification failed, which a restart would not mend: the kernel is left as it is"


def prepared(
    outside: Outside, host: KernelHost, done: Installed, mode: str, *, within: bool = False
) -> tuple[Installed, LastAct | None]:
    """The outcome with what is known of the kernel, what is owed, and what `--restart` makes of it; and the
    restart itself, to be done when everything is said. A kernel that asks from `within` Python sees to that
    itself (`envfix.notebook.restarting`)."""
    running = find_kernel(outside)
    done = structs.replace(done, kernel=_kernel(outside, running, done.python))
    if done.dry_run:
        return done, None
    release, verify = f"{done.package} {done.tensorflow}", _verify(done.python, done.accelerator)
    advice = settled(outside, done.python, release, done.restart, done.verification, verify)
    done = structs.replace(done, restart=advice)
    if advice is None or advice.needed is False:
        return done, None
    if running is not None:
        platform, starter = _session(outside, running)
        advice = structs.replace(
            advice, how=watched.instead(outside.environ, platform, starter) or advice.how
        )
    if within:
        return structs.replace(done, restart=_by_itself(outside, running, done, advice, mode)), None
    advice, act = _settled_by(outside, host, done, running, advice, mode)
    if advice.by is None and advice.needed and running is not None:
        advice = structs.replace(advice, run_all=_run_all(outside, running, mode))
    return structs.replace(done, restart=advice), act


def _settled_by(
    outside: Outside,
    host: KernelHost,
    done: Installed,
    running: Kernel | None,
    advice: RestartAdvice,
    mode: str,
) -> tuple[RestartAdvice, LastAct | None]:
    """The advice with whether envfix restarts the kernel, and the restart."""
    if mode != "auto":
        return advice, None
    if running is None or advice.kernel_pid not in (None, running.pid):
        return structs.replace(advice, not_done="envfix was not started from that kernel"), None
    if done.exit_code:
        return structs.replace(advice, not_done=FAILED), None
    platform, _ = read_platform(outside, running)
    way = watched.way(outside, host, platform, running, ancestors(outside, running.pid))
    advice = structs.replace(advice, done=way.by is not None, by=way.by, not_done=way.not_done)
    return advice, _act(host, running, way)


def _session(outside: Outside, running: Kernel) -> tuple[object, str]:
    """The platform, and the program that started the kernel."""
    return read_platform(outside, running)[0], watched.starter_of(ancestors(outside, running.pid))


def _by_itself(
    outside: Outside, running: Kernel | None, done: Installed, advice: RestartAdvice, mode: str
) -> RestartAdvice:
    """The advice to a kernel that asks from within: with `auto` it ends after the cell, where it may."""
    if mode != "auto" or advice.needed is not True or done.exit_code or running is None:
        return advice
    if why := watched.alone(outside.environ, *_session(outside, running)):
        return structs.replace(advice, not_done=why)
    return structs.replace(advice, done=True, by=RestartBy.KERNEL_SHUTDOWN)


def _run_all(outside: Outside, running: Kernel, mode: str) -> str:
    """That the cells behind run all the same (IPython goes on after any exit code), and what stops them."""
    platform, starter = _session(outside, running)
    if watched.runs_through(outside.environ, platform, starter):
        return "the cells behind this one run with the old libraries"
    stops = "`%load_ext envfix` and `%envfix install` in place of `!envfix install` stop it there"
    if mode != "auto" and watched.promising(outside.environ, platform, starter):
        stops += ", and `--restart auto` restarts the kernel"
    return f'"Run all" goes on with the old libraries: {stops}'


def _verify(python: str, accelerator: str) -> str:
    cpu = ["--accelerator", "cpu"] if accelerator == Accelerator.CPU.value else []
    return shlex.join(["envfix", "verify", "--python", python, *cpu])


def left_alone(done: Installed, problem: str) -> Installed:
    """The outcome where the last act did not work."""
    if done.restart is None:
        return done
    return structs.replace(done, restart=structs.replace(done.restart, done=False, by=None, not_done=problem))


def settled(
    outside: Outside,
    python: str,
    release: str,
    advice: RestartAdvice | None,
    verification: Verification | None,
    verify: str = "envfix verify",
) -> RestartAdvice | None:
    """The advice with what an earlier restart owes: `python` was verified just now, or is still to be, with
    the command line `verify`."""
    if advice is not None and advice.needed is not False:
        owed.mark(outside, owed.owed_of(outside, python, release, advice, verify))
        return structs.replace(advice, owed=True)
    earlier = owed.pending(outside, python)
    if earlier is None:
        return advice
    if owed.still_runs(outside, earlier):
        return earlier.advice
    if verification is None:
        reason = "the kernel that held the old libraries has ended; what is there now is not verified yet"
        return RestartAdvice(needed=False, reason=reason, how=earlier.verify, owed=True)
    if not verification.passed:
        return advice
    owed.settle(outside, earlier)
    reason = f"the kernel that held the old libraries has ended, and {release} is verified"
    return RestartAdvice(needed=False, reason=reason, owed=False)


def verified(outside: Outside, done: Verified) -> Verified:
    """The verification with the word on a restart that was owed."""
    proof = done.verification
    release = f"tensorflow {proof.tensorflow or '?'}"
    return structs.replace(done, restart=settled(outside, proof.python, release, None, proof))


def reported(outside: Outside, report: Report) -> Report:
    """The report with a reminder of what is owed."""
    earlier = owed.pending(outside, report.python) if report.python else None
    if earlier is None:
        return report
    if owed.still_runs(outside, earlier):
        how = f": {earlier.advice.how}" if earlier.advice.how else ""
        may = "is still" if earlier.advice.needed else "may still have"
        text = f"the notebook's kernel {may} to be restarted after the last install{how}"
    else:
        text = f"the kernel was restarted after {earlier.release} was installed: `{earlier.verify}` proves it"
    return structs.replace(report, advice=(*report.advice, text))


def _act(host: KernelHost, running: Kernel, way: watched.Way) -> LastAct | None:
    if way.by is RestartBy.KERNEL_ENDED:
        return lambda: host.end(running.pid)
    server = way.server
    return None if server is None else lambda: host.restart(server, way.kernel, running.pid)


def _kernel(outside: Outside, running: Kernel | None, python: str) -> NotebookKernel | None:
    if running is None:
        return None
    return NotebookKernel(pid=running.pid, python=running.python, same=_same(outside, running.python, python))


def _same(outside: Outside, one: str, other: str) -> bool:
    """Whether two interpreters import from the same folders: of one prefix, or one program by two names
    where neither is a virtual environment's (documentation of `venv`: `pyvenv.cfg`)."""
    prefixes = [os.path.dirname(os.path.dirname(path)) for path in (one, other)]  # noqa: PTH120
    if outside.realpath(prefixes[0]) == outside.realpath(prefixes[1]):
        return True
    virtual = any(outside.exists(f"{prefix}/pyvenv.cfg") for prefix in prefixes)
    return not virtual and outside.realpath(one) == outside.realpath(other)
