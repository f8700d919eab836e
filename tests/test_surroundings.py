"""Of the programs, modules, libraries and settings in the folder envfix is started in, none is taken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from envfix.installers import uv_environment, uv_folder
from envfix.model.target import PipConfig
from envfix.system.outside import RealOutside
from envfix.system.surroundings import child_environment, program_path

ROOT = Path(__file__).parent.parent
MODULES = (
    "msgspec",
    "yaml",
    "numpy",
    "tensorflow",
    "pip",
    "piptools",
    "uv",
    "ziglang",
    "pynvml",
    "requests",
    "packaging",
    "json",
    "platformdirs",
    "tomli_w",
    "argparse",
    "usercustomize",
)
PROGRAMS = ("nvidia-smi", "uv", "ldconfig", "nvcc", "cc", "gcc", "python3", "git")


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder whose every file leaves a mark when it is run or imported."""
    folder = tmp_path / "strange"
    folder.mkdir()
    mark = tmp_path / "taken"
    for name in MODULES:
        (folder / f"{name}.py").write_text(
            f"import os\nos.close(os.open({str(mark)!r}, os.O_CREAT))\nraise ImportError('of a stranger')\n"
        )
    for name in PROGRAMS:
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {mark}\nexit 1\n")
        (folder / name).chmod(0o755)
    nowhere = "http://127.0.0.1:9/stranger/simple"
    (folder / "uv.toml").write_text(f'index-url = "{nowhere}"\n')
    (folder / "pyproject.toml").write_text(f'[tool.uv]\nindex-url = "{nowhere}"\n')
    (folder / "pip.conf").write_text(f"[global]\nindex-url = {nowhere}\n")
    return folder


def started(folder: Path, *argv: str, **extra: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **extra}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"PYTHONPATH": f"{ROOT}:"},
        {"PYTHONPATH": f".:{ROOT}"},
        {"PATH": f".::{os.environ['PATH']}"},
        {"PATH": "@here@:" + os.environ["PATH"]},
    ],
    ids=["-m", "empty entry", "relative entry", "PATH relative", "PATH absolute"],
)
def test_nothing_is_taken_from_the_working_directory(extra: Mapping[str, str], strange: Path) -> None:
    extra = {name: value.replace("@here@", str(strange)) for name, value in extra.items()}
    if "PYTHONPATH" in extra:
        # Python itself imports it before envfix's first line, and argparse before envfix is asked.
        (strange / "usercustomize.py").unlink()
    for argv in (["probe"], ["report", "--machine", "colab-t4", "--offline", "--tf", "2.20.0"]):
        ran = started(strange, sys.executable, "-m", "envfix", *argv, **extra)
        assert ran.returncode == 0, ran.stderr
        assert not (strange.parent / "taken").exists(), argv


def test_a_bare_name_of_an_interpreter_is_not_the_working_directorys(strange: Path) -> None:
    ran = started(strange, sys.executable, "-m", "envfix", "probe", "--python", "python3", PATH="/nowhere")
    assert ran.returncode == 2
    assert "no interpreter `python3` is on PATH" in ran.stderr and "./python3" in ran.stderr
    assert not (strange.parent / "taken").exists()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("value", ["{here}", "", "."], ids=["named", "empty entry", "relative entry"])
def test_a_library_is_taken_from_a_folder_that_is_named_and_no_other(value: str, strange: Path) -> None:
    for name in ("cc", "gcc"):
        (strange / name).unlink()
    source = strange / "libcuda.c"
    # cuInit says that there is no device; who loads the library leaves a mark.
    source.write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void mark(void)"
        f'{{ FILE *file = fopen("{strange.parent}/taken", "w"); if (file) fclose(file); }}\n'
        "int cuInit(unsigned flags) { return 100; }\n"
        "int cuDriverGetVersion(int *version) { *version = 12040; return 0; }\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", strange / "libcuda.so.1", source], check=True)
    path = f"/usr/lib64-nvidia:{value.format(here=strange)}"
    ran = started(strange, sys.executable, "-m", "envfix", "probe", "--json", LD_LIBRARY_PATH=path)
    assert ran.returncode == 0, ran.stderr
    assert (strange.parent / "taken").exists() is (value == "{here}")
    assert path in ran.stdout  # what the user set is reported as it is


def test_a_child_is_told_of_no_relative_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = child_environment(
        {
            "PATH": f"/usr/bin::.:bin:{tmp_path}:/bin",
            "LD_LIBRARY_PATH": ":/usr/lib64-nvidia;lib:$ORIGIN/lib:",
            "PYTHONPATH": ":.",
            "LD_PRELOAD": "./evil.so libjemalloc.so.2:/usr/lib/x.so",
            "PYTHONHOME": "python",
            "PYTHONINSPECT": "1",
            "FORCE_COLOR": "1",
            "HOME": "/home/you",
        },
        draws=False,
    )
    assert env == {
        "PATH": "/usr/bin:/bin",
        "LD_LIBRARY_PATH": "/usr/lib64-nvidia:$ORIGIN/lib",
        "LD_PRELOAD": "libjemalloc.so.2:/usr/lib/x.so",
        "HOME": "/home/you",
    }


def test_a_system_folder_is_no_strangers_when_one_works_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr/bin")
    assert program_path({"PATH": "/usr/bin"}) == "/usr/bin"


def test_children_work_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stranger.py").write_text("raise SystemExit(1)")
    ran = RealOutside().run(
        [sys.executable, "-c", "import os; print(os.getcwd(), os.listdir('.'))"], timeout=60
    )
    assert not ran.out.startswith(str(tmp_path)) and ran.out.strip().endswith("[]")


def test_uv_takes_no_settings_from_above_the_temporary_folder(strange: Path) -> None:
    """In /tmp anybody may leave a `uv.toml`, and uv takes the nearest one above the folder it runs in."""
    import uv

    ask = [
        uv.find_uv_bin(),
        "pip",
        "compile",
        "-",
        "--python",
        sys.executable,
        "--offline",
        "--no-cache",
        "-v",
    ]
    env = uv_environment({"PATH": "", "HOME": "/"}, PipConfig())
    inside = strange / "envfix-1"
    inside.mkdir()
    for folder, taken in ((str(inside), True), (uv_folder(_Below(strange)), False)):
        ran = RealOutside().run(
            ask,
            timeout=60,
            cwd=folder,
            stdin="six\n",
            env=env,
        )
        assert ("127.0.0.1:9/stranger" in ran.err) is taken, ran.err


class _Below(RealOutside):
    """Makes its temporary folders in one of the test's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(quiet=True)
        self.folder = folder

    def temporary_dir(self) -> str:
        path = self.folder / "envfix-2"
        path.mkdir()
        return str(path)


def test_what_would_undo_the_checks_is_not_handed_to_uv() -> None:
    names = (
        "UV_NO_VERIFY_HASHES",
        "UV_INSECURE_NO_ZIP_VALIDATION",
        "UV_SKIP_WHEEL_FILENAME_CHECK",
        "UV_WORKING_DIR",
        "UV_WORKING_DIRECTORY",
        "UV_PROJECT",
    )
    assert not set(names) & uv_environment(dict.fromkeys(names, "1"), PipConfig()).keys()
