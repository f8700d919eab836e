"""TensorFlow beside torch and jax that are installed already: of a named machine, and in an environment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from packaging.requirements import Requirement

from envfix.beside import with_beside
from envfix.choosing import choose
from envfix.deciding import decide
from envfix.errors import NothingFits
from envfix.holders import holders_installed
from envfix.matrix import rank
from envfix.model.decision import Fit
from envfix.model.machine import Cudnn, Toolkit
from envfix.model.plan import LockedPackage, Resolution
from envfix.model.request import CudaSource
from envfix.model.target import Distribution, PipConfig, Target
from envfix.model.versions import CudaRelease, CudnnRelease
from envfix.ports import Resolver
from envfix.situation import Parts, Situation
from tests.environments import TF, UNAIDED, contents, install, pins
from tests.fakes import FakeOutside
from tests.index_server import IndexServer
from tests.shipped import matrix, request
from tests.test_together import CUBLAS, NCCL, NEWER, OLD_NCCL, answer, index, planned  # noqa: F401 - fixture
from tests.values import T4, TARGET, changed, with_installed


@pytest.fixture
def having(tmp_path: Path) -> Callable[..., str]:
    """Writes a machine file of a T4 that has these packages installed: its path."""

    def write(**versions: str) -> str:
        facts: dict[str, Any] = {
            "os": "linux",
            "wsl": False,
            "arch": "x86_64",
            "glibc": "2.35",
            "python": "3.12",
            "driver": {"release": "550.54.15", "cuda": "12.4"},
            "gpus": [{"name": "Tesla T4", "compute_capability": "7.5"}],
            "cpu_flags": ["avx"],
        }
        facts["installed"] = {name.replace("_", "-"): version for name, version in versions.items()}
        (tmp_path / "t4.json").write_text(json.dumps(facts))
        return "./t4.json"

    return write


def verdict(said: dict[str, Any], version: str) -> dict[str, Any]:
    row = next(one for one in said["data"]["releases"] if one["version"] == version)
    return dict(next(one for one in row["verdicts"] if one["rule"] == "installed"))


def test_a_release_that_fits_what_is_installed_goes_before_a_newer_one(
    envfix: Any, having: Callable[..., str]
) -> None:
    said = answer(envfix, "report", "--machine", having(torch="2.9.0"))
    assert said["data"]["recommended"] == TF
    assert planned(said["data"])[NCCL] == OLD_NCCL
    assert verdict(said, UNAIDED) == {
        "rule": "installed",
        "fit": "no",
        "wanted": f"torch 2.9.0 needs {NCCL}=={OLD_NCCL}",
        "found": f"tensorflow {UNAIDED} needs {NCCL}<3.0,>=2.27.7",
        "source": "METADATA of torch 2.9.0",
    }
    note = f"tensorflow {UNAIDED}, the newest, does not fit here: installed: torch 2.9.0 needs {NCCL}=="
    assert any(line.startswith(note) for line in said["data"]["advice"])
    locked = answer(envfix, "lock", "--machine", "./t4.json")
    assert locked["data"]["tensorflow"] == TF
    assert any(line.startswith(note) for line in locked["data"]["notes"])


def test_one_that_is_asked_for_and_meets_what_is_installed_is_refused_with_what_to_run(
    envfix: Any, having: Callable[..., str]
) -> None:
    said = answer(envfix, "lock", "--machine", having(torch="2.6.0"), "--tf", TF)
    assert said["exit_code"] == 3
    (error,) = said["errors"]
    assert error["message"] == (
        f"tensorflow {TF} does not fit here: torch 2.6.0 needs {CUBLAS}==12.4.5.8, "
        f"tensorflow {TF} needs {CUBLAS}<13.0,>=12.5.3.2"
    )
    again = "envfix lock --machine ./t4.json"
    assert error["hint"].splitlines() == [
        f"keeping TensorFlow, the nearest torch that goes with tensorflow {TF} is 2.8.0: "
        f"{again} --tf {TF} --with torch==2.8.0",
        f"keeping torch, the nearest tensorflow that goes with torch 2.6.0 is 2.17.1: {again} --tf 2.17.1",
        f"tensorflow {TF} fits in an environment of its own: "
        f"envfix install --tf {TF} --machine ./t4.json --venv .venv-tensorflow",
    ]


def test_where_none_fits_the_newest_is_named_with_both_requirements(
    envfix: Any, having: Callable[..., str]
) -> None:
    said = answer(envfix, "lock", "--machine", having(torch="2.12.0"))
    assert said["exit_code"] == 3
    (error,) = said["errors"]
    assert error["message"] == (
        "no TensorFlow release fits here: torch 2.12.0 needs nvidia-cudnn-cu13==9.20.0.48, "
        f"tensorflow {UNAIDED} needs nvidia-cudnn-cu12, whose files have the same names"
    )
    nearest = f"the nearest torch that goes with tensorflow {UNAIDED} is 2.10.0"
    assert error["hint"].splitlines()[0].startswith(f"{nearest}: envfix lock")


def test_a_torch_that_is_named_without_a_release_is_moved_to_the_nearest(
    envfix: Any, having: Callable[..., str]
) -> None:
    said = answer(envfix, "report", "--machine", having(torch="2.6.0"), "--tf", TF, "--with", "torch")
    plan = planned(said["data"])
    assert (said["data"]["recommended"], plan["torch"], plan[CUBLAS]) == (TF, "2.8.0", NEWER)
    assert any(
        f"the nearest torch that goes with tensorflow {TF} is 2.8.0" in line
        for line in said["data"]["advice"]
    )


def test_what_is_not_known_of_torch_is_neither_yes_nor_no(
    envfix: Any,
    having: Callable[..., str],
    index: IndexServer,  # noqa: F811
) -> None:
    first = answer(envfix, "report", "--machine", having(torch="2.9.0"), "--offline")
    assert index.asked == []
    told = verdict(first, UNAIDED)
    assert (told["fit"], told["wanted"]) == ("unknown", "torch 2.9.0 needs NVIDIA wheels")
    assert told["found"].endswith(": `--offline`, and no earlier run has read its METADATA")
    answer(envfix, "report", "--machine", "./t4.json")
    index.asked.clear()
    again = answer(envfix, "report", "--machine", "./t4.json", "--offline")
    assert verdict(again, UNAIDED)["fit"] == "no" and index.asked == []
    other = answer(envfix, "report", "--machine", having(torch="2.9.0", nvidia_nccl_cu12="2.20.5"))
    assert verdict(other, UNAIDED)["fit"] == "yes"  # what does not hold today binds nobody


@pytest.mark.parametrize(
    ("build", "fit"), [("2.9.0+cpu", "yes"), ("2.9.0+cu126", "unknown"), ("2.9.1", "unknown")]
)
def test_a_build_whose_requirements_the_index_does_not_have(
    envfix: Any, having: Callable[..., str], build: str, fit: str
) -> None:
    told = verdict(answer(envfix, "report", "--machine", having(torch=build)), UNAIDED)
    assert told["fit"] == fit
    if fit == "unknown":
        assert told["found"].endswith(f": the index has no wheel of torch {build} for Python 3.12")


def test_jax_that_is_installed_asks_as_its_plugin_does(envfix: Any, having: Callable[..., str]) -> None:
    said = answer(envfix, "report", "--machine", having(jax="0.9", jax_cuda12_plugin="0.9"))
    assert said["data"]["recommended"] == UNAIDED
    told = verdict(said, "2.17.1")
    assert (told["fit"], told["wanted"]) == ("no", "jax-cuda12-plugin 0.9 needs nvidia-cudnn-cu12>=9.1")
    assert told["source"] == "METADATA of jax-cuda12-plugin 0.9"
    said = answer(envfix, "lock", "--machine", having(jax="0.9", jax_cuda13_plugin="0.9"), "--tf", TF)
    # No other jax takes the plugin for CUDA 13 away.
    (hint,) = said["errors"][0]["hint"].splitlines()
    assert hint.startswith(f"tensorflow {TF} fits in an environment of its own: envfix install --tf {TF} ")


def test_in_an_environment_the_installed_metadata_is_read_and_nothing_is_touched(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    site = standing(TF)
    old = pins(TF)[NCCL]
    (site / "torch-2.7.1.dist-info").mkdir()
    (site / "torch-2.7.1.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: torch\nVersion: 2.7.1\nRequires-Dist: {NCCL}=={old}; "
        'platform_system == "Linux" and platform_machine == "x86_64"\n'
    )
    before = contents(tmp_path / "demo")
    free = json.loads(envfix(*install("--upgrade")).stdout)["data"]
    assert (free["tensorflow"], free["changed"]) == (TF, [])
    assert any(f"torch 2.7.1 needs {NCCL}=={old}, tensorflow {UNAIDED} needs" in one for one in free["notes"])
    # `--yes` is consent to a plan, and here there is none.
    refused = json.loads(envfix(*install("--tf", UNAIDED)).stdout)
    assert refused["exit_code"] == 3
    assert f"torch 2.7.1 needs {NCCL}=={old}" in refused["errors"][0]["message"]
    assert contents(tmp_path / "demo") == before


def test_a_plain_install_completes_a_minimal_environment_and_a_minimal_one_keeps_it(
    envfix: Any, standing: Callable[[str], Path]
) -> None:
    site, left_out = standing(TF), ["nvidia-curand-cu12", NCCL]
    for name in left_out:
        shutil.rmtree(site / f"{name.replace('-', '_')}-{pins(TF)[name]}.dist-info")
    kept = json.loads(envfix(*install("--tf", TF, "--minimal")).stdout)["data"]
    assert kept["changed"] == []
    assert [one["name"] for one in kept["plan"]["left_out"]] == left_out
    completed = json.loads(envfix(*install("--tf", TF, "--dry-run")).stdout)["data"]["plan"]
    assert [one["name"] for one in completed["packages"] if one["change"] == "add"] == left_out
    assert "left_out" not in completed


def test_a_lock_says_what_it_would_break(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    site = standing("2.19.1")
    (site / "needy-1.0.dist-info").mkdir()
    (site / "needy-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: needy\nVersion: 1.0\nRequires-Dist: tensorflow<2.20\n"
    )
    said = answer(envfix, "lock", "--machine", "colab-t4", "--venv", "demo", "--tf", TF)
    broken = f"it would break needy 1.0: needs tensorflow<2.20, would find tensorflow {TF}"
    assert broken in said["data"]["notes"]


class Remembering(Resolver):
    """Answers with nothing but a wheel of NVIDIA's, and keeps what it was asked."""

    def __init__(self) -> None:
        self.constraints: list[tuple[str, ...]] = []

    def resolve(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        target: Target,
        config: PipConfig,
        *,
        offline: bool,
    ) -> Resolution:
        self.constraints.append(tuple(constraints))
        wheel = LockedPackage(name=CUBLAS, version=NEWER)
        return Resolution(packages=(wheel,), resolver="fake")


def test_what_with_brings_is_held_to_the_wheels_of_what_stays() -> None:
    resolver = Remembering()
    torch = Distribution(name="torch", version="2.10.0", requires=(f"{CUBLAS}=={NEWER}",))
    parts = Parts(
        outside=FakeOutside(),
        matrix_dir="",
        index=lambda config: None,
        resolver=lambda name, config: resolver,
    )  # type: ignore[arg-type,return-value]
    here = Situation(target=structs.replace(TARGET, installed=(torch,)), machine=T4, named=False)
    wish = structs.replace(request(), companions=(Requirement("jax[cuda12]"),))
    assert with_beside(parts, here, matrix(), wish).beside == (torch,)
    assert f"{CUBLAS}=={NEWER}" in resolver.constraints[0]
    free = structs.replace(wish, allow_break=("torch",))
    assert with_beside(parts, here, matrix(), free).beside == ()
    assert f"{CUBLAS}=={NEWER}" not in resolver.constraints[1]


def test_a_requirement_that_does_not_hold_today_binds_nobody() -> None:
    dists = with_installed(nvidia_nccl_cu12="2.20.5").installed
    lines = (f"{NCCL}=={OLD_NCCL}", f"{CUBLAS}=={NEWER}", 'nvidia-cudnn-cu12==9.1; sys_platform == "win32"')
    torch = Distribution(name="torch", version="2.7.1", requires=lines)
    here = Situation(target=structs.replace(TARGET, installed=(*dists, torch)), machine=T4, named=False)
    (holder,) = holders_installed(here, ())
    assert holder.requires == (f"{CUBLAS}=={NEWER}",)


def test_offline_no_other_release_is_looked_for_on_the_index(
    envfix: Any,
    having: Callable[..., str],
    index: IndexServer,  # noqa: F811
) -> None:
    answer(envfix, "report", "--machine", having(torch="2.6.0"), "--tf", TF)
    index.asked.clear()
    said = answer(envfix, "report", "--machine", "./t4.json", "--tf", TF, "--offline")
    assert said["exit_code"] == 3 and index.asked == []
    assert verdict(said, TF)["fit"] == "no"


def test_the_machines_own_cuda_serves_where_the_wheels_are_in_the_way() -> None:
    torch = Distribution(name="torch", version="2.9.0", requires=(f"{NCCL}=={OLD_NCCL}",))
    there = changed(T4, installed={"torch": "2.9.0"})
    own = changed(
        there,
        toolkit=Toolkit(version=CudaRelease("12.5"), path="/usr/local/cuda"),
        cudnn=Cudnn(version=CudnnRelease("9.24.0.43"), path="/usr/lib"),
    )
    for facts, fit in ((there, Fit.NO), (own, Fit.YES)):
        found = rank.decide(matrix(), facts, request(f"=={UNAIDED}"), None, [torch])
        row = next(one for one in found.candidates if str(one.version) == UNAIDED)
        assert row.fit is fit, row.verdicts
    target = with_installed(torch="2.9.0")
    here = Situation(target=target, machine=own, named=True, beside=(torch,))
    wish = request(f"=={UNAIDED}")
    parts = Parts(outside=FakeOutside(), matrix_dir="", index=None, resolver=None)  # type: ignore[arg-type]
    assert choose(parts, here, matrix(), wish, decide(here, matrix(), wish)).cuda is CudaSource.SYSTEM
    # The files of that CUDA are not there after all.
    real = structs.replace(here, named=False)
    with pytest.raises(NothingFits, match=f"some of which is missing: torch 2.9.0 needs {NCCL}"):
        choose(parts, real, matrix(), wish, decide(real, matrix(), wish))
