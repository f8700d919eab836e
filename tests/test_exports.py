"""A lock in the words of other tools, and what those tools make of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uv
import yaml
from msgspec import structs
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from envfix import __version__
from envfix.errors import InputError
from envfix.lock.exports import FILES, MADE, Export, export, machine_of
from envfix.probe.machine_file import parse_machine
from envfix.reading import parse_toml
from tests.environments import TF
from tests.index_server import IndexServer
from tests.test_lock import LOCK

OTHERS = [kind for kind in Export if kind is not Export.PYLOCK]


def text(kind: Export, lock: Any = LOCK) -> str:
    return export(lock, kind)


@pytest.mark.parametrize("kind", OTHERS)
def test_the_same_lock_gives_the_same_bytes_that_say_what_they_are(kind: Export) -> None:
    assert text(kind) == text(kind) and text(kind).startswith(f"{MADE}for tensorflow 2.20.0")
    assert text(kind).endswith("\n") and not text(kind).endswith("\n\n")


def test_a_conda_environment_has_the_python_and_every_package_by_hash() -> None:
    made = yaml.safe_load(text(Export.CONDA))
    python, pip, packages = made["dependencies"]
    assert (python, pip) == ("python=3.12", "pip")
    assert packages["pip"][0] == "--require-hashes"
    for line, package in zip(packages["pip"][1:], LOCK.resolution.packages, strict=True):
        pin, *hashes = line.split()
        assert str(Requirement(pin)) == f"{package.name}=={package.version}"
        files = [*package.wheels, *([package.sdist] if package.sdist else [])]
        assert set(hashes) == {f"--hash=sha256:{file.sha256}" for file in files}


def test_a_pyproject_pins_everything_and_uvs_holds_what_was_not_asked_for() -> None:
    pins = [f"{package.name}=={package.version}" for package in LOCK.resolution.packages]
    made = parse_toml(text(Export.PYPROJECT), "pyproject.toml")
    assert made["project"]["dependencies"] == pins and made["project"]["requires-python"] == "==3.12.*"
    made = parse_toml(text(Export.UV), "pyproject.toml")
    assert made["project"]["dependencies"] == ["tensorflow==2.20.0"]  # numpy, which is capped, is not in it
    assert made["tool"]["uv"]["constraint-dependencies"] == pins
    assert made["tool"]["uv"]["environments"] == ["sys_platform == 'linux' and platform_machine == 'x86_64'"]


MADE_WITH = (
    ({}, "envfix install", None),
    ({"left_out": ("nvidia-curand-cu12==10.3.6.82",)}, "envfix install --minimal", "curand-cu12==10.3.6.82"),
    ({"cuda": "system"}, "envfix install --cuda system", "the machine's own"),
    ({"floors": structs.replace(LOCK.floors, accelerator="cpu")}, "envfix install --accelerator cpu", None),
)


@pytest.mark.parametrize("kind", [Export.CONDA, Export.PYPROJECT, Export.UV])
@pytest.mark.parametrize(("changes", "command", "comment"), MADE_WITH)
def test_what_is_left_to_do_has_the_options_of_the_lock(
    changes: dict[str, Any], command: str, comment: str | None, kind: Export
) -> None:
    made = text(kind, structs.replace(LOCK, **changes))
    comments = [line for line in made.splitlines() if line.startswith("# ")]
    assert f"`{command}`" in comments[1]
    assert [line for line in comments[2:] if comment and comment in line] == comments[2:]
    assert len(comments) == (3 if comment else 2)


def test_an_image_for_the_gpu_asks_the_host_for_its_driver_and_one_for_the_cpu_does_not() -> None:
    assert 'NVIDIA_REQUIRE_DRIVER="driver>=525.60.13"' in text(Export.DOCKERFILE)
    floors = structs.replace(LOCK.floors, accelerator="cpu", driver=None, compute_capabilities=())
    plain = text(Export.DOCKERFILE, structs.replace(LOCK, floors=floors))
    assert "NVIDIA" not in plain and "--gpus" not in plain


def test_an_image_with_an_old_python_brings_another_for_envfix() -> None:
    old = structs.replace(LOCK, floors=structs.replace(LOCK.floors, python="3.8"))
    assert "FROM python:3.8-slim" in text(Export.DOCKERFILE, old)
    assert "uv venv --python 3.12 /opt/envfix" in text(Export.DOCKERFILE, old)
    assert "uv venv" not in text(Export.DOCKERFILE)


def test_an_image_says_how_it_gets_an_envfix_that_no_index_has() -> None:
    made = text(Export.DOCKERFILE)
    url, wheel = re.findall(
        r'^#   docker build --build-arg ENVFIX="(.*)" -t tensorflow \.$', made, re.MULTILINE
    )
    asked = Requirement(url)
    assert (asked.name, asked.extras) == ("envfix-tf", {"proof"}) and asked.url
    path, extras = wheel.split("[")
    assert extras == "proof]" and f"\n#   COPY {Path(path).name} {Path(path).parent}/\n" in made
    name, version, *_ = parse_wheel_filename(Path(path).name)
    assert (name, str(version)) == ("envfix-tf", __version__)
    assert 'pip install --no-cache-dir "$ENVFIX"' in made


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        (structs.replace(LOCK, cuda="system"), "found a lock for the CUDA of the system"),
        (structs.replace(LOCK, floors=structs.replace(LOCK.floors, os="windows")), "for windows"),
    ],
)
def test_what_an_image_cannot_be_made_of_is_said(lock: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        text(Export.DOCKERFILE, lock)


def test_the_machine_is_just_what_the_lock_asks_for() -> None:
    machine = parse_machine(json.loads(machine_of(LOCK.floors)), "machine")
    assert str(machine.driver.release) == "525.60.13" and str(machine.python) == "3.12"
    assert [str(gpu.compute_capability) for gpu in machine.gpus] == ["7.5", "8.0"]


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_the_users_own_is_never_written_over(kind: Export, envfix: Any, tmp_path: Path) -> None:
    own = tmp_path / FILES[kind]
    own.write_text("[project]\nname = 'mine'\n")
    argv = ("lock", "--machine", "colab-t4", "--tf", TF, "--format", kind.value)
    refused = envfix(*argv)
    assert refused.returncode == 2 and "-o FILE" in refused.stderr
    assert own.read_text() == "[project]\nname = 'mine'\n" and len(list(tmp_path.glob("*.envfix.*"))) == 0


def test_the_dockerfiles_own_command_installs_its_lock(envfix: Any, tmp_path: Path) -> None:
    """Its RUN line is run as it stands but for the places, in a folder where the COPY has been done."""
    argv = ("lock", "--machine", with_this_python(tmp_path), "--tf", TF, "--format", "dockerfile", "--json")
    made = envfix(*argv)
    assert made.returncode == 0, made.stderr
    names = ["Dockerfile", "pylock.envfix.toml", "machine.envfix.json"]
    assert json.loads(made.stdout)["data"]["files"] == names
    first = [(tmp_path / name).read_bytes() for name in names]
    assert envfix(*argv).returncode == 0  # over what is its own
    assert [(tmp_path / name).read_bytes() for name in names] == first
    words = installing((tmp_path / "Dockerfile").read_text(), tmp_path)
    done = envfix(*words, "--no-verify")
    assert done.returncode == 0, done.stderr
    assert next((tmp_path / "tensorflow").glob("lib/*/site-packages/_envfix_loader.pth"))


def with_this_python(folder: Path) -> str:
    """A machine file with the interpreter that runs the tests, which is what uv finds too."""
    feature = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "here.yaml").write_text(
        f"driver: {{release: 550.54.15}}\ngpus: [{{name: Tesla T4, compute_capability: '7.5'}}]\n"
        f"os: linux\narch: x86_64\nglibc: '2.35'\npython: '{feature}'\ncpu_flags: [avx]\n"
    )
    return "here.yaml"


def installing(dockerfile: str, folder: Path) -> list[str]:
    """The arguments of the `RUN envfix install` line, with the image's places as those of `folder`."""
    line = re.search(r"^RUN /opt/envfix/bin/envfix ((?:.*\\\n)*.*)$", dockerfile, re.MULTILINE)
    assert line is not None
    plain = line[1].replace("\\\n", " ").replace('"$(command -v python)"', shlex.quote(sys.executable))
    return shlex.split(plain.replace("/opt/lock/", f"{folder}/").replace("/opt/tensorflow", "tensorflow"))


@pytest.mark.parametrize("kind", [Export.PYPROJECT, Export.UV])
def test_uv_locks_the_same_versions(kind: Export, envfix: Any, index: IndexServer, tmp_path: Path) -> None:
    argv = ("lock", "--machine", with_this_python(tmp_path), "--tf", TF, "--format", kind.value, "--json")
    made = envfix(*argv)
    assert made.returncode == 0, made.stderr
    wanted = {one["name"]: one["version"] for one in json.loads(made.stdout)["data"]["packages"]}
    env = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_DEFAULT_INDEX": index.simple}
    env = {name: value for name, value in env.items() if name not in ("UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")}
    subprocess.run(
        [uv.find_uv_bin(), "lock", "--no-config", "--python", sys.executable],
        cwd=tmp_path, env=env, check=True, timeout=120,
    )  # fmt: skip
    locked = parse_toml((tmp_path / "uv.lock").read_text(), "uv.lock")["package"]
    found = {one["name"]: one["version"] for one in locked if "virtual" not in one["source"]}
    assert found == wanted
