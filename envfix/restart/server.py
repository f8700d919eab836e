"""The Jupyter servers that say they run here, and which of them may have started a kernel.

A server writes `jpserver-PID.json` into Jupyter's runtime folder (jupyter_server, `ServerApp.server_info`;
`nbserver-PID.json` by Notebook up to 6), with its token, and takes it away when it ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from envfix.errors import EnvfixError
from envfix.ports import Outside, Server
from envfix.reading import convert, parse_json

LARGEST = 64 << 10  # bytes of one file that is read
_FILE = re.compile(r"(?:jpserver|nbserver)-[0-9]+\.json")
# `MultiKernelManager` of jupyter_client names the file after the kernel's id.
_CONNECTION = re.compile(r"kernel-([0-9A-Za-z-]{1,64})\.json")
_OPTION = re.compile(r"(?:-f|--f|--\w+\.connection_file)(?:=(.*))?", re.S)


class _Info(Struct, frozen=True, kw_only=True):
    """What of a server's file is needed; the rest may be anything."""

    pid: int
    port: int
    base_url: str = "/"
    hostname: str = ""
    secure: bool = False
    sock: str = ""
    token: str = ""
    password: bool = False


def connection_file(command: Sequence[str]) -> str:
    """The connection file that a kernel's command line names, empty where it names none."""
    words = iter(command[1:])
    for word in words:
        found = _OPTION.fullmatch(word)
        if found:
            return found[1] if found[1] is not None else next(words, "")
    return ""


def kernel_id(command: Sequence[str]) -> str:
    """The id by which a Jupyter server knows the kernel, empty where the command line tells none."""
    found = _CONNECTION.fullmatch(PurePosixPath(connection_file(command)).name)
    return found[1] if found else ""


def servers(outside: Outside, command: Sequence[str], parents: Sequence[int]) -> tuple[Server, ...]:
    """The servers among the kernel's `parents`, the nearest first.

    Only a file that nobody but this user or the administrator can have written is believed.
    """
    found: dict[int, Server] = {}
    for folder in runtime_folders(outside.environ, connection_file(command)):
        for name in outside.listdir(folder):
            path = f"{folder}/{name}"
            if not _FILE.fullmatch(name) or not outside.trusted(path):
                continue
            try:
                info = convert(parse_json(outside.read_text(path, LARGEST), name), _Info, name)
            except (OSError, EnvfixError):
                continue  # half written, or of something else: it names no server
            if info.pid in parents:
                found.setdefault(info.pid, _server(info, outside.environ))
    return tuple(sorted(found.values(), key=lambda one: parents.index(one.pid)))


def runtime_folders(environ: Mapping[str, str], connection: str) -> tuple[str, ...]:
    """Where the servers of this user may have left their files, absolute ones only.

    A server's kernels have their connection files beside it. The others are the rule of
    `jupyter_core.paths.jupyter_runtime_dir` (jupyter_core 5), which need not be installed here.
    """
    home = environ.get("HOME", "")
    data = (
        environ.get("JUPYTER_DATA_DIR") or f"{environ.get('XDG_DATA_HOME') or home + '/.local/share'}/jupyter"
    )
    mac = f"{home}/Library/Jupyter/runtime" if home else ""
    named = (connection.rpartition("/")[0], environ.get("JUPYTER_RUNTIME_DIR", ""), f"{data}/runtime", mac)
    return tuple(dict.fromkeys(path.rstrip("/") for path in named if path.startswith("/")))


def _server(info: _Info, environ: Mapping[str, str]) -> Server:
    token = info.token
    # Under JupyterHub the server asks the hub about a token, which has given it one that may access this very
    # server (jupyterhub.readthedocs.io, "Roles": the default scopes of `server`). That in its file may be one
    # that nobody takes: so it is with JUPYTERHUB_SINGLEUSER_EXTENSION=0 (jupyterhub 6.1.1).
    hub = environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    if hub and hub.rstrip("/") == info.base_url.rstrip("/"):
        token = environ.get("JUPYTERHUB_API_TOKEN") or token
    return Server(
        pid=info.pid,
        host=info.hostname,
        port=info.port,
        base_url=info.base_url,
        secure=info.secure,
        socket=info.sock,
        token=token,
        password=info.password and not token,
    )
