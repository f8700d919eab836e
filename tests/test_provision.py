"""A lock is installed without its index: from a folder of wheels, and from the installer's cache."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.environments import TF, UNAIDED, install, runner
from tests.index_server import IndexServer, build_wheel

NOWHERE = "http://127.0.0.1:9/simple/"
FEATURE = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINE = (
    "driver: {release: 550.54.15}\ngpus: [{name: Tesla T4, compute_capability: '7.5'}]\n"
    f"os: linux\narch: x86_64\nglibc: '2.35'\npython: '{FEATURE}'\ncpu_flags: [avx]\n"
)


@pytest.fixture(scope="module")
def written(
    index: IndexServer, parsed: Path, byte_code: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a machine file and a lock for it."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "here.yaml").write_text(MACHINE)
    made = runner(folder, index, parsed, byte_code)("lock", "--machine", "here.yaml", "--tf", TF)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def lock(written: Path, tmp_path: Path) -> Path:
    """The lock, beside its machine file, in the folder that envfix runs in."""
    for name in ("here.yaml", "pylock.envfix.toml"):
        shutil.copy(written / name, tmp_path)
    return tmp_path / "pylock.envfix.toml"


@pytest.fixture
def locked(lock: Path, index: IndexServer, tmp_path: Path) -> Path:
    """A folder with the wheels of a lock whose index is gone, and no cache of an installer."""
    names = [
        line.rsplit("/", 1)[-1].strip('"') for line in lock.read_text().splitlines() if line.startswith("url")
    ]
    lock.write_text(lock.read_text().replace(index.url, "http://127.0.0.1:9"))
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(index.wheels[name].data)
    return folder


def offline(envfix: Any, **extra: str) -> Any:
    return envfix(
        "install",
        "--lock",
        "pylock.envfix.toml",
        "--offline",
        "--machine",
        "here.yaml",
        "--venv",
        "demo",
        "--yes",
        "--no-verify",
        "--json",
        PIP_INDEX_URL=NOWHERE,
        UV_CACHE_DIR=extra.pop("cache", "fresh"),
        **extra,
    )


def test_a_lock_is_installed_from_a_folder_of_wheels(envfix: Any, index: IndexServer, locked: Path) -> None:
    index.asked.clear()
    done = offline(envfix, PIP_FIND_LINKS=str(locked), PIP_NO_INDEX="1")
    assert done.returncode == 0, done.stderr
    assert "tensorflow" in json.loads(done.stdout)["data"]["changed"]
    assert not index.asked


@pytest.mark.slow
def test_what_no_folder_has_is_named(envfix: Any, locked: Path, tmp_path: Path) -> None:
    (lacking,) = locked.glob("absl_py-*")
    lacking.unlink()
    done = offline(envfix, PIP_FIND_LINKS=str(locked), PIP_NO_INDEX="1")
    assert done.returncode == 4
    (error,) = json.loads(done.stdout)["errors"]
    assert f"in no folder of `find-links`: {lacking.name}" in error["hint"].splitlines()
    assert "PIP_FIND_LINKS" in error["hint"]
    assert not (tmp_path / "demo").exists()


@pytest.mark.live
def test_a_wheel_of_the_folder_that_is_not_the_locked_one_is_refused(
    envfix: Any, locked: Path, tmp_path: Path
) -> None:
    (changed,) = locked.glob("absl_py-*")
    changed.write_bytes(build_wheel("absl-py", "2.1.0", modules={"absl_py/__init__.py": "evil = 1\n"}).data)
    done = offline(envfix, PIP_FIND_LINKS=str(locked), PIP_NO_INDEX="1")
    assert done.returncode == 4, done.stdout
    assert "hash" in json.loads(done.stdout)["errors"][0]["message"].lower()
    assert not (tmp_path / "demo").exists()


@pytest.mark.live
def test_a_lock_is_installed_from_the_cache_alone(envfix: Any, index: IndexServer, lock: Path) -> None:
    first = envfix(
        "install",
        "--lock",
        "pylock.envfix.toml",
        "--machine",
        "here.yaml",
        "--venv",
        "one",
        "--yes",
        "--no-verify",
        UV_CACHE_DIR="kept",
    )
    assert first.returncode == 0, first.stderr
    index.asked.clear()
    done = offline(envfix, cache="kept")
    assert done.returncode == 0, done.stderr
    assert not index.asked


@pytest.mark.live
def test_only_what_lacks_and_only_where_that_is_why_is_named(
    envfix: Any, locked: Path, lock: Path, index: IndexServer, tmp_path: Path
) -> None:
    lock.write_text(lock.read_text().replace("http://127.0.0.1:9", index.url))
    argv = ["install", "--lock", str(lock), "--machine", "here.yaml", "--yes", "--no-verify", "--json"]
    assert envfix(*argv, "--venv", "one", UV_CACHE_DIR="kept").returncode == 0
    (evil,) = locked.glob("absl_py-*")
    for wheel in set(locked.iterdir()) - {evil}:
        wheel.unlink()  # what the cache has
    evil.write_bytes(build_wheel("absl-py", "2.1.0", modules={"absl_py/__init__.py": "evil = 1\n"}).data)
    argv += ["--offline", "--venv", "two"]
    done = envfix(*argv, UV_CACHE_DIR="kept", PIP_FIND_LINKS=str(locked))
    (error,) = json.loads(done.stdout)["errors"]
    assert (done.returncode, error["hint"]) == (4, None), error
    assert "hash" in error["message"]
    for folder in list((tmp_path / "kept").rglob("absl-py")):
        shutil.rmtree(folder)
    done = envfix(*argv, UV_CACHE_DIR="kept")
    (error,) = json.loads(done.stdout)["errors"]
    assert error["hint"].splitlines()[0] == f"in no folder of `find-links`: {evil.name}"


@pytest.mark.live
def test_a_users_uv_toml_that_wants_no_cache_is_heard(envfix: Any, standing: Any, tmp_path: Path) -> None:
    standing(TF)
    (tmp_path / "settings/uv").mkdir(parents=True)
    (tmp_path / "settings/uv/uv.toml").write_text("no-cache = true\n")
    (tmp_path / "tmp").mkdir()
    extra = {"XDG_CONFIG_HOME": str(tmp_path / "settings"), "UV_CACHE_DIR": "unwanted"}
    done = envfix(*install("--tf", UNAIDED), **extra, TMPDIR=str(tmp_path / "tmp"))
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "unwanted").exists()


CREDENTIALS = "someone:s3cr3t"


@pytest.mark.parametrize(
    "name",
    [
        "PIP_INDEX_URL",
        *(pytest.param(name, marks=pytest.mark.live) for name in ("UV_DEFAULT_INDEX", "pip.conf")),
    ],
)
def test_credentials_are_sent_and_told_to_nobody(
    name: str, envfix: Any, index: IndexServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "credentials", CREDENTIALS)
    url = index.simple.replace("://", f"://{CREDENTIALS}@")
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {url}\n")
    extra = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")} if name == "pip.conf" else {name: url}
    extra = {"PIP_INDEX_URL": "", **extra}
    for argv in (["report", "--json"], ["lock"], ["lock", "--json", "-o", "again.toml"]):
        done = envfix(*argv, "--machine", "colab-t4", "--tf", TF, **extra)
        assert done.returncode == 0, done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr
    monkeypatch.setattr(index, "credentials", "someone:else")
    done = envfix("lock", "--machine", "colab-t4", "--tf", TF, UV_CACHE_DIR="fresh", **extra)
    assert done.returncode == 4
    assert "s3cr3t" not in done.stdout + done.stderr
    (tmp_path / "pip.conf").unlink()
    for path in tmp_path.rglob("*"):
        assert "s3cr3t" not in path.name
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes(), path
