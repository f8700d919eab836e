"""The notebook's kernel restarted: its process is ended, and its server asked where no other comes.

The token goes to the address that the server's own file names, and only where that is this machine: no
proxy, no redirect, no `.netrc`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
import warnings
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from envfix.ports import KernelHost, Server

ANSWER = 5.0  # seconds for a question
# Seconds in which a server that watches its kernels starts one anew: it looks every 3 s (jupyter_client,
# `KernelRestarter.time_to_dead`).
ANEW = 10.0
RESTART = 60.0  # seconds for a restart that is asked for: the server waits for the new kernel
ENDING = 3.0  # seconds that a kernel is given to end by itself
LARGEST = 1 << 20
# Its file says so only where the password is ServerApp's own setting, not that of its identity provider
# (jupyter_server 2).
PASSWORD = "wants a password and has no token"
_EVERYWHERE = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class RealKernelHost(KernelHost):
    def has(self, server: Server, kernel: str) -> str:
        if server.socket:
            return "the Jupyter server listens on a Unix socket, which envfix does not use"
        if server.password:
            return f"the Jupyter server {PASSWORD}"
        return _asked(server, "GET", f"api/kernels/{kernel}", ANSWER)

    def restart(self, server: Server, kernel: str, pid: int) -> str:
        # A front end is told of a kernel that its server starts anew by itself: JupyterLab takes back the
        # cells that it had queued. Of one that another client has had restarted it hears nothing, and shows
        # `[*]` on them for ever (seen in JupyterLab 4.6). A kernel that is only asked to end would run them.
        before = _running(kernel)
        if str(pid) not in before:  # its number may be another process's by now
            return f"the kernel (process {pid}) cannot be ended: it is not there any more"
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError as problem:
            return f"the kernel (process {pid}) cannot be ended: {problem.strerror}"
        until = time.monotonic() + ANEW
        while time.monotonic() < until:
            if _running(kernel) - before:
                return ""
            time.sleep(0.1)
        return _asked(server, "POST", f"api/kernels/{kernel}/restart", RESTART)

    def end(self, pid: int) -> str:
        try:
            os.kill(pid, signal.SIGTERM)
            until = time.monotonic() + ENDING
            while time.monotonic() < until:
                time.sleep(0.05)
                os.kill(pid, 0)
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        except OSError as problem:
            return f"the kernel (process {pid}) cannot be ended: {problem.strerror}"
        return ""


def _running(kernel: str) -> set[str]:
    """The processes on the connection file of that kernel: the kernel itself, and what it has forked."""
    found = set()
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):  # it is none, has ended, or is another user's
            if f"kernel-{kernel}.json".encode() in Path(entry.path, "cmdline").read_bytes():
                found.add(entry.name)
    return found


def own_address(host: str, port: int) -> str:
    """The address of this machine by which `host` is reached; empty where it is another machine's."""
    try:
        found = socket.getaddrinfo(_EVERYWHERE.get(host, host), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ""
    for family, *_, place in found:
        address = str(place[0])
        if ip_address(address.partition("%")[0]).is_loopback or _is_bound_here(family, address):
            return address
    return ""


def _is_bound_here(family: int, address: str) -> bool:
    """Only an address of one's own can be bound to."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _asked(server: Server, method: str, path: str, timeout: float) -> str:
    """What went wrong with the request, empty where it was answered with success."""
    import requests
    from urllib3.exceptions import HTTPError

    address = own_address(server.host, server.port)
    if not address:
        return f"the Jupyter server's address `{server.host}` is not this machine's"
    where = f"the Jupyter server on port {server.port}"
    scheme = "https" if server.secure else "http"
    host = f"[{address}]" if ":" in address else address
    base = server.base_url.strip("/")
    url = f"{scheme}://{host}:{server.port}/" + (f"{base}/{path}" if base else path)
    with requests.Session() as session, warnings.catch_warnings():
        session.trust_env = False
        # A certificate for `localhost` is its maker's own; the request does not leave this machine.
        warnings.simplefilter("ignore")
        try:
            answer = session.request(
                method, url, headers=_headers(server), timeout=timeout, allow_redirects=False,
                verify=False, stream=True, cookies=_cookies(server),
            )  # fmt: skip
            body = answer.raw.read(LARGEST, decode_content=True)
        except (requests.RequestException, HTTPError, OSError, ValueError) as problem:
            return f"{where} does not answer ({type(problem).__name__})"
    refusal = "does not take the token of its own file" if server.token else PASSWORD
    return _judged(answer.status_code, body, where, path, refusal)


def _judged(status: int, body: bytes, where: str, path: str, refusal: str) -> str:
    if status == 404:
        return f"{where} does not run this kernel"
    if status in (401, 403) or 300 <= status < 400:
        return f"{where} {refusal} (HTTP {status})"
    if not 200 <= status < 300:
        return f"{where} answered HTTP {status}"
    # Something else may answer on the port by now: a server names the kernel that was asked for.
    return "" if path.split("/")[2].encode() in body else f"{where} answers as no Jupyter server does"


# A server without authentication asks for the same word in a header and a cookie (Tornado, `xsrf_cookies`).
_WORD = secrets.token_hex(16)


def _headers(server: Server) -> dict[str, str]:
    own = {"User-Agent": "envfix", "Accept": "application/json"}
    return own | ({"Authorization": f"token {server.token}"} if server.token else {"X-XSRFToken": _WORD})


def _cookies(server: Server) -> Any:
    return {} if server.token else {"_xsrf": _WORD}
