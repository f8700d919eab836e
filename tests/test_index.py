"""The real index client against a real index on loopback, its faults included, and against a folder."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envfix.errors import IndexUnreachable
from envfix.model.target import PipConfig
from envfix.system import index as module
from envfix.system import session
from envfix.system.index import RealIndex
from envfix.system.wheel_ends import metadata_in, without_missing_members
from tests.index_server import IndexServer, Wheel, build_wheel, serving

MEMBER = "demo/build_info.py"


def demo(version: str = "1.0") -> Wheel:
    return build_wheel(
        "demo",
        version,
        ["numpy>=1"],
        modules={MEMBER: f"built = '{version}'\n", "demo/big.py": "#" * 200_000},
    )


def client(index: IndexServer) -> RealIndex:
    return RealIndex(PipConfig(index_url=index.simple, timeout=5))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "BACKOFF", 0.0)


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "html"])
def test_files_come_with_what_the_page_says(as_json: bool) -> None:
    with serving(demo("1.0"), demo("1.1")) as index:
        index.json = as_json
        files = client(index).files("demo")
        assert [file.filename for file in files] == ["demo-1.0-py3-none-any.whl", "demo-1.1-py3-none-any.whl"]
        assert files[0].sha256 == demo("1.0").sha256
        assert files[0].upload_time == ("2024-01-01T00:00:00Z" if as_json else None)
        assert client(index).files("nothing-here") == ()


def test_metadata_beside_the_wheel_is_taken_and_the_wheel_is_left_alone() -> None:
    with serving(demo()) as index:
        (file,) = client(index).files("demo")
        assert "Requires-Dist: numpy>=1" in client(index).metadata(file)
        assert not [line for line in index.asked if line.endswith(".whl")]


def test_without_metadata_beside_it_the_wheel_is_read_by_ranges() -> None:
    with serving(demo()) as index:
        index.metadata = False
        (file,) = client(index).files("demo")
        assert "Requires-Dist: numpy>=1" in client(index).metadata(file)


def large() -> Wheel:
    """A central directory of 300 KB, as large wheels have it, with METADATA near its end."""
    modules = {f"demo/{number:04}{'x' * 60}.py": "" for number in range(3000)}
    return build_wheel("demo", "1.0", ["numpy>=1"], modules=modules)


LARGE = large().data


def moved(wheel: Wheel, place: Callable[[str], object]) -> Wheel:
    """The wheel with its members in another order."""
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as old, zipfile.ZipFile(data, "w") as new:
        for name in sorted(old.namelist(), key=lambda name: (place(name), name)):
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED)
    return replace(wheel, data=data.getvalue())


@pytest.mark.parametrize(
    ("wheel", "least", "most"),
    [
        # The end and the start of a wheel: 64 KB each, and METADATA in one of them.
        (large(), 64 << 10, 140_000),
        (moved(large(), lambda name: "METADATA" not in name), 64 << 10, 70_000),
        # In the middle: the whole directory after both.
        (moved(large(), lambda name: "5" if "METADATA" in name else name[6:7]), 300_000, 600_000),
    ],
    ids=["at the end", "at the start", "in the middle"],
)
def test_metadata_of_a_large_wheel_costs_its_ends_and_not_its_whole_directory(
    wheel: Wheel, least: int, most: int
) -> None:
    bodies: list[Any] = []
    with serving(wheel) as index:
        index.metadata = False
        config = PipConfig(index_url=index.simple)
        read = RealIndex(config, on_response=lambda answer: bodies.append(answer.raw))
        (file,) = read.files("demo")
        bodies.clear()
        assert "Requires-Dist: numpy>=1" in read.metadata(file)
        assert least <= sum(body.tell() for body in bodies) <= most


def test_a_server_without_ranges_is_not_asked_for_the_start_of_a_wheel_that_is_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WHOLE_FILE_LIMIT", 1000)
    bodies: list[Any] = []
    with serving(moved(large(), lambda name: "METADATA" not in name)) as index:
        index.metadata = index.ranges = False
        config = PipConfig(index_url=index.simple)
        read = RealIndex(config, on_response=lambda answer: bodies.append(answer.raw))
        (file,) = read.files("demo")
        bodies.clear()
        with pytest.raises(IndexUnreachable, match="serves no ranges"):
            read.metadata(file)
        assert sum(body.tell() for body in bodies) < 100_000


def test_a_member_whose_size_comes_after_it_is_not_guessed() -> None:
    class Pipe(io.RawIOBase):
        """What cannot seek is written with sizes behind the members."""

        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", "Name: demo\n")
    assert metadata_in(pipe.data) is None


@given(st.integers(0, 3000), st.binary(max_size=60))
def test_the_start_of_any_bytes_holds_metadata_or_none(cut: int, noise: bytes) -> None:
    first = moved(demo(), lambda name: "METADATA" not in name).data
    found = metadata_in(first[:cut])
    assert found is None or found.startswith(b"Metadata-Version")
    for bytes_ in (noise, b"PK\x03\x04" + noise, first[:cut] + noise + first[cut:]):
        with contextlib.suppress(ValueError):
            metadata_in(bytes_)


@given(st.binary(max_size=200), st.integers(200, len(LARGE)))
def test_the_end_of_an_archive_is_an_archive_of_its_last_members(noise: bytes, length: int) -> None:
    assert len(without_missing_members(noise, length)) == len(noise)
    start = len(LARGE) - length
    trimmed = without_missing_members(LARGE[start:], start)
    assert len(trimmed) == length
    with zipfile.ZipFile(io.BytesIO(LARGE[:start] + trimmed)) as archive:
        assert archive.namelist()[-1] == "demo-1.0.dist-info/RECORD"
        assert archive.testzip() is None


def test_a_member_is_streamed_and_no_more_of_it_is_read_than_is_taken() -> None:
    with serving(demo()) as index:
        (file,) = client(index).files("demo")
        assert b"".join(client(index).stream(file, "demo/big.py")) == b"#" * 200_000
        pieces = client(index).stream(file, MEMBER)
        assert next(pieces) == b"built = '1.0'\n"
        with pytest.raises(KeyError):
            next(client(index).stream(file, "demo/absent.py"))


def test_members_are_read_one_by_one() -> None:
    with serving(demo()) as index:
        (file,) = client(index).files("demo")
        assert client(index).members(file)["demo/big.py"] == 200_000
        assert client(index).member(file, MEMBER) == b"built = '1.0'\n"
        with pytest.raises(KeyError):
            client(index).member(file, "demo/absent.py")


def test_a_server_without_ranges_costs_the_whole_file_and_only_a_small_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(demo()) as index:
        index.ranges = False
        (file,) = client(index).files("demo")
        assert client(index).member(file, MEMBER) == b"built = '1.0'\n"
        monkeypatch.setattr(module, "WHOLE_FILE_LIMIT", 10)
        with pytest.raises(IndexUnreachable, match="serves no ranges"):
            client(index).member(file, MEMBER)


def test_threads_may_share_one_client() -> None:
    with serving(*(demo(f"1.{number}") for number in range(12))) as index:
        shared = client(index)
        files = shared.files("demo")
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(lambda file: shared.member(file, MEMBER), files))
        assert read == [f"built = '1.{number}'\n".encode() for number in range(12)]


def test_several_indexes_are_joined_in_order() -> None:
    with serving(demo("1.0")) as one, serving(demo("2.0")) as two:
        both = RealIndex(PipConfig(index_url=one.simple, extra_index_urls=(two.simple,)))
        assert [file.filename for file in both.files("demo")] == [
            "demo-1.0-py3-none-any.whl",
            "demo-2.0-py3-none-any.whl",
        ]


def test_no_index_asks_nobody() -> None:
    with serving(demo()) as index:
        assert RealIndex(PipConfig(index_url=index.simple, no_index=True)).files("demo") == ()
        assert index.asked == []


def test_a_server_error_is_tried_again_and_then_said() -> None:
    with serving(demo()) as index:
        index.faults["/demo/"] = 503
        with pytest.raises(IndexUnreachable, match="HTTP 503") as caught:
            client(index).files("demo")
        assert len(index.asked) == 4
        assert caught.value.exit_code == 4 and "--offline" in (caught.value.hint or "")


@pytest.mark.parametrize("status", [401, 403, 418])
def test_a_refusal_is_said_at_once(status: int) -> None:
    with serving(demo()) as index:
        index.faults["/demo/"] = status
        with pytest.raises(IndexUnreachable, match=f"HTTP {status}"):
            client(index).files("demo")
        assert len(index.asked) == 1


def test_a_connection_that_is_refused_is_one_sentence_without_the_password() -> None:
    config = PipConfig(index_url="http://someone:hunter2@127.0.0.1:9/simple", timeout=2)
    with pytest.raises(IndexUnreachable) as caught:
        RealIndex(config).files("demo")
    assert "`127.0.0.1:9` did not answer" in caught.value.message
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}" and "\n" not in caught.value.message
    assert "HTTPConnection" not in caught.value.message


def test_a_file_that_ends_halfway_is_no_wheel() -> None:
    with serving(demo()) as index:
        (file,) = client(index).files("demo")
        index.faults[".whl"] = "drop"
        with pytest.raises(IndexUnreachable):
            client(index).member(file, MEMBER)


def test_a_stalled_server_does_not_hold_envfix_for_ever() -> None:
    with serving(demo()) as index:
        index.faults["/demo/"] = "stall"
        with pytest.raises(IndexUnreachable, match="timed out"):
            RealIndex(PipConfig(index_url=index.simple, timeout=0.2)).files("demo")


def test_user_and_password_of_an_index_url_are_sent_to_its_host_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = session._HostAuth({"https://index.example": ("someone", "hunter2")})
    import requests

    def asked(url: str) -> str | None:
        return users(requests.Request("GET", url).prepare()).headers.get("Authorization")

    assert asked("https://index.example/simple/demo/") is not None
    assert asked("https://files.example/demo.whl") is None
    assert asked("http://index.example/demo.whl") is None


def folder(root: Path, wheel: Wheel) -> str:
    (root / "simple" / "demo").mkdir(parents=True)
    (root / "files").mkdir()
    (root / "files" / wheel.filename).write_bytes(wheel.data)
    link = f'<a href="../../files/{wheel.filename}#sha256={wheel.sha256}">{wheel.filename}</a>'
    (root / "simple" / "demo" / "index.html").write_text(f"<html><body>{link}</body></html>")
    return (root / "simple").as_uri()


def test_a_folder_serves_as_an_index(tmp_path: Path) -> None:
    here = RealIndex(PipConfig(index_url=folder(tmp_path, demo())))
    (file,) = here.files("demo")
    assert "Requires-Dist: numpy>=1" in here.metadata(file)
    assert here.member(file, MEMBER) == b"built = '1.0'\n"
    assert here.files("nothing-here") == ()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(IndexUnreachable, match="is not there"):
        RealIndex(PipConfig(index_url=(tmp_path / "absent").as_uri())).files("demo")


def test_a_file_that_is_no_wheel_is_said(tmp_path: Path) -> None:
    url = folder(tmp_path, demo())
    next((tmp_path / "files").iterdir()).write_bytes(b"not a zip file")
    (file,) = RealIndex(PipConfig(index_url=url)).files("demo")
    with pytest.raises(IndexUnreachable, match="is not what the index says"):
        RealIndex(PipConfig(index_url=url)).members(file)
