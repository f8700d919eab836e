"""TensorFlow beside packages that ask for NVIDIA wheels themselves: decided together."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envfix.model.target import Distribution
from envfix.nvidia.beside import kept_out, libraries_beside
from tests.environments import TF, UNAIDED, pins, wheels
from tests.index_server import IndexServer, Wheel, build_wheel, serving
from tests.shipped import matrix
from tests.values import T4

CUBLAS = "nvidia-cublas-cu12"
CUBLAS_FILES = {f"nvidia/cublas/lib/{name}.so.12": "" for name in ("libcublas", "libcublasLt")}
LINKER = "nvidia-nvjitlink-cu12"  # goes up with what calls it
NEWER = "12.8.4.1"  # within what TensorFlow 2.20 allows, above what it was built with
NCCL = "nvidia-nccl-cu12"
OLD_NCCL = "2.26.2"  # enough for TensorFlow 2.20, too old for 2.21


def seventeen() -> list[Wheel]:
    """TensorFlow 2.17.1, to whose CUDA 12.3 the wheels of torch 2.6.0 are new enough."""
    nvidia = [build_wheel(name, version) for name, version in pins("2.17.1").items()]
    return [build_wheel("tensorflow", "2.17.1"), *nvidia]


def torch(version: str, *requires: str) -> Any:
    linux = [f"{text}; platform_system == 'Linux'" for text in requires]
    return build_wheel("torch", version, linux, modules={"torch/__init__.py": ""})


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with serving(
        *wheels(),
        build_wheel(CUBLAS, NEWER, modules=CUBLAS_FILES),
        build_wheel(CUBLAS, "12.4.5.8", modules=CUBLAS_FILES),
        build_wheel(LINKER, "12.8.93"),
        build_wheel("nvidia-cudnn-cu13", "9.20.0.48", modules={"nvidia/cudnn/lib/libcudnn.so.9": ""}),
        build_wheel(NCCL, OLD_NCCL, modules={"nvidia/nccl/lib/libnccl.so.2": ""}),
        *seventeen(),
        torch("2.5.0", f"{CUBLAS}==12.1.3.1"),
        torch("2.6.0", f"{CUBLAS}==12.4.5.8"),
        torch("2.7.0", f"{CUBLAS}=={NEWER}", "is-not-there"),
        torch("2.8.0", f"{CUBLAS}=={NEWER}"),
        torch("2.9.0", f"{NCCL}=={OLD_NCCL}"),
        torch("2.10.0", f"{CUBLAS}=={NEWER}"),
        torch("2.12.0", "nvidia-cudnn-cu13==9.20.0.48"),
        build_wheel(
            "jax-cuda13-plugin", "0.9", ["nvidia-cudnn-cu13>=9.8; extra == 'with-cuda'"], extras=["with-cuda"]
        ),
        build_wheel(
            "jax-cuda12-plugin", "0.9", ["nvidia-cudnn-cu12>=9.1; extra == 'with-cuda'"], extras=["with-cuda"]
        ),
        build_wheel("jax", "0.4"),  # from before there was such an extra
        build_wheel(
            "jax",
            "0.9",
            [f"jax-cuda{major}-plugin[with-cuda]; extra == 'cuda{major}'" for major in (12, 13)],
            extras=["cuda12", "cuda13"],
        ),
    ) as server:
        yield server


def answer(run: Any, *argv: str) -> dict[str, Any]:
    done = run(*argv, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout))


def planned(data: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["version"] for one in data["plan"]["packages"]}


def test_the_newest_that_goes_with_the_same_cuda_is_taken_and_its_wheels_serve_both(
    envfix: Any,
) -> None:
    said = answer(envfix, "report", "--machine", "colab-t4", "--tf", f"=={TF}", "--with", "torch")
    plan = planned(said["data"])
    assert (plan["torch"], plan[CUBLAS]) == ("2.10.0", NEWER)
    assert "nvidia-cudnn-cu13" not in plan
    why = next(one["because"] for one in said["data"]["plan"]["packages"] if one["name"] == CUBLAS)
    assert why == "torch 2.10.0 pins it"


def test_two_that_meet_on_one_wheel_are_named_with_a_pair_that_fits(envfix: Any) -> None:
    said = answer(envfix, "lock", "--machine", "colab-t4", "--tf", f"=={TF}", "--with", "torch==2.6.0")
    assert said["exit_code"] == 3
    (error,) = said["errors"]
    assert error["message"] == (
        f"tensorflow {TF} does not fit here: torch 2.6.0 needs {CUBLAS}==12.4.5.8, tensorflow {TF} "
        f"needs {CUBLAS}<13.0,>=12.5.3.2"
    )
    again = "envfix lock --machine colab-t4"
    assert error["hint"].splitlines() == [
        # 2.5.0 is as near and too old, and 2.7.0 nearer still, but its solution lacks a package.
        f"keeping TensorFlow, the nearest torch that goes with tensorflow {TF} is 2.8.0: "
        f"{again} --tf {TF} --with torch==2.8.0",
        "keeping torch, the nearest tensorflow that goes with torch 2.6.0 is 2.17.1: "
        f"{again} --tf 2.17.1 --with torch==2.6.0",
    ]
    (command,) = (line for line in error["hint"].splitlines() if "2.8.0" in line)
    pasted = shlex.split(command.partition(": ")[2])
    assert answer(envfix, *pasted[1:])["exit_code"] == 0


def test_wheels_whose_files_overwrite_each_other_are_not_put_together(envfix: Any) -> None:
    said = answer(envfix, "report", "--machine", "colab-t4", "--tf", f"=={TF}", "--with", "torch==2.12.0")
    assert said["exit_code"] == 3 and said["data"]["plan"] is None
    row = next(one for one in said["data"]["releases"] if one["version"] == TF)
    verdict = next(one for one in row["verdicts"] if one["rule"] == "companions")
    assert verdict["fit"] == "no" and "nvidia-cudnn-cu13" in verdict["wanted"]
    assert f"tensorflow {TF} needs nvidia-cudnn-cu12, whose files have the same names" in verdict["found"]
    again = f"envfix report --machine colab-t4 --tf {TF} --with torch==2.10.0"
    assert any(line.endswith(again) for line in said["data"]["advice"])


def test_what_a_companion_brings_at_second_hand_is_seen_too(envfix: Any) -> None:
    said = answer(envfix, "lock", "--machine", "colab-t4", "--tf", f"=={TF}", "--with", "jax[cuda13]")
    assert said["exit_code"] == 3
    assert "jax-cuda13-plugin 0.9 needs nvidia-cudnn-cu13>=9.8" in said["errors"][0]["message"]
    assert said["errors"][0]["hint"].splitlines()[0] == (
        f"keeping TensorFlow, the nearest jax[cuda12] that goes with tensorflow {TF} is 0.9: "
        f"envfix lock --machine colab-t4 --tf {TF} --with 'jax[cuda12]==0.9'"
    )


def test_installed_together_it_is_right_and_asks_nothing_the_second_time(
    envfix: Any,
    index: IndexServer,
    tmp_path: Path,
) -> None:
    argv = ["install", "--machine", "colab-t4", "--tf", f"=={TF}", "--with", "torch", "--venv", "both"]
    first = answer(envfix, *argv, "--yes", "--no-verify")
    assert first["exit_code"] == 0, first
    assert "torch" in first["data"]["changed"]
    index.asked.clear()
    again = answer(envfix, *argv, "--yes", "--no-verify")
    assert again["data"]["changed"] == [] and index.asked == []


def test_offline_it_asks_nobody_what_torch_needs(envfix: Any, index: IndexServer) -> None:
    more = ["--tf", f"=={TF}", "--with", "torch==2.10.0", "--with", "absl-py"]
    first = answer(envfix, "report", "--machine", "colab-t4", *more)
    index.asked.clear()
    again = answer(envfix, "report", "--machine", "colab-t4", *more, "--offline")
    assert index.asked == []
    assert again["data"]["recommended"] == first["data"]["recommended"] == TF


def test_a_pair_names_every_companion_as_it_was_asked_for(envfix: Any) -> None:
    argv = ["--tf", f"=={TF}", "--with", "torch==2.6.0", "--with", "absl-py>=2"]
    said = answer(envfix, "lock", "--machine", "colab-t4", *argv)
    kept, moved = said["errors"][0]["hint"].splitlines()
    assert kept.endswith(f"--tf {TF} --with torch==2.8.0 --with 'absl-py>=2'")
    assert moved.endswith("--tf 2.17.1 --with torch==2.6.0 --with 'absl-py>=2'")


def test_of_a_range_the_nearest_within_it_is_taken(envfix: Any) -> None:
    """2.9.0, the newest that is asked for, does not go with 2.21.0; 2.10.0 is as near and not asked for."""
    argv = ["--tf", UNAIDED, "--with", "torch>=2.6,<2.10"]
    said = answer(envfix, "report", "--machine", "colab-t4", *argv)
    assert (said["data"]["recommended"], planned(said["data"])["torch"]) == (UNAIDED, "2.8.0")
    note = f"keeping TensorFlow, the nearest torch that goes with tensorflow {UNAIDED} is 2.8.0"
    assert note in said["data"]["advice"]


def holder(*requires: str, name: str = "torch") -> Distribution:
    return Distribution(name=name, version="1.0", requires=requires)


def beside(*requires: str, name: str = "torch") -> dict[str, tuple[str, str]]:
    release = next(row for row in matrix().releases if str(row.version) == TF)
    found = libraries_beside(release, T4, matrix(), {}, [holder(*requires, name=name)])
    return {pin.name: (pin.version, pin.because) for pin in found.pins}


def test_a_range_raises_what_is_too_old_for_it_and_nothing_else() -> None:
    own = pins()
    low = beside(f"{CUBLAS}>=12.1", name="jax-cuda12-plugin")
    assert low[CUBLAS][0] == own[CUBLAS]
    high = beside(f"{CUBLAS}>={NEWER}", name="jax-cuda12-plugin")
    assert high[CUBLAS] == (NEWER, f"jax-cuda12-plugin 1.0 asks for {CUBLAS}>={NEWER}")
    assert {name for name in own if own[name] != high[name][0]} == {CUBLAS, LINKER}


def test_what_the_release_does_not_allow_stays_out() -> None:
    assert beside(f"{CUBLAS}==12.4.5.8")[CUBLAS][0] == pins()[CUBLAS]


def test_wheels_of_other_majors_with_the_same_files_are_kept_out() -> None:
    assert "nvidia-cudnn-cu13<0" in kept_out(12) and "nvidia-nccl-cu11<0" in kept_out(12)
    assert not any("cu12" in cap for cap in kept_out(12))


def test_the_order_of_holders_changes_nothing_and_a_pin_goes_before_a_range() -> None:
    pin, loose = holder(f"{CUBLAS}=={NEWER}"), holder(f"{CUBLAS}>=12.1", name="vllm")
    release = next(row for row in matrix().releases if str(row.version) == TF)
    found = [
        libraries_beside(release, T4, matrix(), {}, order).pins for order in ([pin, loose], [loose, pin])
    ]
    assert found[0] == found[1]
    assert next(one.version for one in found[0] if one.name == CUBLAS) == NEWER
