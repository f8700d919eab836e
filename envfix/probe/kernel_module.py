"""Driver and GPUs as the NVIDIA kernel module tells them: needs no library, and sees a container's host."""

from __future__ import annotations

import re

from msgspec import UNSET

from envfix.model.machine import Gpu, Outcome
from envfix.model.versions import DriverRelease
from envfix.ports import Outside
from envfix.probe.evidence import read_file
from envfix.probe.nvidia_reading import RELEASE, Reading, as_release, nothing, reading

PROC_VERSION = "/proc/driver/nvidia/version"
SYS_VERSION = "/sys/module/nvidia/version"
PROC_GPUS = "/proc/driver/nvidia/gpus"
# "NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue ..." and, for the open module,
# "NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build ...".
_NVRM = re.compile(
    rf"^NVRM version: NVIDIA UNIX .{{0,60}}?Kernel Module(?: for \w+)?\s+({RELEASE})(?=\s|$)", re.M
)
_MODEL = re.compile(r"^Model:[ \t]*(\S.*?)[ \t]*$", re.M)


def read_proc_version(outside: Outside) -> Reading:
    """The release in /proc/driver/nvidia/version."""
    text = read_file(outside, PROC_VERSION)
    if text.outcome is not Outcome.FOUND:
        return nothing(PROC_VERSION, text.outcome, text.detail, "driver.release")
    release = parse_nvrm(text.text)
    if release is None:
        return nothing(PROC_VERSION, Outcome.FAILED, f"no release in `{text.text[:80]}`", "driver.release")
    return reading(PROC_VERSION, release, None, None)


def read_sys_version(outside: Outside) -> Reading:
    """The release in /sys/module/nvidia/version."""
    text = read_file(outside, SYS_VERSION)
    if text.outcome is not Outcome.FOUND:
        return nothing(SYS_VERSION, text.outcome, text.detail, "driver.release")
    release = as_release(text.text)
    if release is None:
        return nothing(SYS_VERSION, Outcome.FAILED, f"no release in `{text.text[:80]}`", "driver.release")
    return reading(SYS_VERSION, release, None, None)


def read_proc_gpus(outside: Outside) -> Reading:
    """The devices under /proc/driver/nvidia/gpus, in the order of their PCI addresses; names only."""
    if not outside.is_dir(PROC_GPUS):
        return nothing(PROC_GPUS, Outcome.ABSENT, "no such folder", "gpus")
    gpus = []
    for address in outside.listdir(PROC_GPUS):
        text = read_file(outside, f"{PROC_GPUS}/{address}/information")
        if text.outcome is Outcome.FOUND:
            name = parse_model(text.text)
            gpus.append(Gpu(name=name if name else UNSET))
    return reading(PROC_GPUS, None, None, tuple(gpus), runs=False)


def parse_nvrm(text: str) -> DriverRelease | None:
    """The release of the NVRM line, of the proprietary or the open module; None without such a line."""
    found = _NVRM.search(text)
    return DriverRelease(found[1]) if found else None


def parse_model(text: str) -> str:
    """The model's name, empty where the module does not know it."""
    found = _MODEL.search(text)
    return found[1] if found and found[1] != "Unknown" else ""
