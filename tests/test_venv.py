"""Virtual environments are made, recognised and refused; externally managed ones are left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from envfix.errors import InputError, InstallFailed
from envfix.install.permission import check_allowed
from envfix.install.transaction.change import Contended
from envfix.install.venv import Place, check_venv, make_venv, remove_venv
from envfix.model.machine import Platform
from envfix.model.target import PipConfig
from envfix.ports import Outside, Ran
from envfix.probe.interpreter import read_target
from envfix.system.outside import RealOutside
from envfix.tree import Held
from tests.apart import Apart
from tests.fakes import FakeOutside
from tests.index_server import SEEDS, IndexServer, seeds, serving
from tests.values import TARGET

MANAGED = structs.replace(TARGET, prefix="/usr", externally_managed="/usr/lib/python3.12/EXTERNALLY-MANAGED")


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with serving(*seeds()) as server:
        yield server


def made(outside: Outside, place: Place, config: PipConfig, *, offline: bool = False) -> Held:
    return make_venv(outside, place, config, offline=offline, before_asking=lambda: None)


def ensure_venv(
    outside: Outside,
    directory: str,
    python: str | None,
    config: PipConfig | None = None,
    offline: bool = False,
) -> tuple[str, bool]:
    """The two steps as `envfix.environment` takes them."""
    place = check_venv(outside, directory, python)
    if not place.there:
        made(outside, place, config or PipConfig(), offline=offline)
    return place.python, not place.there


def test_a_new_environment_has_the_interpreter_asked_for_and_pip(tmp_path: Path, index: IndexServer) -> None:
    config = PipConfig(index_url=index.simple)
    python, created = ensure_venv(Apart(tmp_path / "c"), str(tmp_path / "a/b/env"), sys.executable, config)
    assert (python, created) == (str(tmp_path / "a/b/env/bin/python"), True)
    target = read_target(RealOutside(), python)
    assert target.virtual
    assert str(target.python) == ".".join(map(str, sys.version_info[:3]))
    assert target.version_of("pip") == SEEDS["pip"]


def test_pip_comes_from_uvs_cache_where_it_is_there(tmp_path: Path, index: IndexServer) -> None:
    outside, config = Apart(tmp_path / "c"), PipConfig(index_url=index.simple)
    ensure_venv(outside, str(tmp_path / "one"), None, config)
    index.asked.clear()
    python, _ = ensure_venv(outside, str(tmp_path / "two"), None, config)
    assert index.asked == [] and read_target(RealOutside(), python).version_of("pip") == SEEDS["pip"]


@pytest.mark.slow
def test_offline_asks_no_index_for_pip(tmp_path: Path, index: IndexServer) -> None:
    config = PipConfig(index_url=index.simple)
    python, _ = ensure_venv(Apart(tmp_path / "c"), str(tmp_path / "env"), None, config, offline=True)
    assert index.asked == [] and read_target(RealOutside(), python).version_of("pip") is not None


@pytest.mark.slow
def test_without_an_index_the_standard_librarys_pip_is_taken(tmp_path: Path) -> None:
    config = PipConfig(index_url="http://127.0.0.1:9/simple/")
    python, created = ensure_venv(Apart(tmp_path / "c"), str(tmp_path / "env"), None, config)
    assert created
    assert read_target(RealOutside(), python).version_of("pip") is not None


def test_an_existing_environment_is_used_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    before = sorted(folder.rglob("*"))
    for asked in (None, sys.executable):
        assert ensure_venv(RealOutside(), str(folder), asked) == (f"{folder}/bin/python", False)
    assert sorted(folder.rglob("*")) == before


def test_an_empty_folder_becomes_an_environment(tmp_path: Path, index: IndexServer) -> None:
    (tmp_path / "env").mkdir()
    config = PipConfig(index_url=index.simple)
    assert ensure_venv(Apart(tmp_path / "c"), str(tmp_path / "env"), None, config)[1]


def test_a_folder_of_the_users_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_text("")
    with pytest.raises(InputError, match="folder with other files"):
        ensure_venv(RealOutside(), str(tmp_path / "photos"), None)
    (tmp_path / "file").write_text("")
    for name in ("file", "file/env"):
        with pytest.raises(InputError) as caught:
            ensure_venv(RealOutside(), str(tmp_path / name), None)
        assert "is a file" in caught.value.message
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["one.jpg"]


def test_no_permission_is_said_before_anything_runs() -> None:
    outside = FakeOutside(read_only=("/closed",))
    with pytest.raises(InputError, match="cannot be made: no permission"):
        ensure_venv(outside, "/closed/env", sys.executable)
    assert outside.ran == []


def existing(version: str, other: str) -> FakeOutside:
    def answer(argv: object, stdin: object) -> Ran:
        python = argv[0]  # type: ignore[index]
        return Ran((python,), 0, version if python.startswith("/w") else other, "")

    return FakeOutside(
        files={"/w/env/pyvenv.cfg": "", "/w/env/bin/python": "", "/usr/bin/python3": ""},
        answers={"python": answer, "python3": answer},
    )


def test_an_environment_of_another_python_is_refused_and_both_are_named() -> None:
    outside = existing("cpython 3.11.7\n", "cpython 3.12.1\n")
    with pytest.raises(InputError) as caught:
        ensure_venv(outside, "/w/env", "/usr/bin/python3")
    assert caught.value.message == (
        "`/w/env` is a virtual environment of Python 3.11.7, `--python /usr/bin/python3` is Python 3.12.1"
    )
    assert ensure_venv(outside, "/w/env", None) == ("/w/env/bin/python", False)


def test_a_broken_environment_and_a_missing_python_are_said() -> None:
    broken = FakeOutside(files={"/w/env/pyvenv.cfg": ""})
    with pytest.raises(InputError, match="has no working interpreter `/w/env/bin/python`"):
        ensure_venv(broken, "/w/env", None)
    with pytest.raises(InputError, match="no Python is at `/no/python`"):
        ensure_venv(FakeOutside(), "/w/env", "/no/python")


def test_an_environment_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    not_python = tmp_path / "python3"
    not_python.write_text("#!/bin/sh\necho nonsense >&2\nexit 3\n")
    not_python.chmod(0o755)
    with pytest.raises(InstallFailed, match="cannot be made: nonsense"):
        ensure_venv(Apart(tmp_path / "c"), str(tmp_path / "env"), str(not_python))
    assert not (tmp_path / "env").exists()


class Interrupted(Apart):
    """Ctrl-C while uv makes the environment, which is half there then."""

    def run(self, argv: Sequence[str], **more: object) -> Ran:  # type: ignore[override]
        if "venv" in argv:
            folder = Path(argv[-1])
            (folder / "lib").mkdir(parents=True, exist_ok=True)
            (folder / "lib64").symlink_to("lib")
            (folder / "pyvenv.cfg").write_text("home = /usr\n")
            raise KeyboardInterrupt
        return super().run(argv, **more)  # type: ignore[arg-type]


def test_an_interrupt_leaves_nothing_of_a_new_environment(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyboardInterrupt):
        ensure_venv(Interrupted(tmp_path / "c"), str(tmp_path / "there/a/b/env"), None)
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert list((tmp_path / "there").iterdir()) == []


class InterruptedEarly(Apart):
    """Ctrl-C while the mark of a new environment is written."""

    def write_text(self, path: str, text: str, mode: int = 0o644, *, lasting: bool = True) -> None:
        signal.raise_signal(signal.SIGINT)
        super().write_text(path, text, mode)


def test_an_interrupt_while_the_mark_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ensure_venv(InterruptedEarly(tmp_path / "c"), str(tmp_path / "a/b/env"), None)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["empty", "link"])
def test_an_interrupt_keeps_a_folder_that_was_there_and_empty(tmp_path: Path, name: str) -> None:
    """It may be the working folder of the user's shell, or somebody's link."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    inode = (tmp_path / "empty").stat().st_ino
    with pytest.raises(KeyboardInterrupt):
        ensure_venv(Interrupted(tmp_path / "c"), str(tmp_path / name), None)
    assert list((tmp_path / "empty").iterdir()) == []
    assert (tmp_path / "empty").stat().st_ino == inode and (tmp_path / "link").is_symlink()


def test_a_new_environment_is_removed_with_the_folders_made_for_it(
    tmp_path: Path, index: IndexServer
) -> None:
    outside, config = Apart(tmp_path / "c"), PipConfig(index_url=index.simple)
    place = check_venv(outside, str(tmp_path / "a/b/env"), None)
    assert not (tmp_path / "a").exists()
    remove_venv(outside, place, made(outside, place, config))
    assert not (tmp_path / "a").exists()
    (tmp_path / "a").mkdir()
    place = check_venv(outside, str(tmp_path / "a/b/env"), None)
    held = made(outside, place, config)
    (tmp_path / "a/b/mine").write_text("")
    remove_venv(outside, place, held)
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["mine"]


@pytest.mark.parametrize("given", ["env with spaces", "./env/", "sub/../env", "~/env", "."])
def test_a_folder_may_be_spelled_in_many_ways(
    tmp_path: Path, index: IndexServer, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    python, made = ensure_venv(Apart(tmp_path / "c"), given, None, PipConfig(index_url=index.simple))
    assert made and Path(python).is_absolute()
    assert read_target(RealOutside(), python).virtual
    assert ensure_venv(RealOutside(), given, None) == (python, False)


def test_a_link_to_an_environment_is_that_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (tmp_path / "link").symlink_to("env")
    assert ensure_venv(RealOutside(), str(tmp_path / "link"), None) == (f"{tmp_path}/link/bin/python", False)


def test_what_no_environment_can_be_made_of_is_refused_without_making_anything(tmp_path: Path) -> None:
    (tmp_path / "dead").symlink_to("nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note").write_text("")
    (tmp_path / "conda/bin").mkdir(parents=True)
    (tmp_path / "conda/bin/python").write_text("")
    before = sorted(tmp_path.rglob("*"))
    outside = RealOutside()
    for name, words in {
        "dead": f"`{tmp_path}/dead` is a link to `{tmp_path}/nowhere`, which is not there",
        "dead/env": f"`{tmp_path}/dead` is a link to",
        "full": "is a folder with other files",
        "full/note/env": f"`{tmp_path}/full/note` is a file, so",
        "conda": "has a Python, but no `pyvenv.cfg`",
    }.items():
        with pytest.raises(InputError) as caught:
            check_venv(outside, str(tmp_path / name), None)
        assert words in caught.value.message, caught.value.message
        assert caught.value.hint
    with pytest.raises(InputError, match="no Python is at"):
        check_venv(outside, str(tmp_path / "new"), str(tmp_path / "no-python"))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_reason_an_environment_cannot_be_made_holds_no_password() -> None:
    said = "error: Failed to fetch: https://me:s3cr3t@index.example/simple/pip/\n  cause: refused\n"
    failing = Ran((), 2, "", said)
    outside = FakeOutside({"/w/note": ""}, answers={"uv": failing, Path(sys.executable).name: failing})
    with pytest.raises(InstallFailed) as caught:
        ensure_venv(outside, "/w/env", None)
    assert "s3cr3t" not in caught.value.message


@pytest.mark.parametrize("platform", [None, Platform.TERMINAL, Platform.JUPYTER, Platform.CI])
def test_an_externally_managed_environment_is_refused(platform: Platform | None) -> None:
    with pytest.raises(InputError, match="PEP 668") as caught:
        check_allowed(MANAGED, platform, False)
    assert caught.value.hint is not None and "--venv" in caught.value.hint
    assert check_allowed(MANAGED, platform, True) is True


@pytest.mark.parametrize("platform", [Platform.COLAB, Platform.KAGGLE])
def test_the_notebooks_own_environment_may_be_changed(platform: Platform) -> None:
    assert check_allowed(MANAGED, platform, False) is True


def test_a_virtual_environment_needs_no_leave() -> None:
    assert check_allowed(TARGET, Platform.TERMINAL, False) is False


def test_where_no_folder_can_be_made_is_said(tmp_path: Path) -> None:
    class Closed(Apart):
        def claim_dir(self, path: str) -> bool:
            raise FileNotFoundError(2, "No such file or directory", path)

    with pytest.raises(InputError, match="env` cannot be made: No such file or directory"):
        ensure_venv(Closed(tmp_path / "c"), str(tmp_path / "env"), None)


def test_what_another_process_makes_at_the_same_time_is_left_alone(tmp_path: Path) -> None:
    place = check_venv(RealOutside(), str(tmp_path / "two"), sys.executable)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "theirs").touch()
    with pytest.raises(Contended):
        made(RealOutside(), place, PipConfig())
    assert (tmp_path / "two" / "theirs").exists()
