"""An index and wheels that mean harm: nothing endless is read to its end, no escape reaches the terminal."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from envfix.errors import EnvfixError, IndexUnreachable, InputError
from envfix.matrix.metadata import read_requirements
from envfix.model.target import PipConfig
from envfix.model.versions import PythonRelease
from envfix.system import answers, session, wheel_ends
from envfix.system import index as module
from envfix.system.index import RealIndex
from tests.index_server import JSON_PAGE, IndexServer, Wheel, build_wheel, serving

MEMBER = "demo/build_info.py"
METADATA = "demo-1.0.dist-info/METADATA"
ESCAPE = "\x1b[31m\x1b]0;title\x07\u202e"
TAKEN: list[str] = []  # what was read to its end
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, in kilobytes."""
    monkeypatch.setattr(session, "BACKOFF", 0.0)
    monkeypatch.setattr(answers, "LARGEST_PAGE", 1 << 20)
    monkeypatch.setattr(answers, "LARGEST_HTML", 1 << 20)
    for place in (module, wheel_ends):
        monkeypatch.setattr(place, "LARGEST_METADATA", 1 << 20)
    monkeypatch.setattr(module, "LARGEST_MEMBER", 1 << 20)
    monkeypatch.setattr(module, "WHOLE_FILE_LIMIT", 1 << 20)


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with serving(build_wheel("demo", "1.0", ["numpy"], modules={MEMBER: "built = 1\n"})) as server:
        yield server


def client(index: IndexServer) -> RealIndex:
    return RealIndex(PipConfig(index_url=index.simple, timeout=5))


def endless(piece: bytes, kind: str, status: int = 200, **headers: str) -> Answer:
    """A body that goes on until nobody reads it; 64 MiB are far more than anybody may take."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Connection": "close", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.close_connection = True
        for _ in range(0, 64 << 20, len(piece)):
            try:
                handler.wfile.write(piece)
            except OSError:
                return
        TAKEN.append(kind)

    return answer


def whole(body: bytes, kind: str, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)), packer.flush()])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (endless(b" " * 65536, JSON_PAGE), "more than 1 MiB"),
        (endless(b'<a href="x">y</a>' * 4000, "text/html"), "more than 1 MiB"),
        (endless(b"x" * 65536, "text/plain", 500), "HTTP 500"),
        (endless(b"x" * 65536, "text/plain", 403), "HTTP 403"),
        (whole(bomb(200 << 20), JSON_PAGE, Content_Encoding="gzip"), "more than 1 MiB"),
        (whole(b"no gzip", JSON_PAGE, Content_Encoding="gzip"), "did not answer"),
        (whole(b"", JSON_PAGE, 302, Location="/simple/demo/"), "30 redirects"),
        (whole(b"", JSON_PAGE, 302, Location="file:///etc/passwd"), "No connection adapters"),
        (whole(b"", JSON_PAGE, 302, Location="http://[::1"), "is not what the index says"),
        (whole(b"[" * 200_000, JSON_PAGE), "more than 4 kB"),
        (whole(b"[ " * 200_000, JSON_PAGE), "is not what the index says"),
        (whole(b'{"meta": ' + b"9" * 4000 + b"}", JSON_PAGE), "is not what the index says"),
        (whole(b"[]", JSON_PAGE), "is not what the index says"),
    ],
    ids=[
        "page",
        "HTML",
        "500",
        "403",
        "gzip",
        "no gzip",
        "loop",
        "file",
        "bad URL",
        "word",
        "deep",
        "digits",
        "list",
    ],
)
def test_a_page_without_end_or_sense_is_refused(index: IndexServer, answer: Answer, says: str) -> None:
    index.faults["/demo/"] = answer
    with pytest.raises(IndexUnreachable) as caught:
        client(index).files("demo")
    assert says in caught.value.message
    assert not TAKEN


def test_a_body_that_drips_is_given_up(index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PATIENCE", 0.3)

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", JSON_PAGE)
        handler.end_headers()
        handler.close_connection = True
        while not index.stopped.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    index.faults["/demo/"] = drip
    with pytest.raises(IndexUnreachable, match="less than 10 kB a second"):
        client(index).files("demo")


def test_a_page_of_the_network_leads_to_no_file_of_this_machine(index: IndexServer, tmp_path: Path) -> None:
    secret = tmp_path / "demo-1.0-py3-none-any.whl"
    secret.write_bytes(b"secret")
    for url in (secret.as_uri(), "javascript:1", "ftp://127.0.0.1/demo-1.0-py3-none-any.whl", ""):
        row = {"filename": secret.name, "url": url, "hashes": {}}
        page = {"meta": {"api-version": "1.0"}, "name": "demo", "files": [row]}
        index.faults["/demo/"] = whole(json.dumps(page).encode(), JSON_PAGE)
        assert all(file.url.startswith(index.url) for file in client(index).files("demo")), url


def zipped(*members: tuple[str, bytes | str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return data.getvalue()


def encrypted(data: bytes) -> bytes:
    data = data.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\x01\0")
    return data.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0")


def beyond(data: bytes) -> bytes:
    """An end record that says its directory is elsewhere, and a ZIP64 one that says exabytes."""
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 1 << 62, 1 << 62)
    place = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    return data[:-22] + end + place + data[-22:-12] + b"\xff" * 10 + b"\0\0"


WHEELS = {
    "a bomb": zipped((METADATA, b"a" * (50 << 20))),
    "encrypted": encrypted(zipped((METADATA, "Name: demo\n"))),
    "another's name": zipped(("../x.dist-info/METADATA", "y"), (f"{ESCAPE}.txt", "x")),
    "empty": zipped(),
    "no zip": b"x" * 200_000,
    "nothing": b"",
}


@pytest.mark.parametrize("name", WHEELS)
def test_metadata_of_a_wheel_that_lies_is_refused(index: IndexServer, name: str) -> None:
    index.metadata = False
    (wheel,) = index.wheels.values()
    index.add(replace(wheel, data=WHEELS[name]))
    (file,) = client(index).files("demo")
    with pytest.raises(IndexUnreachable):
        client(index).metadata(file)


def test_a_directory_that_is_exabytes_away_is_refused(index: IndexServer) -> None:
    (wheel,) = index.wheels.values()
    index.add(replace(wheel, data=beyond(zipped((METADATA, "Name: demo\n")))))
    (file,) = client(index).files("demo")
    with pytest.raises(IndexUnreachable):
        client(index).members(file)


def test_a_member_that_unpacks_to_more_than_any_is_refused(index: IndexServer) -> None:
    (wheel,) = index.wheels.values()
    index.add(replace(wheel, data=zipped((METADATA, "x"), (MEMBER, b" " * (50 << 20)))))
    (file,) = client(index).files("demo")
    with pytest.raises(IndexUnreachable, match="unpacks to more than 1 MiB"):
        client(index).member(file, MEMBER)


@pytest.mark.parametrize(
    "told", ["bytes 0-9999999999/10000000000", "bytes 9-3/5", "bytes x-y/z", "bytes 0-" + "9" * 5000]
)
def test_a_part_that_is_longer_than_what_was_asked_for_is_refused(index: IndexServer, told: str) -> None:
    index.metadata = False
    (file,) = client(index).files("demo")
    index.faults[".whl"] = endless(b"x" * 65536, "application/zip", 206, Content_Range=told)
    with pytest.raises(IndexUnreachable):
        client(index).metadata(file)


def test_a_directory_that_is_too_large_is_not_fetched(
    index: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_ends, "LARGEST_DIRECTORY", 100_000)
    (wheel,) = index.wheels.values()
    index.add(replace(wheel, data=zipped(*((f"{number:06}{'x' * 60}", b"") for number in range(3000)))))
    (file,) = client(index).files("demo")
    with pytest.raises(IndexUnreachable, match="its directory has"):
        client(index).members(file)


def test_metadata_with_more_requirements_than_any_is_refused() -> None:
    lines = "".join(f"Requires-Dist: a{number}\n" for number in range(5000))
    with pytest.raises(InputError, match="requires 5000 packages"):
        read_requirements({PythonRelease("3.11"): lines})


def page_of(wheel: Wheel, url: str, said: dict[str, Any]) -> bytes:
    row = {
        "filename": wheel.filename,
        "url": url,
        "hashes": {"sha256": wheel.sha256},
        "core-metadata": True,
        **said,
    }
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "demo", "files": [row]}).encode()


@pytest.mark.parametrize(
    "said",
    [
        {"filename": f"demo-1.0{ESCAPE}-py3-none-any.whl"},
        {"yanked": f"bad {ESCAPE}"},
        {"requires-python": ESCAPE},
        {"upload-time": ESCAPE},
        {"hashes": {"sha256": ESCAPE}},
        {"url": f"http://127.0.0.1:9/{ESCAPE}/demo-1.0-py3-none-any.whl"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_escapes_of_an_index_reach_neither_text_nor_json(
    index: IndexServer,
    said: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from envfix.cli import main

    (wheel,) = index.wheels.values()
    index.faults["/demo/"] = whole(page_of(wheel, f"{index.url}/files/{wheel.filename}", said), JSON_PAGE)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", index.simple)
    for more in ([], ["--json"]):
        assert main(["matrix", "derive", "1.0", "--package", "demo", *more]) in (0, 2, 4)
        shown = "".join(capsys.readouterr())
        assert shown and not any(sign in shown for sign in "\x1b\x07\u202e"), shown


def test_the_body_of_an_error_is_not_shown(index: IndexServer) -> None:
    index.faults["/demo/"] = whole(ESCAPE.encode(), "text/html", 418)
    with pytest.raises(EnvfixError) as caught:
        client(index).files("demo")
    assert "\x1b" not in caught.value.message and "HTTP 418" in caught.value.message


def test_a_name_that_is_a_path_is_asked_of_no_index(index: IndexServer, tmp_path: Path) -> None:
    here = RealIndex(PipConfig(index_url=tmp_path.as_uri()))
    for name in ("../../etc", "a/b", "..", ""):
        for one in (client(index), here):
            with pytest.raises(InputError, match="is no name of a package"):
                one.files(name)


def test_a_wheel_that_is_longer_than_its_page_says_is_not_fetched_whole(index: IndexServer) -> None:
    index.ranges = False
    (file,) = client(index).files("demo")
    index.faults[".whl"] = lambda handler: (
        whole(b"x" * 10, "application/zip")(handler)
        if handler.command == "HEAD"
        else endless(b"x" * 65536, "application/zip")(handler)
    )
    with pytest.raises(IndexUnreachable, match="more than 1 MiB"):
        client(index).member(file, MEMBER)
