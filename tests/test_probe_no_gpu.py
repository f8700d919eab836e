"""What is advised where there is no GPU: the menu, the option or the driver that helps, never a package."""

from __future__ import annotations

import pytest
from msgspec import UNSET, structs

from envfix.model.machine import Driver, Evidence, Machine, Os, Outcome, Platform
from envfix.model.versions import DriverRelease
from envfix.probe.no_gpu import advice_without_gpu

NONE = Machine(platform=Platform.TERMINAL, os=Os.LINUX, wsl=False, driver=None, gpus=())


def seen(fact: str, detail: str = "", outcome: Outcome = Outcome.FOUND) -> Evidence:
    return Evidence(fact=fact, source="x", outcome=outcome, detail=detail)


CONTAINER = seen("container", "docker")
DEVICE = seen("gpus.pci", "0000:00:04.0 [10de:1eb8]")


def advised(**facts: object) -> str:
    advice = advice_without_gpu(structs.replace(NONE, **facts), ("envfix", "install", "--venv", "a b"))
    assert (
        advice[-1] == "to run on the CPU: `envfix install --venv 'a b' --accelerator auto`"
        and len(advice) >= 2
    )
    return "\n".join(advice[:-1])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"platform": Platform.COLAB}, "Runtime → Change runtime type"),
        ({"platform": Platform.KAGGLE}, "Settings → Accelerator"),
        ({"platform": Platform.KAGGLE}, "Turn on internet"),
        ({"platform": Platform.SAGEMAKER}, "instance type with a GPU"),
        ({"os": Os.MACOS}, "macOS has no NVIDIA driver"),
        ({"os": Os.WINDOWS}, "WSL2"),
        ({"wsl": True}, "driver on Windows"),
        ({"wsl": True, "evidence": (CONTAINER,)}, "--gpus all"),
        ({"evidence": (CONTAINER,)}, "docker run --gpus all"),
        ({"evidence": (CONTAINER,)}, "NVIDIA Container Toolkit"),
        (
            {"evidence": (CONTAINER,), "environment": {"NVIDIA_VISIBLE_DEVICES": "void"}},
            "NVIDIA_VISIBLE_DEVICES=`void`",
        ),
        ({"evidence": (DEVICE,)}, "[10de:1eb8]"),
        ({"evidence": (DEVICE,)}, "install NVIDIA's driver"),
        ({"driver": Driver(release=DriverRelease("550.54.15"))}, "driver 550.54.15 runs but offers no GPU"),
        ({"driver": Driver()}, "driver runs but offers no GPU"),
        ({"evidence": (seen("driver", "", Outcome.ABSENT),)}, "no NVIDIA GPU was found"),
        ({}, "no NVIDIA GPU"),
        ({"platform": UNSET, "os": UNSET, "wsl": UNSET}, "no NVIDIA GPU"),
    ],
)
def test_advice_is_for_the_place(facts: dict[str, object], words: str) -> None:
    assert words in advised(**facts)


def test_a_driver_that_is_installed_but_not_loaded_is_to_be_loaded_not_installed() -> None:
    stopped = seen("driver", "the program is there, but no driver is loaded: exit 9", Outcome.ABSENT)
    advice = advised(evidence=(DEVICE, stopped))
    assert "modprobe nvidia" in advice and "install NVIDIA's driver" not in advice


def test_under_wsl_no_linux_driver_is_ever_proposed() -> None:
    advice = advised(wsl=True, evidence=(DEVICE,))
    assert "never install a Linux driver" in advice and "ubuntu-drivers" not in advice


@pytest.mark.parametrize("platform", [Platform.COLAB, Platform.KAGGLE])
def test_a_hosted_notebook_is_a_container_but_its_user_cannot_start_it(platform: Platform) -> None:
    assert "--gpus" not in advised(platform=platform, evidence=(CONTAINER,))


@pytest.mark.parametrize("platform", list(Platform))
def test_no_package_is_ever_proposed(platform: Platform) -> None:
    advice = advised(platform=platform)
    assert "pip install" not in advice and "[and-cuda]" not in advice
