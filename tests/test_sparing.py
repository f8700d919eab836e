"""`--minimal`: what is left out on which machine, what is said of it, and what the next install does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from packaging.version import Version

from envfix.choice import Lacks
from envfix.choosing import choose
from envfix.deciding import decide
from envfix.errors import IndexUnreachable
from envfix.install.libraries import needed_sonames
from envfix.model.decision import Bound, Decision
from envfix.model.machine import Gpu, Machine
from envfix.model.matrix import Release
from envfix.model.plan import LeftOut, LockedPackage, Plan, Resolution
from envfix.model.release import Absence
from envfix.model.results import Report
from envfix.model.target import Distribution
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease, PythonRelease
from envfix.ports import Index, IndexFile
from envfix.reading import parse_yaml
from envfix.render import html, markdown
from envfix.render.plan import plan
from envfix.resolve.bounds import bounds
from envfix.situation import Parts, Situation
from envfix.sparing import left_by, said, sized, spared
from tests.environments import TF, install, pins
from tests.fakes import FakeOutside
from tests.pages import named, read
from tests.shipped import judged, matrix, request
from tests.values import T4, changed, with_installed

CASES = parse_yaml((Path(__file__).parent / "data" / "minimal.yaml").read_text(), "minimal.yaml")
CURAND, NCCL = "nvidia-curand-cu12", "nvidia-nccl-cu12"


def row(version: str) -> Release:
    return next(row for row in matrix().releases if row.version == Version(version))


def machine(case: dict[str, Any]) -> Machine:
    return changed(T4, gpus=(Gpu(compute_capability=ComputeCapability(case["gpu"])),))


def held(case: dict[str, Any]) -> tuple[Situation, tuple[Bound, ...]]:
    """The situation, and the bounds of the release there."""
    installed = case.get("installed", {})
    beside = tuple(
        Distribution(name="torch", version="2.9.1", requires=(line,)) for line in case.get("beside", ())
    )
    here = Situation(target=with_installed(**installed), machine=machine(case), named=True, beside=beside)
    return here, bounds(row(case["tf"]), here.machine, matrix(), installed, beside)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_what_was_proven_with_these_nvidia_wheels_is_left_out(case: dict[str, Any]) -> None:
    here, pinned = held(case)
    found = spared(here, matrix(), row(case["tf"]), pinned)
    assert [one.name for one in found] == case["left_out"]
    versions = {bound.requirement for bound in pinned}
    assert all(f"{one.name}=={one.version}" in versions and one.because for one in found)


def test_every_proof_says_what_it_saw_and_never_spares_what_registers_the_gpu() -> None:
    proven = [row for row in matrix().releases if row.minimal]
    assert {str(row.version) for row in proven} >= {"2.20.0", "2.21.0"}
    opened = ("cublas", "cuda-runtime", "cudnn", "cufft", "cusolver", "cusparse", "nvjitlink", "nvcc")
    for one in (one for row in proven if row.minimal for one in row.minimal.spared):
        assert not any(name in one.name for name in opened)
        assert "answers" in one.evidence if one.how is Absence.BUILT_IN else "names" in one.evidence


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (CASES[0], f"left out {CURAND}, {NCCL}: what opens them by itself"),
        ({"tf": "2.21.0", "gpu": "6.0"}, "was not proven with these NVIDIA wheels"),
        ({"tf": "2.8.0", "gpu": "7.5"}, "leaves nothing out: tensorflow 2.8.0 has no proof in this matrix"),
    ],
)
def test_the_note_says_what_it_costs_or_why_there_is_nothing(case: dict[str, Any], words: str) -> None:
    here, pinned = held(case)
    release = row(case["tf"])
    assert words in said("2026-11-23", release, pinned, spared(here, matrix(), release, pinned))
    assert "no NVIDIA wheels" in said("2026-11-23", release, (), ())


class Pages(Index):
    """An index with the pages it is given; it does not answer for others."""

    def __init__(self, **pages: list[str]) -> None:
        self.pages = pages

    def files(self, project: str) -> tuple[IndexFile, ...]:
        if project not in self.pages:
            raise IndexUnreachable("no answer")
        return tuple(
            IndexFile(name, f"https://index.example/{name}", None, 1000 + number, None, None, False)
            for number, name in enumerate(self.pages[project])
        )

    def metadata(self, file: IndexFile) -> str:
        raise NotImplementedError

    def members(self, file: IndexFile) -> dict[str, int]:
        raise NotImplementedError

    def member(self, file: IndexFile, name: str) -> bytes:
        raise NotImplementedError


def left(name: str, version: str = "2.0", size: int | None = None) -> LeftOut:
    return LeftOut(name=name, version=version, size=size, because="nothing names it")


def test_sizes_are_of_the_wheel_for_this_platform_and_unknown_where_nobody_says() -> None:
    files = [
        "a-1.0-py3-none-manylinux2014_x86_64.whl",
        "a-2.0-py3-none-win_amd64.whl",
        "a-2.0-py3-none-manylinux2014_aarch64.whl",
        "a-2.0.tar.gz",
        "a-2.0-py3-none-manylinux_2_27_x86_64.manylinux2014_x86_64.whl",
    ]
    index = Pages(a=files)
    assert [one.size for one in sized([left("a"), left("b")], index)] == [1004, None]
    assert [one.size for one in sized([left("a", "3.0")], index)] == [None]
    assert [one.size for one in sized([left("a")], None)] == [None]


def test_what_something_else_brings_is_not_left_out() -> None:
    there = Resolution(packages=(LockedPackage(name="a", version="2.0"),), resolver="uv")
    assert left_by(there, [left("a"), left("b")]) == (left("b"),)


def test_the_plan_names_what_is_left_out_with_its_bytes() -> None:
    shown = plan(
        Plan(packages=(), download_bytes=0, installed_bytes=0, left_out=(left("a", "2.0", 56_000_000),))
    )
    assert shown[1:] == ["  - a 2.0  56 MB  left out: nothing names it"]


def test_a_size_that_nobody_was_asked_for_is_left_out_of_every_page() -> None:
    made = Plan(packages=(), download_bytes=0, installed_bytes=0, left_out=(left("a"), left("bcd")))
    assert plan(made)[1:] == [
        "  - a 2.0    left out: nothing names it",
        "  - bcd 2.0  left out: nothing names it",
    ]
    some = structs.replace(made, left_out=(left("a", size=56_000_000), left("bcd")))
    assert plan(some)[2] == "  - bcd 2.0         left out: nothing names it"
    report = structs.replace(named("colab-t4"), plan=made)
    assert "| a | 2.0 | left out |  | nothing names it |" in markdown.report(report)
    assert "Left out: a 2.0: nothing names it; bcd 2.0: nothing names it" in read(html.page(report)).text


def data(done: Any) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["data"]
    return answer


def test_a_lock_records_what_it_left_out_and_brings_it_to_the_install(envfix: Any) -> None:
    asked = ["--machine", "colab-t4", "--tf", TF, "--minimal", "--json"]
    locked = data(envfix("lock", "--venv", "demo", *asked))
    wanted = [f"{CURAND}=={pins()[CURAND]}", f"{NCCL}=={pins()[NCCL]}"]
    assert locked["left_out"] == wanted
    assert not {CURAND, NCCL}.intersection(one["name"] for one in locked["packages"])
    shown = data(envfix(*install("--lock", "pylock.envfix.toml", "--dry-run")))["plan"]
    assert [f"{one['name']}=={one['version']}" for one in shown["left_out"]] == wanted
    assert all(one["size"] for one in shown["left_out"])


def test_a_release_without_a_proof_is_whole() -> None:
    unproven = structs.replace(row(TF), minimal=None)
    here, pinned = held(CASES[0])
    assert spared(here, matrix(), unproven, pinned) == ()


def test_a_report_shows_it_as_a_page_and_as_markdown() -> None:
    best = judged(T4, TF)
    held = (left("nvidia-curand-cu12", "10.3", 56_000_000),)
    shown = Plan(packages=(), download_bytes=0, installed_bytes=0, left_out=held)
    report = Report(machine=T4, decision=Decision(candidates=(best,), recommended=best), plan=shown)
    assert "nvidia-curand-cu12 10.3 (56 MB): nothing names it" in html.page(report)
    assert "| nvidia-curand-cu12 | 10.3 | left out | 56 MB | nothing names it |" in markdown.report(report)


@pytest.mark.parametrize(("minimal", "lacks"), [(True, Lacks.NOTHING), (False, Lacks.PACKAGES)])
def test_a_library_that_the_release_does_without_is_not_missed(minimal: bool, lacks: Lacks) -> None:
    """Of CUDA 11 TensorFlow opened cuRAND until 2.13, and no longer in 2.14."""
    release = row("2.14.1")
    machine = changed(T4, python=PythonRelease("3.11"))
    held = {
        one.requirement.partition("==")[0]: one.requirement.partition("==")[2]
        for one in bounds(release, machine, matrix(), {})
        if "==" in one.requirement and "curand" not in one.requirement
    }
    target = with_installed(tensorflow="2.14.1", **held)
    names = needed_sonames(CudaRelease("11.8"), CudnnRelease("8.7"))
    folder = f"{target.purelib}/nvidia/all/lib"
    files = {f"{folder}/{name}": "" for name in names if "curand" not in name}
    parts = Parts(outside=FakeOutside(files=files), matrix_dir="", index=None, resolver=None)  # type: ignore[arg-type]
    here = Situation(target=target, machine=machine, named=True)
    asked = structs.replace(request("==2.14.1"), minimal=minimal)
    choice = choose(parts, here, matrix(), asked, decide(here, matrix(), asked))
    assert choice.lacks is lacks
