"""The distributions as users get them: built, read, installed elsewhere and run from there."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import uv

from envfix import __version__
from envfix.commands import matrix_date
from tests.pythons import python_of

pytestmark = pytest.mark.live

ROOT = Path(__file__).parent.parent.parent
UV = uv.find_uv_bin()
VERSION = f"envfix {__version__} (matrix of {matrix_date()})\n"
LEFT = {"__pycache__", ".nox", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache"}
NAME = f"envfix_tf-{__version__}"


def done(*argv: str | Path, cwd: Path) -> str:
    """The standard output of a command that succeeds, with nothing of the checkout in its environment."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, f"{argv}: {run.stdout}\n{run.stderr}"
    return run.stdout


def files_below(*names: str) -> set[str]:
    """The files of these folders of the checkout, but for what running them leaves there."""
    return {
        path.relative_to(ROOT).as_posix()
        for name in names
        for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))
        if path.is_file() and not LEFT & set(path.relative_to(ROOT).parts)
    }


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    done(UV, "build", "--python", python_of("3.12"), "-o", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Path:
    return dist / f"{NAME}.tar.gz"


def test_the_wheel_holds_the_package_and_the_matrix_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
    information = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    matrix = {f"envfix/{name}" for name in files_below("compat_matrix")}
    suffixes = {Path(name).suffix for name in held - information}
    assert suffixes == {"", ".py", ".typed", ".jinja", ".c", ".h", ".yaml", ".md"}
    assert held == files_below("envfix") | matrix | information | {f"{NAME}.dist-info/licenses/LICENSE"}


def test_the_sdist_holds_what_its_tests_need(sdist: Path) -> None:
    with tarfile.open(sdist) as opened:
        held = {name.removeprefix(f"{NAME}/") for name in opened.getnames()}
    folders = ("envfix", "compat_matrix", "tests", "scripts", ".assets")
    assert held == files_below(*folders, "README.md", "LICENSE", "pyproject.toml", ".gitignore") | {
        "PKG-INFO"
    }


def test_the_checkout_and_its_sdist_build_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    done(UV, "build", "--wheel", "--python", python_of("3.12"), "-o", tmp_path, ROOT, cwd=tmp_path)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_long_description_shows_no_picture_that_an_index_does_not_have(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        metadata = email.message_from_bytes(opened.read(f"{NAME}.dist-info/METADATA"))
    text = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown" and "# envfix" in text
    assert "](.assets/" in (ROOT / "README.md").read_text(), "the README itself has its pictures"
    relative = re.findall(r"\]\((?!https?://|#)([^)]*)\)", text)
    assert not relative, f"an index cannot resolve {relative}"


def test_an_index_takes_them(dist: Path) -> None:
    said = done(UV, "tool", "run", "twine", "check", "--strict", *sorted(dist.glob("envfix*")), cwd=dist)
    assert said.count("PASSED") == 2


@pytest.mark.parametrize(("feature", "kind"), [("3.10", "sdist"), ("3.13", "sdist"), ("3.12", "wheel")])
def test_an_install_works_where_no_checkout_is(
    feature: str, kind: str, sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    """With pip, which every user has."""
    done(python_of(feature), "-m", "venv", "venv", cwd=tmp_path)
    python, envfix = tmp_path / "venv/bin/python", tmp_path / "venv/bin/envfix"
    done(python, "-m", "pip", "install", "--quiet", sdist if kind == "sdist" else wheel, cwd=tmp_path)
    assert done(envfix, "--version", cwd=tmp_path) == VERSION
    assert done(python, "-m", "envfix", "--version", cwd=tmp_path) == VERSION
    assert "--requirements FILE" in done(envfix, "lock", "--help", cwd=tmp_path)
    assert "colab-t4 " in done(envfix, "machines", cwd=tmp_path)
    report = (envfix, "report", "--machine", "colab-t4", "--offline")
    assert json.loads(done(*report, "--json", cwd=tmp_path))["data"]["recommended"] == "2.21.0"
    done(*report, "--format", "html", "-o", "page.html", cwd=tmp_path)
    assert "<h1" in (tmp_path / "page.html").read_text()
    shutil.rmtree(tmp_path / "venv")


@pytest.mark.parametrize("source", [str(ROOT), f"git+file://{ROOT}"], ids=["folder", "git"])
def test_uvx_runs_it_without_an_install(source: str, tmp_path: Path) -> None:
    if source.startswith("git") and not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    argv = (UV, "tool", "run", "--python", python_of("3.12"), "--from", source, "envfix")
    assert done(*argv, "--version", cwd=tmp_path).startswith(f"envfix {__version__} (matrix of 2")
    assert "best     tensorflow 2." in done(*argv, "report", "--machine", "colab-t4", cwd=tmp_path)
