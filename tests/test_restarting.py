"""`--restart auto`: who brings up another kernel, the server that is asked, and what is owed after it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from envfix import restarting
from envfix.model.machine import Platform
from envfix.model.outcome import Proof, RestartAdvice, RestartBy, Verification
from envfix.model.target import Kernel
from envfix.ports import KernelHost, Process, Server
from envfix.restart import owed, watched
from envfix.restart.server import kernel_id, servers
from envfix.restart.watched import program, way
from envfix.system.jupyter import RealKernelHost, own_address
from tests.fakes import FakeOutside

ID = "d769bdbf-82f3-41e6-8b4f-0d81a049c43f"
COMMAND = ("/env/bin/python", "-m", "ipykernel_launcher", "-f", f"/run/jupyter/kernel-{ID}.json")
KERNEL = Kernel(pid=42, python="/env/bin/python", command=COMMAND)
LAB = Process(7, ("/usr/bin/python3", "/usr/bin/jupyter-lab"))
TOKEN = "secret-of-the-server"
CUT_OFF = "of-which-no-answer-is-whole"
INFO = {"pid": 7, "port": 8888, "base_url": "/a/", "hostname": "localhost", "token": TOKEN, "version": "2"}
PROVEN = Verification(checks=(), proof=Proof.GPU, python="/env/bin/python", tensorflow="2.20.0")
NEEDED = RestartAdvice(needed=True, reason="old libraries", how="Kernel → Restart", kernel_pid=42)


class Answering(KernelHost):
    def __init__(self, problem: str = "") -> None:
        self.problem = problem

    def has(self, server: Server, kernel: str) -> str:
        return self.problem

    def restart(self, server: Server, kernel: str, pid: int) -> str:
        raise AssertionError("nothing is to be restarted yet")

    def end(self, pid: int) -> str:
        raise AssertionError("nothing is to be ended yet")


def with_server(environ: Mapping[str, str] | None = None, **info: object) -> FakeOutside:
    return FakeOutside(files={"/run/jupyter/jpserver-7.json": json.dumps(INFO | info)}, environ=environ)


# -- the server


def test_the_server_is_found_beside_the_connection_file_and_shows_no_token() -> None:
    (found,) = servers(with_server(), COMMAND, [7])
    assert found.token == TOKEN and found.base_url == "/a/" and kernel_id(COMMAND) == ID
    assert TOKEN not in repr(found) and TOKEN not in str(found)


@pytest.mark.parametrize(
    "outside",
    [
        with_server(pid=8),  # another server of this user
        FakeOutside(files=with_server().files, of_others=("/run",)),
        FakeOutside(files={"/run/jupyter/jpserver-7.json": '{"pid": 7, '}),
    ],
)
def test_no_other_file_names_a_server(outside: FakeOutside) -> None:
    assert servers(outside, COMMAND, [7]) == ()


def test_under_a_hub_the_token_is_the_one_that_the_hub_gave_for_this_server() -> None:
    hub = {"JUPYTERHUB_SERVICE_PREFIX": "/a", "JUPYTERHUB_API_TOKEN": "of-the-hub"}
    for own in ("", TOKEN):
        assert servers(with_server(hub, token=own), COMMAND, [7])[0].token == "of-the-hub"
    other = hub | {"JUPYTERHUB_SERVICE_PREFIX": "/b"}
    assert servers(with_server(other, token=""), COMMAND, [7])[0].token == ""


# -- who watches


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("/usr/bin/python3", "-m", "papermill", "a", "b"), "papermill"),
        (("/usr/bin/python3", "/usr/bin/jupyter", "nbconvert", "--execute"), "jupyter nbconvert"),
        (("python", "-X", "dev", "/usr/bin/jupyter-execute", "a"), "jupyter-execute"),
        (("/usr/lib/code/node", "x"), "node"),
        ((), ""),
    ],
)
def test_a_command_line_says_what_it_runs(command: tuple[str, ...], name: str) -> None:
    assert program(command) == name


INTERACTIVE = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}
PAPERMILL = Process(7, ("/usr/bin/python3", "-m", "papermill"))
SHELL = Process(9, ("/bin/sh", "-c", "x"))


@pytest.mark.parametrize(
    ("platform", "environ", "parents", "by", "words"),
    [
        (Platform.JUPYTER, {}, (SHELL, LAB), RestartBy.JUPYTER_SERVER, ""),
        (Platform.JUPYTER, {}, (PAPERMILL,), None, "`papermill` runs this notebook from start to end"),
        (Platform.JUPYTER, {}, (Process(8, ("/opt/spyder",)),), None, "`spyder` started it"),
        (Platform.COLAB, {}, (LAB,), RestartBy.KERNEL_ENDED, ""),
        (Platform.COLAB, {}, (PAPERMILL, LAB), None, "start to end"),
        (Platform.COLAB, {}, (), None, "nothing is seen"),
        (Platform.KAGGLE, INTERACTIVE, (LAB,), RestartBy.KERNEL_ENDED, ""),
        (Platform.KAGGLE, {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, (LAB,), None, "Kaggle runs this notebook"),
        (Platform.KAGGLE, {}, (LAB,), None, "Kaggle runs this notebook"),
        (Platform.VSCODE, {}, (Process(7, ("node",)),), None, "VS Code"),
        # A server that VS Code has started, where it cannot start kernels itself.
        (Platform.VSCODE, {}, (LAB,), RestartBy.JUPYTER_SERVER, ""),
    ],
)
def test_a_kernel_is_restarted_only_where_another_one_comes(
    platform: Platform,
    environ: Mapping[str, str],
    parents: tuple[Process, ...],
    by: RestartBy | None,
    words: str,
) -> None:
    found = way(with_server(environ), Answering(), platform, KERNEL, parents)
    assert found.by is by and words in found.not_done and bool(found.not_done) == (by is None)


def test_a_server_that_does_not_run_the_kernel_is_not_asked_to_restart_it() -> None:
    found = way(with_server(), Answering("it does not"), Platform.JUPYTER, KERNEL, (LAB,))
    assert found.by is None and found.not_done == "it does not"


# -- the requests


class Lab(BaseHTTPRequestHandler):
    """A Jupyter server of one kernel."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked: list[tuple[str, str, str | None]] = self.server.asked  # type: ignore[attr-defined]
        asked.append((self.command, self.path, self.headers.get("Authorization")))
        right = self.headers.get("Authorization") == f"token {TOKEN}"
        status = 403 if not right else 200 if ID in self.path else 404
        body = json.dumps({"id": self.path.split("/")[4]}).encode()
        self.send_response(status)
        missing = 9 if CUT_OFF in self.path else 0
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


@contextmanager
def listening(**more: object) -> Iterator[tuple[Server, list[tuple[str, str, str | None]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lab)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    made = Server(7, "localhost", server.server_port, "/a/", False, "", TOKEN, False)
    try:
        yield made._replace(**more), server.asked  # type: ignore[attr-defined,arg-type]
    finally:
        server.shutdown()
        server.server_close()


def test_the_server_is_asked_with_its_token_and_by_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with listening() as (server, asked):
        assert RealKernelHost().has(server, ID) == ""
        assert "does not run this kernel" in RealKernelHost().has(server, "another")
    assert asked[0] == ("GET", f"/a/api/kernels/{ID}", f"token {TOKEN}")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"socket": "/run/lab.sock"}, "Unix socket"),
        ({"password": True}, "wants a password"),
        ({"host": "192.0.2.7"}, "is not this machine's"),
    ],
)
def test_a_server_that_cannot_be_asked_is_told_nothing(more: dict[str, object], words: str) -> None:
    with listening(**more) as (server, asked):
        assert words in RealKernelHost().has(server, ID)
    assert asked == []


def test_an_answer_that_is_cut_off_is_said() -> None:
    with listening() as (server, _):
        assert "does not answer (" in RealKernelHost().has(server, CUT_OFF)


def test_a_wildcard_address_is_loopback() -> None:
    assert own_address("0.0.0.0", 1) == own_address("", 1) == "127.0.0.1"


def test_a_kernel_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        waiting = threading.Thread(target=child.wait)
        waiting.start()
        assert RealKernelHost().end(child.pid) == ""
        waiting.join(timeout=20)
        assert child.returncode == -15


# -- what is owed


def stat(started: int) -> str:
    return "42 (python (x)) S 7 " + " ".join("0" for _ in range(17)) + f" {started} 0\n"


def settled(
    outside: FakeOutside, advice: RestartAdvice | None, proof: Verification | None
) -> RestartAdvice | None:
    return restarting.settled(outside, "/env/bin/python", "tensorflow 2.20.0", advice, proof)


def test_what_a_restart_owes_is_asked_for_until_the_next_kernel_is_verified() -> None:
    files: dict[str, str | bytes | OSError] = {"/proc/42/stat": stat(1000)}
    outside = FakeOutside(files=files, environ={"ENVFIX_STATE_DIR": "/state"})
    first = settled(outside, NEEDED, PROVEN)
    assert first is not None and first.owed is True and first.needed
    again = settled(outside, None, PROVEN)
    assert again is not None and again.needed and again.reason == "old libraries"

    outside.files["/proc/42/stat"] = stat(2000)  # the number is another process's now
    unproven = settled(outside, None, None)
    assert unproven is not None and unproven.owed is True and "not verified yet" in unproven.reason
    done = settled(outside, None, PROVEN)
    assert done is not None and done.owed is False and "tensorflow 2.20.0 is verified" in done.reason
    assert settled(outside, None, PROVEN) is None and owed.pending(outside, "/env/bin/python") is None


def test_a_state_folder_that_cannot_be_written_costs_a_warning() -> None:
    outside = FakeOutside(environ={"ENVFIX_STATE_DIR": "/state"}, read_only=("/state",))
    assert settled(outside, NEEDED, None) is not None
    assert "not remembered" in outside.said[0]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/python3 /usr/local/bin/jupyter-lab --port 8888", True),
        ("/usr/bin/python3 -m jupyterlab", True),
        ("/usr/bin/python3 /usr/local/bin/jupyter-notebook", True),
        ("/usr/bin/python3 /usr/local/bin/jupyter lab", True),
        ("/usr/bin/python3 /usr/local/bin/papermill a.ipynb b.ipynb", False),
        ("/usr/bin/python3 /usr/local/bin/jupyter nbconvert --execute notebook.ipynb", False),
        ("/usr/bin/python3 /home/notebook/run.py", False),
        ("/usr/bin/python3 -m pytest", False),
        ("", False),
    ],
)
def test_only_a_notebook_server_brings_a_kernel_back(command: str, expected: bool) -> None:
    shell = Process(7, ("/bin/sh", "-c", "exec"))
    starter = watched.starter_of([shell, Process(8, tuple(command.split())), Process(9, ("/sbin/init",))])
    assert bool(watched.SERVERS.fullmatch(starter)) is expected
