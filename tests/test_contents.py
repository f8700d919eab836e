"""Whether what was installed is what its RECORD says, and which files must be read to know."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
from msgspec import structs

from envfix.errors import InstallFailed
from envfix.install import digests, seals
from envfix.install.transaction.ahead import SECONDS, Ahead
from envfix.install.transaction.change import Change
from envfix.install.transaction.claims import Listed
from envfix.install.transaction.contents import wrong_files
from envfix.model.target import Distribution, Target
from envfix.system.outside import RealOutside
from envfix.tree import Stamp
from tests.values import TARGET

FILES = {"numb/__init__.py": "x = 1\n", "numb/libnumb.so": "code", "../bin/numb": "#!python\n"}
LARGE = {"numb/large.so": "code" * 250_000}
OWN = ("numb-1.0.dist-info/INSTALLER", "../bin/numb")  # what an installer writes for each environment


class Reader(RealOutside):
    """Remembers what it was asked to read whole."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.read: list[str] = []
        self.settled: list[str] = []
        self.patience = 0.0

    def settle_all(self, path: str) -> None:
        self.settled.append(path)

    def sha256(self, path: str) -> bytes:
        self.read.append(path)
        time.sleep(self.patience)
        return super().sha256(path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def environment(
    folder: Path, like: Path | None = None, more: Mapping[str, str] = MappingProxyType({})
) -> Target:
    """One with `numb` in it; its files are links to those of `like`, as uv's are to its cache's."""
    site, rows = folder / "site", []
    for name, text in {**FILES, **more, "numb-1.0.dist-info/INSTALLER": "uv\n"}.items():
        path = Path(os.path.normpath(site / name))
        path.parent.mkdir(parents=True, exist_ok=True)
        if like is not None and name not in OWN:
            os.link(like / "site" / name, path)
        else:
            path.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(text)}\n")
    (site / "numb-1.0.dist-info" / "RECORD").write_text("".join(rows))
    dist = Distribution(name="numb", version="1.0", location=str(site))
    return structs.replace(TARGET, purelib=str(site), platlib=str(site), installed=(dist,))


def wrong(target: Target, outside: Reader, ahead: Sequence[str] = ()) -> list[str]:
    found = wrong_files(outside, target, ["numb", "other"], ahead)
    return [os.path.relpath(one.path, target.purelib) for one in found]


def names(outside: Reader, target: Target) -> set[str]:
    return {os.path.relpath(path, target.purelib) for path in outside.read}


def test_what_is_linked_from_one_that_was_right_is_not_read_again(tmp_path: Path) -> None:
    first, outside = environment(tmp_path / "a"), Reader()
    assert wrong(first, outside) == []
    assert names(outside, first) == {*FILES, "numb-1.0.dist-info/INSTALLER"}
    second, outside = environment(tmp_path / "b", like=tmp_path / "a"), Reader()
    assert wrong(second, outside) == []
    assert names(outside, second) == set(OWN)


def test_a_copy_is_read(tmp_path: Path) -> None:
    assert wrong(environment(tmp_path / "a"), Reader()) == []
    second, outside = environment(tmp_path / "b"), Reader()
    assert wrong(second, outside) == []
    assert "numb/libnumb.so" in names(outside, second)


@pytest.mark.parametrize("name", ["numb/__init__.py", "numb/libnumb.so"])
def test_what_was_touched_since_is_read_and_found(name: str, tmp_path: Path) -> None:
    target = environment(tmp_path / "a")
    assert wrong(target, Reader()) == []
    path = Path(target.purelib) / name
    path.write_text("y" * path.stat().st_size)
    later = path.stat().st_mtime_ns + 10**9  # a filesystem's clock ticks every few milliseconds
    os.utime(path, ns=(later, later))
    second = environment(tmp_path / "b", like=tmp_path / "a")
    assert wrong(second, Reader()) == [name]
    assert wrong(second, Reader()) == [name], "what is wrong is not taken for right the next time"


@pytest.mark.parametrize("name", OWN)
def test_what_is_written_for_each_environment_is_always_read(name: str, tmp_path: Path) -> None:
    assert wrong(environment(tmp_path / "a"), Reader()) == []
    second = environment(tmp_path / "b", like=tmp_path / "a")
    (Path(second.purelib) / name).write_text("other")
    assert wrong(second, Reader()) == [name]


def test_a_file_that_is_missing_is_found_whatever_the_cache_says(tmp_path: Path) -> None:
    target = environment(tmp_path / "a")
    assert wrong(target, Reader()) == []
    next((tmp_path / "cache").rglob("seals.json")).write_text('[""]')
    (Path(target.purelib) / "numb" / "libnumb.so").unlink()
    assert wrong(target, Reader()) == ["numb/libnumb.so"]


def test_another_record_is_another_seal(tmp_path: Path) -> None:
    outside = Reader()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    here = [str(tmp_path / name) for name in ("file", "link", "none", "")]
    stamp, *nothing = outside.stamps(here)
    assert stamp is not None and nothing == [None, None, None]
    one = seals.seal({"a": "1"}, [stamp])
    others = [
        seals.seal({"b": "1"}, [stamp]),
        seals.seal({"a": "2"}, [stamp]),
        *(
            seals.seal({"a": "1"}, [tuple(part + (at == other) for at, part in enumerate(stamp))])
            for other in range(3)
        ),
    ]
    assert one and one not in others and len({*others}) == len(others)
    assert seals.seal({"a": "1"}, [None]) == ""
    assert seals.seal({"a": "1", "b": "2"}, [stamp, stamp]) == seals.seal(
        {"b": "2", "a": "1"}, [stamp, stamp]
    )


def test_a_large_file_is_known_by_itself(tmp_path: Path) -> None:
    """Nine wheels of NVIDIA's bring `nvidia/__init__.py`, and only the last one's is there."""
    first = environment(tmp_path / "a", more=LARGE)
    assert wrong(first, Reader()) == []
    second, outside = environment(tmp_path / "b", like=tmp_path / "a", more=LARGE), Reader()
    other = Path(second.purelib, "numb", "__init__.py")
    other.unlink()
    other.write_text(FILES["numb/__init__.py"])  # the same in another file
    assert wrong(second, outside) == []
    assert "numb/__init__.py" in names(outside, second)
    assert "numb/large.so" not in names(outside, second)


def test_of_what_uv_has_just_unpacked_the_size_of_a_large_file_is_compared(tmp_path: Path) -> None:
    archive, outside = tmp_path / "uv/archive-v0", Reader()
    with Ahead(outside, str(tmp_path / "uv"), ["numb"], settles=True) as ahead:
        unpacked(archive / "whole", tmp_path / "a", more=LARGE)
        unpacked(archive / "short", tmp_path / "b", more=LARGE, large=LARGE["numb/large.so"][:-1])
    assert "whole/numb/libnumb.so" in read_of(outside, archive)
    assert "whole/numb/large.so" not in read_of(outside, archive)
    whole, again = environment(tmp_path / "c", like=tmp_path / "a", more=LARGE), Reader()
    assert wrong(whole, again, ahead.seals) == []
    assert names(again, whole) == set(OWN)
    short, again = environment(tmp_path / "d", like=tmp_path / "b", more=LARGE), Reader()
    assert wrong(short, again, ahead.seals) == ["numb/large.so"]


@pytest.mark.parametrize("size", ["", "0000000", "1" * 16])
def test_an_empty_file_is_read_whatever_its_record_says_of_the_size(size: str, tmp_path: Path) -> None:
    archive = tmp_path / "uv/archive-v0"
    with Ahead(Reader(), str(tmp_path / "uv"), ["numb"], settles=False) as ahead:
        environment(tmp_path / "a", more=LARGE)
        record = tmp_path / "a/site/numb-1.0.dist-info/RECORD"
        record.write_text(record.read_text().replace(",1000000\n", f",{size}\n"))
        unpacked(archive / "whole", tmp_path / "b", more=LARGE, large="", like=record)
    target = environment(tmp_path / "c", like=tmp_path / "b", more=LARGE)
    shutil.copy(record, Path(target.purelib, "numb-1.0.dist-info/RECORD"))
    assert "numb/large.so" in wrong(target, Reader(), ahead.seals)


def test_the_digests_of_libraries_are_kept_for_the_next_command(tmp_path: Path) -> None:
    name = "nvidia/numb/lib/libnumb.so.1"
    library = {name: "code" * 250_000, "nvidia/numb/notes.txt": "x"}
    first = environment(tmp_path / "a", more=library)
    assert wrong(first, Reader()) == []
    second, outside = environment(tmp_path / "b", like=tmp_path / "a", more=library), Reader()
    assert wrong(second, outside) == []
    path = str(Path(second.purelib, name))
    assert path not in outside.read
    (own,) = digests.digests(outside, [path]).items()
    assert own == (path, hashlib.sha256(library[name].encode()).digest())
    assert path not in outside.read, "it was known"
    kept = json.loads(next((tmp_path / "cache").rglob("digests.json")).read_text())
    assert set(kept) == {str(Path(one.purelib, name)) for one in (first, second)}


def test_of_two_packages_with_one_file_either_may_have_its_content(tmp_path: Path) -> None:
    target = environment(tmp_path / "a")
    site = Path(target.purelib)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"of other\n").digest()).rstrip(b"=").decode()
    (site / "other-1.0.dist-info").mkdir()
    rows = f"numb/__init__.py,sha256={digest},9\n"
    (site / "other-1.0.dist-info/RECORD").write_text(rows)
    other = Distribution(name="other", version="1.0", location=str(site))
    both = structs.replace(target, installed=(*target.installed, other))
    for text, found in (("x = 1\n", []), ("of other\n", []), ("of neither", ["numb/__init__.py"] * 2)):
        (site / "numb/__init__.py").write_text(text)
        assert wrong(both, Reader()) == found[: len(set(found))]


def test_odd_paths_are_found_where_they_are(tmp_path: Path) -> None:
    target = environment(tmp_path / "a")
    site, absolute = Path(target.purelib), tmp_path / "absolute"
    absolute.write_text("x = 1\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
    odd = [str(absolute), "numb/../numb/__init__.py", "./numb/__init__.py", "numb//__init__.py"]
    with (site / "numb-1.0.dist-info/RECORD").open("a") as record:
        record.writelines(f"{name},sha256={digest},6\n" for name in odd)
        record.write("numb/gone.py,sha512=abc,1\n")
    assert wrong(target, Reader()) == []
    absolute.write_text("y")
    assert wrong(target, Reader()) == [os.path.relpath(absolute, site)]


def test_what_a_disk_did_not_take_is_raised_at_the_end(tmp_path: Path) -> None:
    class Full(Reader):
        def settle_all(self, path: str) -> None:
            raise OSError(28, "No space left on device", path)

    outside = Full()
    with (
        pytest.raises(OSError, match="No space left"),
        Ahead(outside, str(tmp_path / "uv"), ["numb"], settles=True),
    ):
        unpacked(tmp_path / "uv/archive-v0/whole", tmp_path / "a")
        until(lambda: bool(outside.read))
        time.sleep(SECONDS)
    assert seals.known(Reader()) == ()


def test_a_damaged_cache_is_none(tmp_path: Path) -> None:
    outside = Reader()
    seals.remember(outside, (), ["one", "", "two"])
    seals.remember(outside, ("one", "two"), ["three", "one"])
    assert seals.known(outside) == ("two", "three", "one")
    next((tmp_path / "cache").rglob("seals.json")).write_text('["one", 2')
    assert seals.known(outside) == ()


def test_what_appears_in_uvs_cache_is_read_while_the_rest_is_fetched(tmp_path: Path) -> None:
    archive, outside = tmp_path / "uv/archive-v0", Reader()
    unpacked(archive / "before", tmp_path / "before")
    with Ahead(outside, str(tmp_path / "uv"), ["numb"], settles=False) as ahead:
        unpacked(archive / "whole", tmp_path / "a")
        unpacked(archive / "damaged", tmp_path / "b", libnumb="c0de")
        until(lambda: {"whole/numb/libnumb.so", "damaged/numb/libnumb.so"} <= read_of(outside, archive))
    assert not any(path.startswith("before") for path in read_of(outside, archive))
    assert len(outside.read) == len(set(outside.read)), "nothing is read twice"
    assert outside.settled == []
    assert seals.known(outside) == (), "what no environment has is not remembered"
    whole, again = environment(tmp_path / "c", like=tmp_path / "a"), Reader()
    assert wrong(whole, again, ahead.seals) == []
    assert names(again, whole) == set(OWN)
    damaged, again = environment(tmp_path / "d", like=tmp_path / "b"), Reader()
    assert wrong(damaged, again, ahead.seals) == ["numb/libnumb.so"]


def test_a_wheel_of_another_package_is_not_read(tmp_path: Path) -> None:
    archive, outside = tmp_path / "uv/archive-v0", Reader()
    with Ahead(outside, str(tmp_path / "uv"), ["tensorflow"], settles=False) as ahead:
        unpacked(archive / "whole", tmp_path / "a")
    assert (outside.read, ahead.seals) == ([], [])


def test_what_is_fetched_is_brought_to_the_disk_meanwhile(tmp_path: Path) -> None:
    outside = Reader()
    with Ahead(outside, str(tmp_path / "uv"), ["numb"], settles=True):
        unpacked(tmp_path / "uv/archive-v0/whole", tmp_path / "a")
        until(lambda: bool(outside.settled))
        time.sleep(3 * SECONDS)
    assert outside.settled == [str(tmp_path / "uv")], "once for each time that something came"


def test_after_a_failure_nothing_more_is_read(tmp_path: Path) -> None:
    archive, outside = tmp_path / "uv/archive-v0", Reader()
    outside.patience = 0.2
    ahead = Ahead(outside, str(tmp_path / "uv"), ["numb"], settles=True)
    with pytest.raises(KeyboardInterrupt), ahead:
        unpacked(archive / "whole", tmp_path / "a")
        until(lambda: bool(outside.read))
        raise KeyboardInterrupt
    time.sleep(0.5)
    assert len(outside.read) < len(FILES)
    assert ahead.seals == []


def unpacked(
    wheel: Path,
    folder: Path,
    libnumb: str = "code",
    more: Mapping[str, str] = MappingProxyType({}),
    large: str | None = None,
    like: Path | None = None,
) -> None:
    """The wheel as uv has it in its cache, moved there at once; `folder` gets an environment of its files."""
    environment(folder, more=more)
    (folder / "site/numb/libnumb.so").write_text(libnumb)
    if large is not None:
        (folder / "site/numb/large.so").write_text(large)
    if like is not None:
        shutil.copy(like, folder / "site/numb-1.0.dist-info/RECORD")
    wheel.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder / "site", wheel.parent / ".tmp", copy_function=os.link)
    (wheel.parent / ".tmp").rename(wheel)


def read_of(outside: Reader, archive: Path) -> set[str]:
    return {os.path.relpath(path, archive) for path in outside.read}


def until(there: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def changed(folder: Path, outside: Reader, more: Mapping[str, str] = MappingProxyType({})) -> Change:
    """A change that has just brought `numb` into an empty environment."""
    now = environment(folder, more=more)
    return Change(outside, structs.replace(now, installed=()), lambda: now)


def test_what_is_looked_at_beside_is_read_once(tmp_path: Path) -> None:
    outside = Reader()
    change = changed(tmp_path / "a", outside)
    change.installed({"numb": "1.0"}, ())
    change.finish()
    assert len(outside.read) == len(set(outside.read)) == len(FILES) + 1


@pytest.mark.parametrize("pins", [{"numb": "1.0"}, {"numb": "1.0.0"}, {}])
def test_a_wrong_file_fails_the_change_whether_or_not_it_is_looked_at_beside(
    tmp_path: Path, pins: dict[str, str]
) -> None:
    change = changed(tmp_path / "a", Reader())
    (tmp_path / "a/site/numb/libnumb.so").write_text("cut")
    change.installed(pins, ())
    with pytest.raises(InstallFailed, match=r"numb/libnumb\.so"):
        change.finish()


def test_a_package_in_the_other_folder_is_looked_at_beside(tmp_path: Path) -> None:
    outside, now = Reader(), environment(tmp_path / "a")
    empty = structs.replace(now, installed=(), purelib=str(tmp_path / "pure"))
    Change(outside, empty, lambda: now).installed({"numb": "1.0"}, ())
    until(lambda: len(outside.read) == len(FILES) + 1)


def test_the_loader_is_looked_at_in_the_end(tmp_path: Path) -> None:
    folder, outside = tmp_path / "a", Reader()
    before = environment(folder)
    info = folder / "site" / "envfix_loader-1.0.dist-info"
    now = structs.replace(
        before, installed=(*before.installed, Distribution(name="envfix-loader", version="1.0"))
    )
    # One that was there, and is written anew after the rest.
    change = Change(outside, structs.replace(now, installed=now.installed[1:]), lambda: now)
    change.installed({"numb": "1.0"}, ())
    until(lambda: len(outside.read) == len(FILES) + 1)
    info.mkdir()
    (info / "RECORD").write_text(f"_envfix_loader.py,sha256={'A' * 43},1\n")
    (folder / "site" / "_envfix_loader.py").write_text("x")
    with pytest.raises(InstallFailed, match=r"_envfix_loader\.py"):
        change.finish()


class Failing(Reader):
    """A disk that fails, and a system that has no more threads."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def stamps(self, paths: Iterable[str]) -> list[Stamp | None]:
        if self.where == "stamps":
            raise OSError(5, "Input/output error")
        return super().stamps(paths)

    def sha256(self, path: str) -> bytes:
        if self.where == "sha256":
            raise RuntimeError("Input/output error")
        return super().sha256(path)


@pytest.mark.parametrize("where", ["stamps", "sha256"])
def test_what_goes_wrong_beside_is_raised_in_the_end(tmp_path: Path, where: str) -> None:
    change = changed(tmp_path / "a", Failing(where))
    change.installed({"numb": "1.0"}, ())
    with pytest.raises((OSError, RuntimeError), match="Input/output error"):
        change.finish()


def test_one_that_cannot_be_read_for_another_reason_ends_the_reading(tmp_path: Path) -> None:
    class Once(Reader):
        def sha256(self, path: str) -> bytes:
            if not self.read:
                super().sha256(path)
                raise RuntimeError("once")
            return super().sha256(path)

    outside = Once()
    outside.patience = 0.02
    files = [str(tmp_path / str(number)) for number in range(60)]
    for path in files:
        Path(path).write_text(path)
    with pytest.raises(RuntimeError, match="once"):
        digests.computed(outside, files)
    assert len(outside.read) < 10


def test_what_was_found_right_on_the_way_is_not_read_beside(tmp_path: Path) -> None:
    outside = Reader()
    now = environment(tmp_path / "a")
    assert wrong(now, outside) == []
    known = seals.known(outside)
    shutil.rmtree(tmp_path / "cache")
    outside.read.clear()
    change = Change(outside, structs.replace(now, installed=()), lambda: now)
    change.seals = known
    change.installed({"numb": "1.0"}, ())
    change.finish()
    assert known and names(outside, now) == set(OWN)


@pytest.mark.parametrize("spelled", ["1.0", "1.00"])
@pytest.mark.parametrize("last", ["numb", "other"])
def test_a_file_of_two_is_right_as_one_of_them_has_it(tmp_path: Path, last: str, spelled: str) -> None:
    """The one whose version is spelled otherwise than its pin is known only in the end."""
    now = environment(tmp_path / "a")
    site = Path(now.purelib)
    texts = {"numb": "x = 1\n", "other": "x = 2\n"}
    info = site / f"other-{spelled}.dist-info"
    info.mkdir()
    digest = base64.urlsafe_b64encode(hashlib.sha256(texts["other"].encode()).digest()).rstrip(b"=").decode()
    (info / "RECORD").write_text(f"numb/__init__.py,sha256={digest},6\n")
    (site / "numb/__init__.py").write_text(texts[last])
    other = Distribution(name="other", version=spelled, location=str(site))
    now = structs.replace(now, installed=(*now.installed, other))
    change = Change(Reader(), structs.replace(now, installed=()), lambda: now)
    change.installed({"numb": "1.0", "other": "1.0"}, ())
    change.finish()
    (site / "numb/__init__.py").write_text("x = 3\n")
    change.installed({"numb": "1.0", "other": "1.0"}, ())
    with pytest.raises(InstallFailed, match=r"numb/__init__\.py"):
        change.finish()


def test_what_is_given_up_is_not_read_to_its_end(tmp_path: Path) -> None:
    outside = Reader()
    outside.patience = 0.1
    change = changed(tmp_path / "a", outside, {f"numb/{number}.py": str(number) for number in range(40)})
    change.installed({"numb": "1.0"}, ())
    until(lambda: bool(outside.read))
    change.give_up()
    time.sleep(0.3)
    read = len(outside.read)
    time.sleep(0.3)
    assert len(outside.read) == read < 40


@pytest.mark.parametrize(
    "name", ["numb/a.py", "numb//a.py", "./numb/a.py", "numb/./a.py", "other/../numb/a.py", "/elsewhere/a.py"]
)
def test_paths_are_right_however_they_are_written(name: str) -> None:
    one = Listed("numb", "/site", {}, {}, {})
    right = "/elsewhere/a.py" if name.startswith("/") else "/site/numb/a.py"
    assert list(one.paths(["numb/b.py", name])) == ["/site/numb/b.py", right]
    assert list(one.paths([name, "numb/b.py"])) == [right, "/site/numb/b.py"]
