"""Files that mean harm, a machine's, a lock, the cache: each is refused in a sentence, and soon."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from envfix import cache
from envfix.errors import EnvfixError, InputError
from envfix.lock.pylock import read_lock, read_pylock, render_pylock
from envfix.matrix.parsed import plain_tables
from envfix.probe.machine_file import load_machine
from envfix.system import reading
from envfix.system.outside import RealOutside
from tests.test_lock import LOCK

CASES = yaml.safe_load((Path(__file__).parent / "data/hostile/machines.yaml").read_text())
DEEP = 100_000


def refusal(read: Callable[[], object]) -> str:
    """What it is refused with, within a few seconds whatever the machine is busy with."""
    began = time.monotonic()
    with pytest.raises(EnvfixError) as caught:
        read()
    assert time.monotonic() - began < 8
    assert len(caught.value.message) < 1000
    return caught.value.message


def machine(folder: Path, text: str | bytes, kind: str = "yaml") -> Callable[[], object]:
    path = folder / f"machine.{kind}"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return lambda: load_machine(RealOutside(), str(path), str(folder / "shipped"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_machine_file_is_read_or_refused_in_a_sentence(case: dict[str, str], tmp_path: Path) -> None:
    read = machine(tmp_path, case["text"], case.get("kind", "yaml"))
    if "says" in case:
        assert case["says"] in refusal(read)
    else:
        read()


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("[" * DEEP, "yaml", "nested too deeply"),
        ("- " * 60_000 + "a", "yaml", "nested too deeply"),
        ("? " * 60_000 + "a", "yaml", "nested too deeply"),
        ("".join(" " * depth + "-\n" for depth in range(600)), "yaml", "nested too deeply"),
        ("[" * DEEP, "json", "nested too deeply"),
        ('{"a":' * 40_000, "json", "nested too deeply"),
        ("gpus:\n" + "- {name: x}\n" * 10_000_000, "yaml", "at most 256 KiB"),
        ("gpus:\n" + "- {name: x}\n" * 8_000, "yaml", "expected at most 1024, found 8000"),
        ("gpus: [{memory_mib: " + "9" * 100_000 + "}]", "yaml", "expected `int`"),
        ('{"gpus": [{"memory_mib": ' + "9" * 100_000 + "}]}", "json", "a number of 100000 digits"),
        ('python: "' + "9." * 50_000 + '9"', "yaml", "expected numbers joined by dots"),
        ('installed: {numpy: "' + "9" * 10_000 + '"}', "yaml", "expected a version"),
        ("name: x\n".encode("utf-16"), "yaml", "not UTF-8"),
        (b"name: a\0b\n", "yaml", "control characters are not allowed"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_a_machine_file_of_any_size_and_depth_is_refused(
    text: str | bytes, kind: str, says: str, tmp_path: Path
) -> None:
    assert says in refusal(machine(tmp_path, text, kind))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with (tmp_path / "hole.yaml").open("wb") as file:
        file.truncate(10 << 30)
    for name, says in {
        "pipe.yaml": "it is a named pipe, not a file",
        "loop.yaml": "Too many levels of symbolic links",
        "hole.yaml": "at most 256 KiB",
        "../no/such": "No such file",
        ".": "Is a directory",
        "/dev/zero": "at most 256 KiB",
    }.items():
        path = str(tmp_path / name) if name.endswith("yaml") else name
        assert says in refusal(lambda path=path: load_machine(RealOutside(), path, "/none")), name


def test_a_pipe_of_the_shell_is_read_and_one_that_is_silent_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `/dev/stdin` and `<(...)` are."""
    monkeypatch.setattr(reading, "SILENCE", 0.2)
    mine, theirs = os.pipe()
    path = f"/dev/fd/{mine}"
    assert "nothing was written into it" in refusal(lambda: load_machine(RealOutside(), path, "/none"))
    os.write(theirs, b"name: piped\n")
    os.close(theirs)
    assert load_machine(RealOutside(), path, "/none").name == "piped"
    os.close(mine)


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "machines").mkdir()
    (tmp_path / "secret.yaml").write_text("name: x\n")
    for name in ("../secret", "..", "machines/../secret", "\x1b[31m", ""):
        refusal(lambda name=name: load_machine(RealOutside(), name, str(tmp_path / "machines")))


TEXT = render_pylock(LOCK)
WHEEL = next(line for line in TEXT.splitlines() if line.startswith("url ="))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (WHEEL, WHEEL.replace("https", "ftp"), "expected a URL of http, https or file"),
        (WHEEL, WHEEL.replace("https", "git+https"), "expected a URL of http, https or file"),
        (WHEEL, 'name = "../../x-1.0-py3-none-any.whl"\n' + WHEEL, "invalid sdist filename"),
        ("sha256 =", "md5 =", "expected `sha256`"),
        ("lock-version", "a = " + "[" * DEEP + "\nlock-version", "nested too deeply"),
        ("lock-version", ".".join("a" * DEEP) + " = 1\nlock-version", "nested too deeply"),
        ("lock-version", "a = " + "9" * DEEP + "\nlock-version", "not valid TOML"),
        (f'tensorflow = "{LOCK.tensorflow}"', 'tensorflow = "2.4.0"', "expected 2.4.0 among the packages"),
        ("lock-version", "# " + "x" * (5 << 20) + "\nlock-version", "at most 4 MiB"),
        ("size = ", "size = -", "expected bytes, found -"),
        ("size = ", "size = 9999999999999", "expected bytes, found 9"),
    ],
    ids=lambda value: str(value[:30]),
)
def test_a_lock_that_lies_is_refused(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in TEXT
    (tmp_path / "pylock.toml").write_text(TEXT.replace(old, new, 1))
    assert says in refusal(lambda: read_lock(RealOutside(), str(tmp_path / "pylock.toml")))


def test_a_package_that_stands_twice_or_has_a_condition_is_refused() -> None:
    first = TEXT[TEXT.index("[[packages]]") : TEXT.index("[[packages]]", TEXT.index("[[packages]]") + 5)]
    with pytest.raises(InputError, match="stands twice"):
        read_pylock(TEXT.replace(first, first + first, 1), "lock")
    marked = first.replace("version =", "marker = \"os_name == 'nt'\"\nversion =", 1)
    with pytest.raises(InputError, match="a lock of envfix's has none"):
        read_pylock(TEXT.replace(first, marked, 1), "lock")


def test_a_cache_that_others_can_write_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outside = RealOutside()
    place = cache.place(outside, "matrix.json")
    cache.keep(outside, place, b"mine")
    assert cache.kept(outside, place) == b"mine"
    Path(place).parent.chmod(0o777)
    assert cache.kept(outside, place) is None
    cache.keep(outside, place, b"again")
    assert Path(place).read_bytes() == b"mine"
    Path(place).parent.chmod(0o755)
    Path(place).chmod(0o666)
    assert cache.kept(outside, place) is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_cache_of_another_user_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outside = RealOutside()
    place = cache.place(outside, "solutions", "ab.toml")
    cache.keep(outside, place, b"mine")
    os.chown(place, 12345, 12345)
    assert cache.kept(outside, place) is None
    os.chown(place, 0, 0)
    os.chown(Path(place).parent, 12345, 12345)
    assert cache.kept(outside, place) is None
    # `sudo` with another user's HOME: their link must not lead root to a file of the system's.
    Path(place).unlink()
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    Path(place).symlink_to(victim)
    cache.keep(outside, place, b"overwritten")
    assert victim.read_text() == "untouched"


def test_a_relative_cache_folder_is_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", ".")
    assert not cache.place(RealOutside(), "x").startswith((str(tmp_path), "here", "."))


def test_a_poisoned_cache_of_the_matrix_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outside, texts = RealOutside(), {"a.yaml": "rows: [1, 2]\n"}
    wanted = plain_tables(outside, texts, "digest")
    kept = tmp_path / "envfix" / "matrix.json"
    right = kept.read_bytes()
    poisons = (
        b"",
        b"\n",
        b"\n[[[",
        b"\n" + b"[" * DEEP,
        b"\n\xff\xfe",
        b"\n{}",
        b"\nnull",
        b'\n{"b.yaml": 1}',
    )
    for poison in (*(b"digest" + body for body in poisons), b"\0" * 1000, b"other" + right[6:]):
        kept.write_bytes(poison)
        assert plain_tables(outside, texts, "digest") == wanted
        assert kept.read_bytes() == right
