"""Why the driver gave TensorFlow no GPU: which `libcuda.so.1` answered, and what hides the devices."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from envfix.model.machine import Driver, Gpu, Machine, known
from envfix.model.surroundings import Surroundings
from envfix.ports import Outside
from envfix.verify import libraries
from envfix.verify.libraries import Why
from envfix.verify.transcript import Transcript

LIBRARY = "libcuda.so.1"
# Where drivers, their installers, container runtimes, Colab and WSL put it.
DRIVER_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib", "/usr/lib64-nvidia",
    "/usr/local/nvidia/lib64", "/usr/lib/aarch64-linux-gnu", "/usr/lib/nvidia", "/run/opengl-driver/lib",
)  # fmt: skip
NO_DRIVER = "`nvidia-smi` must work here first; `envfix probe` says what was found of the driver"
_RELEASE = re.compile(r"libcuda\.so\.(\d+\.[\d.]+)$")
_NO_DEVICE = "CUDA_ERROR_NO_DEVICE"


def why_not_opened(outside: Outside, heard: Transcript, machine: Machine, about: Surroundings) -> Why:
    """Why `libcuda.so.1` was not opened: no driver, or one where the loader does not look."""
    reason = heard.not_opened.get(LIBRARY, "")
    said = f"`{LIBRARY}`, which the NVIDIA driver brings, was not opened" + (f": {reason}" if reason else "")
    there = [folder for folder in DRIVER_FOLDERS if outside.exists(f"{folder}/{LIBRARY}")]
    if there:
        path = f"{there[0]}/{LIBRARY}"
        rest = outside.environ.get("LD_LIBRARY_PATH", "")
        command = f"`export LD_LIBRARY_PATH={shlex.quote(f'{there[0]}:{rest}' if rest else there[0])}`"
        return Why(f"{said}; it is at `{path}`, where the loader does not look", f"run {command}")
    if machine.has_no_gpu and about.without_gpu:
        return Why(f"{said}; this machine has no NVIDIA driver or GPU", "; or ".join(about.without_gpu))
    return Why(said, NO_DRIVER)


def why_no_device(
    outside: Outside, heard: Transcript, machine: Machine, about: Surroundings, ours: str | None
) -> Why | None:
    """Why the driver's library, which was opened, offers no device; None where nothing here tells.

    `ours` is the folder of the driver stub that envfix itself put in front.
    """
    path = heard.answer.get("libraries", {}).get(LIBRARY, "")
    if ours is None or not path.startswith(ours):
        in_front = _wrong_library(outside, heard, path, machine)
        if in_front:
            return in_front
    if ours is None:
        visible = outside.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = _hidden(visible, known(machine.gpus, ()), _NO_DEVICE in heard.cuinit)
        if hidden:
            return Why(hidden, _show(about))
    return None


def _wrong_library(outside: Outside, heard: Transcript, path: str, machine: Machine) -> Why | None:
    """A toolkit's stub, a compatibility package's library, or one of another release than the driver."""
    where = f"`{path}` ({libraries.why_that_one(heard, path)})"
    remedy = _take_away(outside, heard, path)
    if "/stubs" in path:
        return Why(
            f"{where} is the toolkit's stub, which programs are linked with and which drives nothing", remedy
        )
    if "/compat" in path:
        return Why(
            f"{where} is a forward-compatibility library (cuda-compat), which works on data-centre GPUs "
            "alone, and only where it is newer than the driver",
            remedy,
        )
    driver = known(machine.driver, None)
    module = str(known(driver.release, "")) if isinstance(driver, Driver) else ""
    release = _RELEASE.search(heard.answer.get("real", {}).get(LIBRARY, path))
    if release and module and _numbers(release[1]) != _numbers(module):
        return Why(
            f"{where} is of driver {release[1]}, and the driver that runs is {module}",
            "reboot, if the driver was updated (the old kernel module runs until then); else " + remedy,
        )
    return None


def _take_away(outside: Outside, heard: Transcript, path: str) -> str:
    place = libraries.place_of(heard, path)
    if place is not None and place.kind == "LD_LIBRARY_PATH":
        return f"take its folder out of LD_LIBRARY_PATH: {libraries.out_of_library_path(outside, path)}"
    folder = path.rpartition("/")[0]
    return (
        f"let the driver's own library win: take `{folder}` out of /etc/ld.so.conf.d "
        f"(`grep -rl {shlex.quote(folder)} /etc/ld.so.conf.d`) and run `sudo ldconfig`"
    )


def _hidden(visible: str | None, gpus: Sequence[Gpu], no_device: bool) -> str:
    """How CUDA_VISIBLE_DEVICES hides every GPU; empty where it does not.

    The list ends at the first entry that names no device (CUDA C++ Programming Guide, "CUDA Environment
    Variables"), so that a wrong first entry hides all.
    """
    if visible is None:
        return ""
    first = visible.split(",")[0].strip()
    if not first:
        return "CUDA_VISIBLE_DEVICES is set and empty, which hides every GPU"
    if first.lstrip("-").isdecimal():
        number = int(first)
        if number < 0:
            return f"CUDA_VISIBLE_DEVICES=`{visible}` hides every GPU"
        if gpus and number >= len(gpus):
            there = "GPU 0 alone" if len(gpus) == 1 else f"GPUs 0 to {len(gpus) - 1}"
            return f"CUDA_VISIBLE_DEVICES=`{visible}` begins with GPU {number}, and this machine has {there}"
    if not no_device:
        return ""
    if first.isdecimal():
        return (
            ""
            if gpus
            else f"CUDA_VISIBLE_DEVICES=`{visible}` begins with a GPU that the driver does not have"
        )
    if first.startswith("MIG"):
        kind = "a MIG instance"
    elif first.startswith("GPU"):
        kind = "a GPU's UUID"
    else:
        return f"CUDA_VISIBLE_DEVICES=`{visible}` names no device, which hides every GPU"
    return (
        f"CUDA_VISIBLE_DEVICES=`{visible}` begins with {kind} that the driver does not know here "
        "(`nvidia-smi -L` lists those that it does)"
    )


def _show(about: Surroundings) -> str:
    if about.kernel is None:
        return "run `unset CUDA_VISIBLE_DEVICES`"
    return (
        "restart the kernel, and begin with `import os; os.environ.pop('CUDA_VISIBLE_DEVICES', None)` "
        "in place of what sets it"
    )


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdecimal())
