"""What to do on a machine without a GPU: where one is to be had, and never an install that cannot help."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import UNSET

from envfix.model.machine import Driver, Machine, Os, Outcome, Platform, known

INTERNET = "Kaggle: Settings → Turn on internet, without which nothing can be downloaded"
# https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html
CONTAINER = (
    "this is a container: start it with `docker run --gpus all ...` (podman: `--device nvidia.com/gpu=all`) "
    "on a host that has an NVIDIA driver and the NVIDIA Container Toolkit"
)


def advice_without_gpu(machine: Machine, install: Sequence[str]) -> tuple[str, ...]:
    """What gets a GPU here, most likely first, what an install needs beside it, and how to do without one.

    `install` are the words of the command line that installs there.
    """
    internet = (INTERNET,) if known(machine.platform, None) is Platform.KAGGLE else ()
    cpu = f"to run on the CPU: `{shlex.join([*install, '--accelerator', 'auto'])}`"
    return (*where_one_is(machine), *internet, cpu)


def where_one_is(machine: Machine) -> tuple[str, ...]:
    """What gets a GPU here, most likely first."""
    platform = known(machine.platform, None)
    if platform is Platform.COLAB:
        return (
            "Colab: Runtime → Change runtime type → choose a GPU (T4 is free) → Save, "
            "then run the notebook again",
        )
    if platform is Platform.KAGGLE:
        return (
            "Kaggle: Settings → Accelerator → choose a GPU, then run the notebook again (accelerators need a "
            "verified phone number)",
        )
    if platform is Platform.SAGEMAKER:
        return ("SageMaker: choose an instance type with a GPU (ml.g4dn, ml.g5, ml.g6, ml.p4d, ml.p5)",)
    if known(machine.os, None) is Os.MACOS:
        return ("macOS has no NVIDIA driver, and TensorFlow no CUDA build for it: use another machine",)
    if known(machine.wsl, False):
        return _under_wsl(machine)
    return (*_here(machine), *_windows(machine))


def _under_wsl(machine: Machine) -> tuple[str, ...]:
    # https://docs.nvidia.com/cuda/wsl-user-guide/: the Windows driver is the only one; a Linux one breaks it.
    advice = (
        "WSL: install or update NVIDIA's driver on Windows, run `wsl --update` and `wsl --shutdown` there, "
        "and open a new shell; never install a Linux driver inside WSL",
    )
    return (CONTAINER, *advice) if machine.saw("container") else advice


def _here(machine: Machine) -> tuple[str, ...]:
    """A machine of the user's own: a container, a GPU without a driver, a driver without its libraries."""
    hidden = known(machine.environment, {}).get("NVIDIA_VISIBLE_DEVICES")
    if machine.saw("container"):
        if hidden in ("", "void", "none"):
            return (
                f"this container was started with NVIDIA_VISIBLE_DEVICES=`{hidden}`: "
                "start it with `docker run --gpus all ...`",
            )
        return (CONTAINER,)
    device = machine.saw("gpus.pci")
    driver = machine.driver
    if isinstance(driver, Driver):
        release = f" {driver.release}" if driver.release is not UNSET else ""
        return (
            f"the NVIDIA driver{release} runs but offers no GPU: `nvidia-smi` says what it sees, and "
            "`dmesg | grep -i nvrm` why a card was refused; its library libcuda.so.1 must be installed too",
        )
    if device is not None:
        return (_without_driver(machine, device.detail),)
    if known(machine.evidence, ()):
        return ("no NVIDIA GPU was found: use a machine, or a type of cloud instance, that has one",)
    return ("this machine has no NVIDIA GPU: use one that has",)


def _without_driver(machine: Machine, device: str) -> str:
    """A card without a driver: one that is installed needs to be loaded, else it needs to be installed."""
    said = f"there is an NVIDIA device ({device}) but no driver runs for it"
    if _driver_is_installed(machine):
        return (
            f"{said}: its programs are installed, so load it (`sudo modprobe nvidia`) or reboot, "
            "and see `dkms status`"
        )
    return (
        f"{said}: install NVIDIA's driver (Ubuntu: `sudo ubuntu-drivers install`, others: "
        "https://www.nvidia.com/drivers) and reboot"
    )


def _driver_is_installed(machine: Machine) -> bool:
    """Whether NVML or nvidia-smi is there and says that no driver is loaded."""
    return any(
        one.outcome is Outcome.ABSENT and "no driver is loaded" in one.detail
        for one in known(machine.evidence, ())
    )


def _windows(machine: Machine) -> tuple[str, ...]:
    # https://www.tensorflow.org/install/pip: 2.10 is the last release with a GPU on native Windows.
    if known(machine.os, None) is not Os.WINDOWS:
        return ()
    return ("Windows: TensorFlow after 2.10 uses a GPU only under WSL2 (`wsl --install`)",)
