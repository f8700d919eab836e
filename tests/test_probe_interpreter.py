"""The target interpreter: real ones are asked, and whatever is no Python is refused in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envfix.errors import InputError
from envfix.model.machine import Os
from envfix.model.target import Target
from envfix.model.versions import PythonRelease
from envfix.probe.interpreter import distributions, read_target, running_python
from envfix.system.outside import RealOutside
from tests.pythons import python_of


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("target") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def site_packages(venv: Path) -> Path:
    return next(venv.glob("lib/python*/site-packages"))


def install(folder: Path, name: str, version: str, *requires: str, extra: str = "") -> Path:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    lines = [f"Requires-Dist: {one}" for one in requires]
    head = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
    (info / "METADATA").write_text(f"{head}\n\n{extra}")
    (info / "INSTALLER").write_text("uv\n")
    return info


def script(folder: Path, text: str, name: str = "python") -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def read(python: str | Path, **options: float) -> Target:
    return read_target(RealOutside(quiet=True), str(python), **options)


def test_the_running_interpreter_says_what_it_is() -> None:
    target = read(running_python())
    assert target.python == PythonRelease(".".join(map(str, sys.version_info[:3])))
    assert target.feature == PythonRelease(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert target.prefix == sys.prefix and target.virtual == (sys.prefix != sys.base_prefix)
    assert target.implementation == "cpython"
    assert target.version_of("msgspec") is not None


def test_a_virtual_environment_is_one_and_its_own_packages_are_listed(venv: Path) -> None:
    install(site_packages(venv), "ml_dtypes", "0.5.1", "numpy>=1.21", 'numpy>=2; python_version >= "3.12"')
    target = read(venv / "bin" / "python")
    assert target.virtual and target.prefix == str(venv) and target.externally_managed == ""
    assert target.executable == str(venv / "bin" / "python")
    assert target.purelib == str(site_packages(venv))
    [dist] = [one for one in target.installed if one.name == "ml-dtypes"]
    assert dist.version == "0.5.1" and dist.installer == "uv" and dist.location == str(site_packages(venv))
    assert dist.requires == ("numpy>=1.21", 'numpy>=2; python_version >= "3.12"')


def test_only_the_header_of_the_metadata_counts(venv: Path) -> None:
    install(site_packages(venv), "honest", "1.0", extra="Requires-Dist: evil\nVersion: 9.9\n")
    dist = next(one for one in read(venv / "bin" / "python").installed if one.name == "honest")
    assert (dist.version, dist.requires) == ("1.0", ())


def test_leftovers_of_a_broken_uninstall_are_no_packages(venv: Path) -> None:
    install(site_packages(venv), "~umpy", "1.0")
    (site_packages(venv) / "empty-1.0.dist-info").mkdir()
    (site_packages(venv) / "binary-1.0.dist-info").mkdir()
    (site_packages(venv) / "binary-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe\0\0")
    names = {dist.name for dist in read(venv / "bin" / "python").installed}
    assert not names & {"umpy", "~umpy", "empty", "binary"}


def test_old_eggs_are_read_too(venv: Path) -> None:
    egg = site_packages(venv) / "legacy.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: legacy\nVersion: 0.3\n")
    (egg / "requires.txt").write_text('six\n\n[:python_version < "3.8"]\ntyping\n\n[gpu]\ncupy\n')
    dist = next(one for one in read(venv / "bin" / "python").installed if one.name == "legacy")
    assert dist.requires == ("six", 'typing; python_version < "3.8"', 'cupy; extra == "gpu"')


def test_path_files_are_followed_but_never_executed(venv: Path, tmp_path: Path) -> None:
    install(tmp_path / "src", "editable", "2.0")
    mark = tmp_path / "executed"
    lines = f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n{tmp_path / 'src'}\n"
    path = site_packages(venv) / "noisy.pth"
    path.write_text(lines)
    try:
        assert read(venv / "bin" / "python").version_of("editable") == "2.0"
    finally:
        path.unlink()
    assert not mark.exists()


def test_the_first_of_two_versions_on_the_path_counts(venv: Path, tmp_path: Path) -> None:
    install(site_packages(venv), "twice", "1.0")
    install(tmp_path / "later", "twice", "2.0")
    path = site_packages(venv) / "later.pth"
    path.write_text(f"{tmp_path / 'later'}\n")
    try:
        assert read(venv / "bin" / "python").version_of("twice") == "1.0"
    finally:
        path.unlink()


def test_pythonpath_and_pythonhome_do_not_mislead(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert read(venv / "bin" / "python").prefix == str(venv)


def test_an_environment_that_sees_the_systems_packages_lists_both(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    command = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(folder)]
    subprocess.run(command, check=True)
    install(site_packages(folder), "pip", "0.1")
    alone = read(Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}"))
    both = read(folder / "bin" / "python")
    assert both.version_of("pip") == "0.1"
    assert {dist.name for dist in both.installed} == {dist.name for dist in alone.installed} | {"pip"}


def test_the_users_packages_are_seen_where_python_sees_them(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path))
    monkeypatch.delenv("PYTHONNOUSERSITE", raising=False)
    feature = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    install(tmp_path / "lib" / feature / "site-packages", "mine", "1.0")
    system = Path(sys.base_prefix, "bin", feature)
    assert read(system).version_of("mine") == "1.0"
    assert read(venv / "bin" / "python").version_of("mine") is None
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    assert read(system).version_of("mine") is None


def test_reading_leaves_nothing_behind(venv: Path) -> None:
    before = sorted(venv.rglob("*"))
    read(venv / "bin" / "python")
    assert sorted(venv.rglob("*")) == before


def test_five_hundred_packages_take_less_than_a_third_of_a_second(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    for number in range(500):
        requires = [f"dependency-{index}>=1.{index}" for index in range(20)]
        install(
            site_packages(folder), f"package{number}", "1.0", *requires, extra="long description\n" * 2000
        )
    best = 9.0
    for _ in range(3):
        start = sum(os.times()[:4])
        target = read(folder / "bin" / "python")
        best = min(best, sum(os.times()[:4]) - start)
    assert len(target.installed) == 500
    assert best < 0.3


def test_an_externally_managed_interpreter_names_its_marker() -> None:
    """A system Python with the marker of PEP 668, where this machine has one."""
    marked = list(Path("/usr/lib").glob("python3.*/EXTERNALLY-MANAGED"))
    python = Path(f"/usr/bin/{marked[0].parent.name}") if marked else None
    if python is None or not python.exists():
        pytest.skip("no externally managed Python here")
    target = read(python)
    assert target.externally_managed == str(marked[0]) and not target.virtual


@pytest.mark.parametrize("feature", ["3.7", "3.8", "3.9", "3.10", "3.12", "3.13"])
def test_every_supported_interpreter_that_is_here_answers(feature: str) -> None:
    target = read(python_of(feature))
    assert str(target.feature) == feature and target.os is Os.LINUX


# -- what is no Python


def refused(python: str | Path, **options: float) -> InputError:
    with pytest.raises(InputError) as caught:
        read(python, **options)
    assert caught.value.exit_code == 2 and "\n" not in caught.value.message
    return caught.value


def test_a_path_that_is_not_there() -> None:
    assert refused("/nowhere/python").message == "`/nowhere/python` does not exist"
    assert "PATH" in refused("no-such-python").message
    assert "empty" in refused("").message


def test_a_folder_names_the_interpreter_in_it(venv: Path) -> None:
    error = refused(venv)
    assert "folder" in error.message and error.hint is not None and f"{venv}/bin/python" in error.hint


def test_a_file_without_permission_to_run(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\n")
    assert "could not be started: Permission denied" in refused(path).message


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    assert "could not be started" in refused(script(tmp_path, "\0\1\2 not a program")).message


@pytest.mark.parametrize("name", ["/bin/true", "/bin/false", "/bin/echo", "/bin/sh"])
def test_another_program(name: str) -> None:
    assert "is no Python interpreter" in refused(name).message


def test_a_python_that_hangs_is_given_up(tmp_path: Path) -> None:
    start = time.monotonic()
    assert "does not answer" in refused(script(tmp_path, "#!/bin/sh\nsleep 30\n"), timeout=0.3).message
    assert time.monotonic() - start < 20


def test_a_python_that_crashes(tmp_path: Path) -> None:
    path = script(tmp_path, "#!/bin/sh\nkill -SEGV $$\n")
    assert "signal 11" in refused(path).message


def test_rubbish_around_the_answer_is_ignored_and_rubbish_alone_is_refused(tmp_path: Path) -> None:
    noisy = script(tmp_path, f'#!/bin/sh\necho Welcome\n{sys.executable} "$@"\necho bye >&2\n')
    assert read(noisy).python.major == 3
    broken = script(tmp_path, "#!/bin/sh\necho 'envfix-interpreter:{\"python\": 3'\n", "broken")
    assert "is no Python interpreter" in refused(broken).message


@pytest.mark.parametrize(
    ("version", "first"),
    [("2.7.18", "echo 'Unknown option: -I' >&2; exit 2"), ("3.6.15", "echo SyntaxError >&2; exit 1")],
)
def test_an_interpreter_below_the_floor_is_named_with_the_floor(
    tmp_path: Path, version: str, first: str
) -> None:
    """As those interpreters answer: one does not know `-I`, the other not the child's syntax."""
    path = script(
        tmp_path, f'#!/bin/sh\nif [ "$1" = -I ]; then {first}; fi\nprintf envfix-version:{version}\n'
    )
    assert refused(path).message == f"`{path}` is Python {version}, envfix works on Python >= 3.7"


def test_a_relative_path_and_a_name_on_path(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(venv)
    assert read("bin/python").prefix == str(venv)
    monkeypatch.setenv("PATH", f"{venv}/bin{os.pathsep}{os.environ['PATH']}")
    assert read("python").prefix == str(venv)


def test_installed_of_a_machine_file_becomes_distributions() -> None:
    [dist] = distributions({"ML_Dtypes": "0.5.1"})
    assert (dist.name, dist.version, dist.requires) == ("ml-dtypes", "0.5.1", ())
