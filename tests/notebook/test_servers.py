"""Jupyter servers of several kinds, real ones, which `--restart auto` finds and asks, or does not."""

from __future__ import annotations

import contextlib
import datetime
import json
import queue
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from tests.environments import UNAIDED
from tests.notebook.lab import Ground, ground, kernels, server

pytestmark = pytest.mark.browser
TOKEN = secrets.token_hex(16)
NOW = "import tensorflow; print('now', tensorflow.__version__)"
# The kernel, which envfix holds still, is given so many seconds to end by itself.
QUICK = ("--KernelManager.shutdown_wait_time=0.5",)


@pytest.fixture
def room(tmp_path_factory: pytest.TempPathFactory, byte_code: Path) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("srv"), byte_code) as made:
        yield made


class Notebook:
    """A kernel that a server has started over HTTP, spoken to over its own protocol."""

    def __init__(self, room: Ground, address: str, headers: dict[str, str]) -> None:
        from jupyter_client.blocking import BlockingKernelClient

        made = requests.post(
            f"{address}api/kernels", json={"name": "changed"}, headers=headers, verify=False, timeout=30
        )
        made.raise_for_status()
        self.room = room
        connection = room.folder / "runtime" / f"kernel-{made.json()['id']}.json"
        self.client = BlockingKernelClient(connection_file=str(connection))
        self.client.load_connection_file()
        self.client.start_channels()
        self.answers()
        self.first = kernels(room.folder)

    @property
    def changed(self) -> bool:
        now = kernels(self.room.folder)
        return bool(now) and not now & self.first

    def run(self, code: str) -> str:
        """What the cell says until it ends, or its kernel does."""
        asked, said, until = self.client.execute(code), "", time.monotonic() + 90
        while time.monotonic() < until:
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                if self.changed:
                    return said
                continue
            if message["parent_header"].get("msg_id") == asked:
                said += message["content"].get("text", "")
                if message["content"].get("execution_state") == "idle":
                    return said
        raise AssertionError(said)

    def go_on(self) -> None:
        """Wait until another kernel answers."""
        until = time.monotonic() + 60
        while not self.changed:
            assert time.monotonic() < until, "the kernel was not restarted"
            time.sleep(0.1)
        self.first = set()
        self.answers()

    def answers(self) -> None:
        """Wait until the kernel does: asked for a heartbeat, one that has just been started has none yet."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(RuntimeError):
                self.client.wait_for_ready(timeout=60)
                return
        raise AssertionError("the kernel does not answer")


@contextmanager
def notebook(room: Ground, address: str, **headers: str) -> Iterator[Notebook]:
    found = Notebook(room, address, headers)
    try:
        yield found
    finally:
        found.client.stop_channels()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that its own key has signed, and the key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(signed.public_bytes(pem))
    files[1].write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def hold(room: Ground, cells: Notebook, *secrets: str) -> str:
    """What the cell says that installs with `--restart auto`, none of the `secrets` among it."""
    said = cells.run(f"import absl.held\n{room.install('--restart', 'auto')}")
    assert f"done     tensorflow {UNAIDED}" in said, said
    assert not any(one in said for one in secrets)
    return said


def restarted(room: Ground, cells: Notebook, *secrets: str) -> None:
    assert "the Jupyter server starts the kernel anew" in hold(room, cells, *secrets)
    cells.go_on()
    assert cells.run(NOW).strip() == f"now {UNAIDED}"


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_server_with_a_certificate_of_its_own_below_a_prefix(room: Ground) -> None:
    cert, key = certificate(room.folder)
    options = [f"--ServerApp.certfile={cert}", f"--ServerApp.keyfile={key}", "--ServerApp.base_url=/a/b/"]
    with server(room, "jupyter_server", *QUICK, *options, JUPYTER_TOKEN=TOKEN) as address:
        assert address.startswith("https://") and "/a/b/" in address
        with notebook(room, address, Authorization=f"token {TOKEN}") as cells:
            restarted(room, cells, TOKEN)


def test_a_server_without_a_token(room: Ground) -> None:
    # As Colab's, but for the check against forged requests, which is on here.
    forged = {"X-XSRFToken": "x", "Cookie": "_xsrf=x"}
    with (
        server(room, "jupyter_server", *QUICK, "--ServerApp.token=") as address,
        notebook(room, address, **forged) as cells,
    ):
        restarted(room, cells)


def test_a_server_with_a_password_is_not_asked_and_the_kernel_lives(room: Ground) -> None:
    from jupyter_server.auth import passwd

    option = f"--PasswordIdentityProvider.hashed_password={passwd(TOKEN, 'sha1')}"
    with server(room, "jupyter_server", *QUICK, option) as address, requests.Session() as user:
        user.get(f"{address}login", timeout=10)
        word = user.cookies["_xsrf"]
        user.post(f"{address}login", data={"password": TOKEN, "_xsrf": word}, timeout=10)
        cookies = "; ".join(f"{name}={value}" for name, value in user.cookies.items())
        with notebook(room, address, **{"Cookie": cookies, "X-XSRFToken": word}) as cells:
            said = hold(room, cells, TOKEN)
            assert "not restarted by envfix: the Jupyter server on port " in said, said
            assert "wants a password and has no token (HTTP 403)" in said
            assert cells.run("import os; print(os.getpid())").strip() == str(*cells.first)


class Hub(BaseHTTPRequestHandler):
    """What a user's server asks of JupyterHub: whose a token is, and what it may do."""

    scopes: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        whole = self.headers.get("Authorization", "").removeprefix("token ").removeprefix("Bearer ") == TOKEN
        answer: dict[str, Any] = {"version": "5.0.0"}
        if self.path.startswith("/hub/api/user"):
            answer = {"kind": "user", "name": "ada", "admin": False, "groups": [], "scopes": self.scopes}
        body = json.dumps(answer).encode()
        self.send_response(200 if whole or self.path == "/hub/api" else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()


@contextmanager
def hub(*scopes: str) -> Iterator[dict[str, str]]:
    """The variables that JupyterHub starts the server of its user `ada` with."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), type("Serving", (Hub,), {"scopes": list(scopes)}))
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = f"http://127.0.0.1:{served.server_port}/hub/api"
    try:
        yield {
            "JUPYTERHUB_API_TOKEN": TOKEN, "JUPYTERHUB_API_URL": url, "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_ACTIVITY_URL": f"{url}/users/ada/activity", "JUPYTERHUB_USER": "ada",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada", "JUPYTERHUB_SERVER_NAME": "",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/ada/oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(["access:servers!server=ada/"]),
            "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/user/ada/",
        }  # fmt: skip
    finally:
        served.shutdown()
        served.server_close()


def test_the_server_of_a_user_of_jupyterhub(room: Ground) -> None:
    with (
        hub("access:servers!server=ada/") as env,
        server(room, "jupyterhub.singleuser", *QUICK, **env) as address,
        notebook(room, address, Authorization=f"token {TOKEN}") as cells,
    ):
        assert "/user/ada/" in address
        restarted(room, cells, TOKEN)
