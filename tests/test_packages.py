"""(package, release) is the key: a made-up tensorflow-cuda13 beside the tensorflow of the same version."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs
from packaging.version import Version

from envfix import installing, workflow
from envfix.commands import _index, _resolver
from envfix.commands.matrix import matrix as show
from envfix.deciding import settled
from envfix.errors import InputError, LockMismatch
from envfix.lock.pylock import render_pylock
from envfix.matrix import load
from envfix.matrix.tf_request import parse_tf
from envfix.model.conflicts import in_the_way
from envfix.model.machine import Driver
from envfix.model.request import ANY, InstallOptions, Request
from envfix.model.results import MatrixShown
from envfix.model.versions import DriverCuda, DriverRelease
from envfix.render import json, markdown, text
from envfix.resolve.bounds import bounds
from envfix.situation import Parts, Situation, Where
from envfix.standing import standing_release
from envfix.system.outside import RealOutside
from tests.index_server import IndexServer, build_wheel, serving
from tests.shipped import whole
from tests.values import T4, changed, with_installed

OTHER = "tensorflow-cuda13"
SAME = "2.21.0"
MACHINE = """
os: linux
wsl: false
arch: x86_64
glibc: "2.35"
python: "3.12"
driver: {release: 580.65.06, cuda: "13.0"}
gpus: [{name: Tesla T4, compute_capability: "7.5"}]
cpu_flags: [avx]
"""
RUNTIME = "nvidia-cuda-runtime"
ROW = f"""
- version: {{version}}
  package: {OTHER}
  uploaded: '2026-11-01'
  wheels:
  - {{{{os: linux, arch: x86_64, python: ['3.10', '3.11', '3.12', '3.13'], cuda: true, size: 400000000,
    glibc: '2.27'}}}}
  built_with_cuda: '13.0'
  built_with_cudnn: 9.13.0.50
  compute_capabilities: [sm_75, sm_80, compute_90]
  hand_written: {{{{sass: ['7.5', '8.0'], ptx: '9.0', ptx_isa: '8.5'}}}}
  kernel_gen: {{{{sass: ['7.5', '8.0'], ptx: '9.0', ptx_isa: '8.5'}}}}
  requires: [absl-py>=1.0.0]
  and_cuda: ['{RUNTIME}>=13.0.48,<14', 'nvidia-cudnn-cu13>=9.13.0.50,<10']
"""


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    row = next(row for row in whole().releases if str(row.version) == SAME)
    own = [bound.requirement.split("==") for bound in bounds(row, T4, whole(), {})]
    with serving(
        build_wheel("absl-py", "2.1.0"),
        build_wheel("tensorflow", SAME, ["absl-py"]),
        build_wheel(OTHER, SAME, ["absl-py"], modules={"tensorflow/__init__.py": ""}),
        build_wheel(RUNTIME, "13.0.48"),
        build_wheel("nvidia-cudnn-cu13", "9.13.0.50"),
        *(build_wheel(name, version[0]) for name, *version in own if version),
    ) as server:
        yield server


@pytest.fixture
def parts(tmp_path: Path, index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> Parts:
    folder = tmp_path / "matrix"
    shutil.copytree(load.matrix_dir(), folder)
    with (folder / "tensorflow.yaml").open("a") as file:
        file.write("".join(ROW.format(version=version).lstrip("\n") for version in (SAME, "2.21.1")))
    (tmp_path / "t4.yaml").write_text(MACHINE)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index.simple)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    outside = RealOutside(quiet=True)
    return Parts(
        outside=outside,
        matrix_dir=str(folder),
        index=_index,
        resolver=lambda name, config: _resolver(outside, name, config),
    )


@pytest.fixture
def where(tmp_path: Path) -> Callable[..., Where]:
    def at(**installed: str) -> Where:
        if installed:
            versions = ", ".join(f"{name.replace('_', '-')}: {one}" for name, one in installed.items())
            (tmp_path / "t4.yaml").write_text(f"{MACHINE}installed: {{{versions}}}\n")
        return Where(machine=str(tmp_path / "t4.yaml"))

    return at


def test_both_stand_in_the_report_and_only_what_is_named_is_recommended(
    parts: Parts, where: Callable[..., Where]
) -> None:
    plain = workflow.report(parts, Request(tf=ANY), where())
    keys = [candidate.release.key for candidate in plain.decision.candidates]
    assert keys[:3] == [(OTHER, Version("2.21.1")), ("tensorflow", Version(SAME)), (OTHER, Version(SAME))]
    best = plain.decision.recommended
    assert best is not None and best.release.key == ("tensorflow", Version(SAME))
    assert f"{OTHER} 2.21.1" in text.result(plain)
    assert f"| {OTHER}=={SAME} |" in markdown.report(plain)
    data = json.data(plain)
    assert (data["recommended"], data["releases"][0]["package"]) == (SAME, OTHER)
    assert "package" not in data["releases"][1]
    other = workflow.report(parts, Request(tf=parse_tf(f"{OTHER}=={SAME}")), where())
    assert json.data(other)["recommended"] == f"{OTHER}=={SAME}"
    assert other.plan is not None
    names = {package.name: package.version for package in other.plan.packages}
    assert (names[OTHER], names[RUNTIME]) == (SAME, "13.0.48")
    assert "tensorflow" not in names


def test_a_lock_of_it_is_read_as_what_it_is(
    parts: Parts, where: Callable[..., Where], tmp_path: Path
) -> None:
    path = str(tmp_path / "pylock.toml")
    request = Request(tf=parse_tf(f"{OTHER}=={SAME}"))
    written = workflow.lock(parts, request, where(), lambda made: {path: render_pylock(made)})
    assert (written.lock.package, written.lock.tensorflow) == (OTHER, SAME)
    assert f"lock     {OTHER} {SAME}" in text.result(written)
    assert workflow.check_lock(parts, where(), path, offline=True).checked == path
    # The tensorflow of this version would do with such a driver.
    old = (tmp_path / "t4.yaml").read_text().replace("580.65.06", "575.51.03").replace('"13.0"', '"12.9"')
    (tmp_path / "t4.yaml").write_text(old)
    with pytest.raises(LockMismatch, match=rf"the lock is for {OTHER} {SAME}.*575\.51\.03"):
        workflow.check_lock(parts, where(), path, offline=True)


def test_one_that_is_installed_is_upgraded_to_its_own_releases(
    parts: Parts, where: Callable[..., Where]
) -> None:
    found = workflow.report(parts, Request(tf=ANY), where(tensorflow_cuda13=SAME))
    assert json.data(found)["recommended"] == f"{OTHER}==2.21.1"


def test_what_stands_is_judged_as_its_own_package(parts: Parts) -> None:
    matrix = load.load(parts.outside, parts.matrix_dir)
    new = changed(T4, driver=Driver(release=DriverRelease("580.65.06"), cuda=DriverCuda("13.0")))
    here = Situation(target=with_installed(tensorflow_cuda13=SAME), machine=new, named=True)
    stands = standing_release(here, matrix, settled(Request(tf=ANY), here, matrix))
    assert stands is not None and stands[0].release.key == (OTHER, Version(SAME))
    assert standing_release(here, matrix, Request(tf=parse_tf(SAME))) is None
    # The tensorflow of this version would do with such a driver.
    old = Situation(target=here.target, machine=T4, named=True)
    assert standing_release(old, matrix, settled(Request(tf=ANY), old, matrix)) is None


def test_an_install_names_it_and_the_other_has_to_go(
    parts: Parts, where: Callable[..., Where], tmp_path: Path
) -> None:
    options = InstallOptions(approve=lambda _: None, dry_run=True)
    place = Where(machine=where().machine, venv=str(tmp_path / "new"))
    done = installing.install(parts, Request(tf=parse_tf(f"{OTHER}=={SAME}")), place, options)
    assert (done.package, done.tensorflow, json.data(done)["package"]) == (OTHER, SAME, OTHER)
    there = with_installed(tensorflow=SAME).installed
    assert [dist.name for dist in in_the_way({OTHER}, there)] == ["tensorflow"]


def test_the_matrix_shows_the_releases_of_the_package_that_is_named(parts: Parts) -> None:
    def shown(tf: str | None) -> list[str]:
        found, _ = show(parts, argparse.Namespace(action="show", tf=tf, json=False))
        assert isinstance(found, MatrixShown)
        return [release.asked_for for release in found.releases]

    assert shown(OTHER) == [f"{OTHER}==2.21.1", f"{OTHER}=={SAME}"]
    assert shown(SAME) == [SAME]
    assert {SAME, f"{OTHER}=={SAME}"} <= set(shown(None))


def test_a_package_of_which_the_matrix_has_no_release_is_said_so(
    parts: Parts, where: Callable[..., Where]
) -> None:
    shipped = structs.replace(parts, matrix_dir=load.matrix_dir())
    request = Request(tf=parse_tf(f"{OTHER}=={SAME}"), offline=True)
    with pytest.raises(InputError, match=f"has no release of {OTHER}"):
        workflow.lock(shipped, request, where(), lambda made: {"unwritten": ""})
