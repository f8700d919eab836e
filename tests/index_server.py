"""A real small package index on loopback: wheels, simple pages in HTML and JSON, ranges, faults."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote

JSON_PAGE = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Wheel:
    """One wheel with its bytes; `metadata` is its METADATA."""

    filename: str
    project: str
    data: bytes
    metadata: bytes
    requires_python: str | None = None
    uploaded: str = "2024-01-01T00:00:00Z"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def build_wheel(
    name: str,
    version: str,
    requires: Sequence[str] = (),
    *,
    tag: str = "py3-none-any",
    extras: Sequence[str] = (),
    requires_python: str | None = None,
    modules: Mapping[str, str | bytes] | None = None,
    uploaded: str = "2024-01-01T00:00:00Z",
) -> Wheel:
    """A wheel that installers take, the same bytes each time. Its package says its version."""
    under = re.sub(r"[-_.]+", "_", name)
    info = f"{under}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    metadata = ("\n".join(lines) + "\n").encode()
    alone = {f"{under}/__init__.py": f'__version__ = "{version}"\n'}
    files: Mapping[str, str | bytes] = alone if modules is None else modules
    members = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    members[f"{info}/METADATA"] = metadata
    members[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    )
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), data)
    project = re.sub(r"[-_.]+", "-", name).lower()
    return Wheel(
        f"{under}-{version}-{tag}.whl", project, buffer.getvalue(), metadata, requires_python, uploaded
    )


# Not newer than what any TensorFlow release allows beside it, so that they never are a reason to resolve.
SEEDS = {"pip": "24.0", "setuptools": "65.5.0", "wheel": "0.40.0"}


def seeds() -> list[Wheel]:
    """What uv seeds an environment with: where the index lacks it, `python -m venv` takes seconds."""
    return [
        build_wheel(name, version, modules={f"{name}/__main__.py": ""}) for name, version in SEEDS.items()
    ]


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@dataclass
class IndexServer:
    """What is served, and how it misbehaves.

    `faults` maps the end of a path to an HTTP status, a function that answers, or to "drop" (the connection
    ends halfway), "stall" (no answer until the server stops), "portal" (a page of something else) or "broken"
    (half a JSON page). With `credentials` (`user:password`) all else is refused with 401.
    `lies` maps file names to the SHA-256 the page claims instead of the true one, `provenance` to what is
    attested of them. `asked` keeps every request.
    """

    url: str = ""
    wheels: dict[str, Wheel] = field(default_factory=dict)
    faults: dict[str, int | str | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, bytes] = field(default_factory=dict)
    credentials: str = ""
    json: bool = True
    metadata: bool = True
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def add(self, *wheels: Wheel) -> None:
        self.wheels.update({wheel.filename: wheel for wheel in wheels})

    @property
    def simple(self) -> str:
        return f"{self.url}/simple/"

    def page(self, project: str, as_json: bool) -> bytes | None:
        files = [wheel for wheel in self.wheels.values() if wheel.project == project]
        if not files:
            return None
        if as_json:
            rows = [
                {
                    "filename": wheel.filename,
                    "url": f"../../files/{wheel.filename}",
                    "hashes": {"sha256": self.lies.get(wheel.filename, wheel.sha256)},
                    "size": len(wheel.data),
                    "upload-time": wheel.uploaded,
                    "requires-python": wheel.requires_python,
                    "core-metadata": self.metadata,
                    "provenance": self._provenance(wheel),
                }
                for wheel in files
            ]
            return json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": rows}).encode()
        links = "".join(
            f'<a href="../../files/{wheel.filename}#sha256={self.lies.get(wheel.filename, wheel.sha256)}"'
            f"{' data-core-metadata=true' if self.metadata else ''}>{wheel.filename}</a><br>\n"
            for wheel in files
        )
        return f"<!DOCTYPE html><html><body>\n{links}</body></html>".encode()

    def _provenance(self, wheel: Wheel) -> str | None:
        return f"{self.url}/attested/{wheel.filename}" if wheel.filename in self.provenance else None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news; anything else is a bug of the server's and is printed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(*wheels: Wheel) -> Iterator[IndexServer]:
    """An index of `wheels` on a free loopback port, until the block ends."""
    index = IndexServer()
    index.add(*wheels)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"index": index}))
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.stopped.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers from `index`, which a subclass of each server sets."""

    index: ClassVar[IndexServer]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = unquote(self.path.split("?")[0])
        self.index.asked.append(f"{self.command} {path}")
        fault = next((fault for end, fault in self.index.faults.items() if path.endswith(end)), None)
        asked_as = base64.b64encode(self.index.credentials.encode()).decode()
        if self.index.credentials and self.headers.get("Authorization") != f"Basic {asked_as}":
            self.send(401, b"who are you?", "text/plain", body)
        elif fault == "stall":
            self.index.stopped.wait(30)
            self.close_connection = True
        elif fault == "portal":
            self.send(200, b"<!DOCTYPE html><html><body>please log in</body></html>", "text/html", body)
        elif fault == "broken":
            self.send(200, b'{"meta": {', JSON_PAGE, body)
        elif callable(fault):
            fault(self)
        elif isinstance(fault, int):
            self.send(fault, b"fault", "text/plain", body)
        elif path.startswith("/simple/"):
            as_json = self.index.json and JSON_PAGE in self.headers.get("Accept", "")
            page = self.index.page(path.removeprefix("/simple/").strip("/"), as_json)
            kind = JSON_PAGE if as_json else "text/html"
            self.send(404 if page is None else 200, page or b"no such project", kind, body)
        elif path.startswith("/attested/"):
            self.send(200, self.index.provenance[path.removeprefix("/attested/")], "application/json", body)
        else:
            self.file(path.removeprefix("/files/"), body, drop=fault == "drop")

    def file(self, name: str, body: bool, drop: bool) -> None:
        wheel = self.index.wheels.get(name.removesuffix(".metadata"))
        if wheel is None or (name.endswith(".metadata") and not self.index.metadata):
            self.send(404, b"no such file", "text/plain", body)
            return
        data = wheel.metadata if name.endswith(".metadata") else wheel.data
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found and self.index.ranges and not drop:
            first, last = found.groups()
            start = int(first) if first else max(0, len(data) - int(last))
            end = min(int(last), len(data) - 1) if first and last else len(data) - 1
            self.send(206, data[start : end + 1], "application/zip", body, f"bytes {start}-{end}/{len(data)}")
            return
        self.send(200, data, "application/zip", body, keep=len(data) // 2 if drop else None)

    def send(
        self, status: int, data: bytes, kind: str, body: bool, part: str = "", keep: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if self.index.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        if body:
            self.wfile.write(data[:keep])
        if keep is not None:
            self.close_connection = True
