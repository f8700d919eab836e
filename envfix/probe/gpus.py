"""The GPUs, merged from every source that was asked, and what hides them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType, structs

from envfix.model.machine import Evidence, Gpu, Outcome, known
from envfix.ports import Outside
from envfix.probe.driver import COMPARED
from envfix.probe.evidence import piece, read_file
from envfix.probe.kernel_module import PROC_GPUS
from envfix.probe.nvidia_reading import Reading

NVIDIA_VENDOR = "0x10de"
PCI_DEVICES = "/sys/bus/pci/devices"
DISPLAY_CLASS = "0x03"  # VGA (0x0300) and 3D (0x0302) controllers; the card's audio is 0x0403


def merge_gpus(readings: Sequence[Reading]) -> tuple[tuple[Gpu, ...] | UnsetType, tuple[Evidence, ...]]:
    """The GPUs and the evidence of disagreements. `readings` stand in the order of trust.

    Empty only where no source found one and none failed. What the kernel module lists does not count where
    none of the driver's libraries is there: a container sees the module of its host, but not its GPUs.
    """
    usable = [one for one in readings if one.source != PROC_GPUS or _has_libraries(readings)]
    lists = [one for one in usable if one.gpus]
    if not lists:
        pieces = [one for each in usable for one in each.evidence if one.fact in ("driver", "gpus")]
        failed = any(one.outcome in (Outcome.FAILED, Outcome.TIMEOUT) for one in pieces)
        return (UNSET if failed else ()), ()
    gpus = lists[0].gpus or ()
    for other in lists[1:]:
        if other.gpus is not None and len(other.gpus) == len(gpus):
            gpus = tuple(map(_completed, gpus, other.gpus))
    return gpus, _disagreement(usable)


def hidden_devices(outside: Outside) -> tuple[Evidence, ...]:
    """Evidence where CUDA_VISIBLE_DEVICES hides every device from a program that is started now."""
    value = outside.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None or (value.strip() and not value.strip().startswith("-1")):
        return ()
    detail = f"CUDA_VISIBLE_DEVICES=`{value}` hides every device: unset it"
    return (piece("gpus.visible", "CUDA_VISIBLE_DEVICES", Outcome.FAILED, detail),)


def pci_devices(outside: Outside) -> tuple[Evidence, ...]:
    """Evidence of NVIDIA display controllers on the PCI bus, with or without a driver."""
    found = []
    for address in outside.listdir(PCI_DEVICES):
        folder = f"{PCI_DEVICES}/{address}"
        if read_file(outside, f"{folder}/vendor").text.strip() != NVIDIA_VENDOR:
            continue
        if read_file(outside, f"{folder}/class").text.startswith(DISPLAY_CLASS):
            found.append(f"{address} [10de:{read_file(outside, f'{folder}/device').text.strip()[2:]}]")
    if found:
        return (piece("gpus.pci", PCI_DEVICES, Outcome.FOUND, ", ".join(found)),)
    if not outside.is_dir(PCI_DEVICES):
        return (piece("gpus.pci", PCI_DEVICES, Outcome.ABSENT, "no PCI bus"),)
    return (piece("gpus.pci", PCI_DEVICES, Outcome.ABSENT, "no NVIDIA display controller"),)


def _has_libraries(readings: Sequence[Reading]) -> bool:
    """Whether one of the sources that need the driver's own libraries or programs is there at all."""
    return any(not one.is_absent for one in readings if not one.source.startswith(("/proc/", "/sys/")))


def _completed(gpu: Gpu, also: Gpu) -> Gpu:
    """`gpu` with what only another source knows of the same device (names may be cut off or extended)."""
    name, other = known(gpu.name, ""), known(also.name, "")
    if not (name.startswith(other) or other.startswith(name)):
        return gpu
    return structs.replace(
        gpu,
        name=also.name if gpu.name is UNSET else gpu.name,
        compute_capability=also.compute_capability
        if gpu.compute_capability is UNSET
        else gpu.compute_capability,
        memory_mib=also.memory_mib if gpu.memory_mib is UNSET else gpu.memory_mib,
    )


def _disagreement(readings: Sequence[Reading]) -> tuple[Evidence, ...]:
    counts = [(one.source, len(one.gpus)) for one in readings if one.gpus is not None]
    if len({count for _, count in counts}) < 2:
        return ()
    words = ", ".join(f"{source} lists {count}" for source, count in counts)
    return (piece("gpus", COMPARED, Outcome.FAILED, f"the sources disagree: {words}"),)
