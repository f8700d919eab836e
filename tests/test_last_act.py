"""What `--restart` makes of an install in a notebook's `!`, and the restart as the last thing done."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from envfix import restarting
from envfix.model.decision import Decision
from envfix.model.machine import Machine
from envfix.model.outcome import Check, Proof, RestartAdvice, RestartBy, Status, Verification
from envfix.model.plan import Plan
from envfix.model.results import Installed, Report, Verified
from envfix.ports import KernelHost, Server
from envfix.render import text
from envfix.render.cell import cell as render_cell
from envfix.system import jupyter
from envfix.system.jupyter import RealKernelHost
from tests.fakes import FakeOutside
from tests.test_restarting import TOKEN, listening

ID = "d769bdbf-82f3-41e6-8b4f-0d81a049c43f"
COMMAND = ("/env/bin/python", "-m", "ipykernel_launcher", "-f", f"/run/jupyter/kernel-{ID}.json")
LAB = ("/usr/bin/python3", "/usr/bin/jupyter-lab")
INFO = {"pid": 7, "port": 8888, "base_url": "/", "hostname": "localhost", "token": "of-the-server"}
ADVICE = RestartAdvice(needed=True, reason="old libraries", how="Kernel → Restart", kernel_pid=42)
DONE = Installed(
    machine=Machine(),
    python="/env/bin/python",
    tensorflow="2.20.0",
    accelerator="gpu",
    plan=Plan(packages=(), download_bytes=0, installed_bytes=0),
    restart=ADVICE,
)
PROVEN = Verification(checks=(), proof=Proof.GPU, python="/env/bin/python", tensorflow="2.20.0")
VERIFY = "envfix verify --python /env/bin/python"
BROKEN = structs.replace(
    PROVEN,
    proof=None,
    checks=(Check(name="build", status=Status.FAILED, expected="a GPU build", observed="a CPU build"),),
)


class Host(KernelHost):
    """A server that answers; what it was asked for is kept, and `problem` is what came of it."""

    def __init__(self, problem: str = "") -> None:
        self.problem, self.asked = problem, list[tuple[Any, ...]]()

    def has(self, server: Server, kernel: str) -> str:
        return ""

    def restart(self, server: Server, kernel: str, pid: int) -> str:
        self.asked.append(("restart", kernel, pid))
        return self.problem

    def end(self, pid: int) -> str:
        self.asked.append(("end", pid))
        return self.problem


def process(pid: int, parent: int, *command: str) -> dict[str, str | bytes | OSError]:
    rest = " ".join("0" for _ in range(17)) + " 1000 0\n"
    return {
        f"/proc/{pid}/stat": f"{pid} (x) S {parent} {rest}",
        f"/proc/{pid}/cmdline": "\0".join(command) + "\0",
    }


def cell(
    starter: tuple[str, ...] = LAB,
    kernel: tuple[str, ...] = COMMAND,
    environ: Mapping[str, str] | None = None,
) -> FakeOutside:
    """envfix in a `!` of a kernel that `starter` has started."""
    files = process(100, 42, "/env/bin/python", "/env/bin/envfix") | process(42, 7, *kernel)
    files |= process(7, 1, *starter) | {"/run/jupyter/jpserver-7.json": json.dumps(INFO)}
    files["/proc/self/stat"] = files["/proc/100/stat"]
    return FakeOutside(files, environ={"ENVFIX_STATE_DIR": "/state", **(environ or {})})


def prepared(
    outside: FakeOutside, mode: str, host: Host | None = None, done: Installed = DONE, within: bool = False
) -> tuple[Installed, restarting.LastAct | None]:
    return restarting.prepared(outside, host or Host(), done, mode, within=within)


def advice_of(done: Installed) -> RestartAdvice:
    assert done.restart is not None
    return done.restart


# -- what is said, and what is to be done


def test_with_auto_the_server_restarts_the_kernel_when_all_is_said_and_not_before() -> None:
    host = Host()
    done, act = prepared(cell(), "auto", host)
    advice = advice_of(done)
    assert (advice.done, advice.by, advice.not_done, advice.run_all) == (
        True,
        RestartBy.JUPYTER_SERVER,
        "",
        "",
    )
    assert advice.needed is True and advice.owed is True
    assert done.kernel is not None and (done.kernel.pid, done.kernel.same) == (42, True)
    assert host.asked == [] and act is not None
    assert act() == "" and host.asked == [("restart", ID, 42)]


def test_on_colab_the_kernel_is_ended() -> None:
    host = Host()
    done, act = prepared(cell(environ={"COLAB_RELEASE_TAG": "release-colab_1"}), "auto", host)
    assert advice_of(done).by is RestartBy.KERNEL_ENDED and act is not None
    assert act() == "" and host.asked == [("end", 42)]


@pytest.mark.parametrize(
    ("outside", "change", "words"),
    [
        (cell(("python3", "-m", "papermill")), {}, "starts no other kernel for it"),
        (cell(), {"verification": BROKEN}, "verification failed"),
        (cell(), {"restart": structs.replace(ADVICE, kernel_pid=43)}, "not started from that kernel"),
        (FakeOutside(environ={"ENVFIX_STATE_DIR": "/state"}), {}, "not started from that kernel"),
    ],
)
def test_a_kernel_that_is_left_alone_is_never_said_to_be_restarted(
    outside: FakeOutside, change: dict[str, Any], words: str
) -> None:
    done, act = prepared(outside, "auto", done=structs.replace(DONE, **change))
    advice = advice_of(done)
    assert act is None and advice.done is False and advice.by is None and words in advice.not_done


def test_what_did_not_work_is_taken_back() -> None:
    done, act = prepared(cell(), "auto", Host("HTTP 500"))
    assert act is not None and advice_of(done).done
    advice = advice_of(restarting.left_alone(done, act()))
    assert (advice.done, advice.by, advice.not_done) == (False, None, "HTTP 500")
    said = text.result(restarting.left_alone(done, "HTTP 500"))
    assert "restart  needed: old libraries" in said and "not restarted by envfix: HTTP 500" in said


def test_a_dry_run_and_an_install_that_needs_no_restart_do_nothing() -> None:
    outside = cell()
    dry, act = prepared(outside, "auto", done=structs.replace(DONE, dry_run=True))
    assert act is None and dry.restart == ADVICE
    right = structs.replace(DONE, restart=structs.replace(ADVICE, needed=False))
    done, act = prepared(outside, "auto", done=right)
    assert act is None and advice_of(done).done is False and advice_of(done).run_all == ""
    assert outside.written == {}


# -- "Run all", which nothing that `!` starts can stop


VSCODE = {"VSCODE_PID": "7"}
PAPERMILL = ("python3", "-m", "papermill")


@pytest.mark.parametrize(
    ("outside", "mode", "auto"),
    [
        (cell(), "ask", True),
        (cell(), "never", True),
        (cell(("node",), environ=VSCODE), "ask", False),
        (cell(LAB, environ=VSCODE), "ask", True),  # a server that VS Code has started
        (cell(kernel=(*COMMAND[:-1], "/run/other.json")), "auto", False),  # no server knows this kernel
        (cell(LAB, environ={"COLAB_RELEASE_TAG": "1"}), "ask", True),
    ],
)
def test_a_restart_that_is_left_to_the_user_says_what_stops_run_all(
    outside: FakeOutside, mode: str, auto: bool
) -> None:
    done, act = prepared(outside, mode)
    assert act is None
    last = text.result(done).splitlines()[-1]
    assert '"Run all" goes on with the old libraries' in last and "`%envfix install`" in last
    assert ("`--restart auto` restarts the kernel" in last) is auto


@pytest.mark.parametrize("mode", ["ask", "auto"])
@pytest.mark.parametrize(
    ("outside", "instead"),
    [
        (cell(PAPERMILL), "run the notebook again, which finds it installed"),
        (
            cell(LAB, environ={"KAGGLE_KERNEL_RUN_TYPE": "Batch"}),
            "`%envfix install` in the first cell need no restart",
        ),
    ],
)
def test_where_a_run_would_end_with_its_kernel_no_restart_is_advised(
    outside: FakeOutside, instead: str, mode: str
) -> None:
    said = text.result(prepared(outside, mode)[0])
    assert instead in said and ADVICE.how not in said and "Run all" not in said
    assert said.splitlines()[-1].strip().startswith("the cells behind this one run with the old libraries")


@pytest.mark.parametrize(
    ("outside", "within", "needed"),
    [
        (cell(), False, None),  # it hangs on what the notebook has imported
        (cell(), False, False),
        (cell(), True, True),  # the magic stops the run itself
        (FakeOutside(environ={"ENVFIX_STATE_DIR": "/state"}), False, True),
    ],
)
def test_nothing_is_said_of_run_all_where_it_may_go_on(
    outside: FakeOutside, within: bool, needed: bool | None
) -> None:
    right = structs.replace(DONE, restart=structs.replace(ADVICE, needed=needed))
    done, _ = prepared(outside, "ask", done=right, within=within)
    assert "Run all" not in text.result(done)


# -- the kernel that asks itself


def test_a_kernel_that_ends_after_its_cell_is_not_to_be_restarted_by_hand() -> None:
    host = Host()
    done, act = prepared(cell(), "auto", host, within=True)
    assert act is None and host.asked == []
    assert (advice_of(done).done, advice_of(done).by) == (True, RestartBy.KERNEL_SHUTDOWN)
    said = text.result(done)
    assert "restart  now: old libraries" in said and ADVICE.how not in said
    assert render_cell(done, said).count(ADVICE.how) == 0


@pytest.mark.parametrize(
    ("outside", "mode", "change", "words"),
    [
        (cell(), "ask", {}, ""),
        (cell(PAPERMILL), "auto", {}, "starts no other kernel for it"),
        (cell(("node",), environ=VSCODE), "auto", {}, "VS Code"),
        (cell(), "auto", {"verification": BROKEN}, ""),
        (cell(), "auto", {"restart": structs.replace(ADVICE, needed=None)}, ""),
    ],
)
def test_a_kernel_that_does_not_end_is_not_said_to(
    outside: FakeOutside, mode: str, change: dict[str, Any], words: str
) -> None:
    done, act = prepared(outside, mode, done=structs.replace(DONE, **change), within=True)
    advice = advice_of(done)
    assert act is None and advice.by is None and words in advice.not_done
    assert bool(advice.not_done) is bool(words) and advice.how


# -- the kernel on another interpreter


def test_a_kernel_on_another_interpreter_is_warned_of_with_what_to_run_for_it() -> None:
    other = ("/other env/bin/python", *COMMAND[1:])
    cpu = ("--tf", "2.20.*", "--accelerator", "cpu")
    done, _ = prepared(cell(kernel=other), "ask", done=structs.replace(DONE, asked=cpu))
    assert done.kernel is not None and done.kernel.same is False
    said = text.result(done)
    assert "WARNING  this notebook runs /other env/bin/python, not /env/bin/python" in said
    command = next(line for line in said.splitlines() if "envfix install --python" in line).partition(": ")[2]
    assert shlex.split(command) == ["envfix", "install", "--python", "/other env/bin/python", *cpu]
    same, _ = prepared(cell(), "ask")
    assert "WARNING" not in text.result(same)


# -- what is owed


def test_a_verification_settles_what_a_restart_owed_and_a_report_reminds_of_it() -> None:
    outside = cell()
    prepared(outside, "never")
    report = Report(
        machine=Machine(),
        decision=Decision(candidates=(), recommended=None),
        plan=None,
        python="/env/bin/python",
    )
    reminded = restarting.reported(outside, report).advice
    assert reminded == (
        "the notebook's kernel is still to be restarted after the last install: Kernel → Restart",
    )
    assert restarting.reported(outside, structs.replace(report, python="")).advice == ()

    seen = Verified(verification=PROVEN)
    still = restarting.verified(outside, seen).restart
    assert still is not None and still.needed is True and still.run_all == ""
    del outside.files["/proc/42/stat"]  # the kernel has ended
    assert f"`{VERIFY}` proves it" in restarting.reported(outside, report).advice[0]
    assert restarting.verified(outside, Verified(verification=BROKEN)).restart is None
    settled = restarting.verified(outside, seen).restart
    assert settled is not None and settled.owed is False
    assert restarting.reported(outside, report).advice == ()


# -- the command, whose last act it is

CHILD = """
import sys
from envfix import cli
from envfix.render import Rendered
cli.RELAYED = 0
rendered = Rendered("said\\n", 0, lambda: sys.argv[1], lambda problem: f"not done: {problem}\\n")
cli._run = lambda options: rendered
sys.exit(cli.main(["machines"]))
"""


@pytest.mark.parametrize(
    ("problem", "written"), [("", "before\nsaid\n"), ("HTTP 500", "before\nnot done: HTTP 500\n")]
)
def test_a_file_never_keeps_that_a_restart_was_done_that_was_not(
    tmp_path: Path, problem: str, written: str
) -> None:
    path = tmp_path / "out"
    path.write_text("before\n")
    with path.open("a") as file:
        ran = subprocess.run(
            [sys.executable, "-c", CHILD, problem], stdout=file, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert ran.returncode == 0 and path.read_text() == written
    assert ("the kernel was not restarted: HTTP 500" in ran.stderr) is bool(problem)


def test_what_another_program_has_written_into_the_file_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "out"
    act = "lambda: open(sys.argv[1], 'a').write('another\\n') and 'gone'"
    child = CHILD.replace("lambda: sys.argv[1]", act)
    with path.open("a") as file:
        command = [sys.executable, "-c", child, str(path)]
        ran = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, timeout=60)
    assert path.read_text() == "said\nanother\n" and "was not restarted: gone" in ran.stderr


def test_what_a_notebook_has_read_is_corrected_by_a_warning() -> None:
    ran = subprocess.run([sys.executable, "-c", CHILD, "gone"], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "said\n" and "warning: the kernel was not restarted: gone" in ran.stderr


# -- the real kernel


def started() -> subprocess.Popen[bytes]:
    """A process that runs on the kernel's connection file."""
    return subprocess.Popen([sys.executable, "-c", "input()", COMMAND[-1]], stdin=subprocess.PIPE)


def test_a_kernel_is_killed_at_once_and_seen_to_come_back() -> None:
    """As a server that watches its kernels does, a thread starts another one."""
    made: list[subprocess.Popen[bytes]] = []
    with started() as old:
        until = threading.Thread(target=lambda: (old.wait(), made.append(started())))
        until.start()
        with listening() as (server, asked):
            assert RealKernelHost().restart(server, ID, old.pid) == ""
        until.join(timeout=20)
        assert old.returncode == -9 and asked == []
    made[0].communicate(timeout=20)


def test_a_process_that_is_not_the_kernel_is_not_killed() -> None:
    """The number of a kernel that has ended may be another's."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with listening() as (server, asked):
            assert "is not there any more" in RealKernelHost().restart(server, ID, other.pid)
        assert asked == [] and other.poll() is None
        other.communicate(b"\n", timeout=20)
        assert other.returncode == 0


def test_a_server_that_does_not_watch_its_kernels_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jupyter, "ANEW", 0.2)
    with started() as old, listening() as (server, asked):
        assert RealKernelHost().restart(server, ID, old.pid) == ""
        assert asked == [("POST", f"/a/api/kernels/{ID}/restart", f"token {TOKEN}")]
        assert old.wait(timeout=20) == -9
    with started() as other, listening(token="wrong") as (server, _):
        assert "HTTP 403" in RealKernelHost().restart(server, ID, other.pid)
    assert "cannot be ended" in RealKernelHost().restart(server, ID, other.pid)


def test_a_dry_run_warns_of_the_kernel_on_another_interpreter_too() -> None:
    other = cell(kernel=("/other/bin/python", *COMMAND[1:]))
    said = text.result(prepared(other, "ask", done=structs.replace(DONE, dry_run=True))[0])
    assert "WARNING  this notebook runs /other/bin/python, not /env/bin/python" in said
    assert said.splitlines()[-1] == "dry run  nothing was changed"


@pytest.mark.parametrize(("accelerator", "more"), [("gpu", ""), ("cpu", " --accelerator cpu")])
def test_what_proves_a_restart_later_is_named_with_its_options(accelerator: str, more: str) -> None:
    outside = cell()
    prepared(outside, "ask", done=structs.replace(DONE, accelerator=accelerator))
    del outside.files["/proc/42/stat"]
    kept = structs.replace(DONE, restart=None, verification=None)
    advice = advice_of(prepared(outside, "ask", done=kept)[0])
    assert (advice.needed, advice.how) == (False, f"{VERIFY}{more}")
