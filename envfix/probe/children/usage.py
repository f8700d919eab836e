"""What the GPUs are doing, again and again, as NVML tells it: a marked JSON line for each look.

    python usage.py PYNVML_FOLDER INTERVAL COUNT

INTERVAL is in seconds; COUNT is the number of looks, 0 for looks without end. A child, because a broken
libnvidia-ml.so.1 may crash or hang whoever loads it.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # importing typing for its own would cost more than the rest
if TYPE_CHECKING:
    from typing import Any

    from envfix.probe.children.nvml import Asked

MARK = "envfix-usage:"
TEMPERATURE_GPU = 0  # nvmlTemperatureSensors_t, NVML API reference
NOT_AVAILABLE = (1 << 64) - 1  # NVML_VALUE_NOT_AVAILABLE as an unsigned long long
PROCESSES = ("nvmlDeviceGet%sRunningProcesses_v3", "nvmlDeviceGet%sRunningProcesses_v2")


def look(asked: Asked, index: int, text: Any) -> dict[str, Any]:
    """One GPU now: percents of the last sampling period, MiB, degrees Celsius, watts; None where unknown."""
    handle = asked.nvml.nvmlDeviceGetHandleByIndex(index)
    fact = "gpus[%d]" % index
    rates = asked.ask(fact + ".utilisation", ("nvmlDeviceGetUtilizationRates",), handle)
    memory = asked.ask(fact + ".memory", ("nvmlDeviceGetMemoryInfo",), handle)
    name = asked.ask(fact + ".name", ("nvmlDeviceGetName",), handle)
    pci = asked.ask(fact + ".bus", ("nvmlDeviceGetPciInfo",), handle)
    power = asked.ask(fact + ".power", ("nvmlDeviceGetPowerUsage",), handle)
    limit = asked.ask(fact + ".power_limit", ("nvmlDeviceGetEnforcedPowerLimit",), handle)
    return {
        "index": index,
        "name": None if name is None else text(name),
        "bus": None if pci is None else text(pci.busId),
        "gpu_percent": None if rates is None else rates.gpu,
        "memory_percent": None if rates is None else rates.memory,
        "used_mib": None if memory is None else memory.used >> 20,
        "total_mib": None if memory is None else memory.total >> 20,
        "temperature": asked.ask(
            fact + ".temperature", ("nvmlDeviceGetTemperature",), handle, TEMPERATURE_GPU
        ),
        "watts": None if power is None else power / 1000,
        "watts_limit": None if limit is None else limit / 1000,
        "processes": processes(asked, fact, handle),
    }


def processes(asked: Asked, fact: str, handle: Any) -> list[dict[str, Any]] | None:
    """Who holds memory of the GPU. In a container NVML gives numbers of the host: such have no name here."""
    found: dict[int, dict[str, Any]] = {}
    for kind in ("Compute", "Graphics"):
        names = tuple(name % kind for name in PROCESSES)
        running = asked.ask("%s.processes.%s" % (fact, kind.lower()), names, handle)
        if running is None and kind == "Compute":
            return None
        for one in running or ():
            used = one.usedGpuMemory
            known = used is not None and used != NOT_AVAILABLE
            found[one.pid] = {
                "pid": one.pid,
                "name": comm(one.pid),
                "used_mib": used >> 20 if known else None,
            }
    return list(found.values())


def comm(pid: int) -> str | None:
    """The name of a process, cut to 15 characters by Linux (proc(5)); None where it is not seen here."""
    try:
        with open("/proc/%d/comm" % pid, errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def say(answer: dict[str, Any]) -> None:
    """Print one marked line, and at once: the reader draws it as it comes."""
    sys.stdout.write("\n" + MARK + json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(folder: str, interval: float, count: int) -> None:
    """Print a look every `interval` seconds, `count` times (0: without end)."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import nvml as child  # type: ignore[import-not-found]

    nvml, trouble = child.bindings(folder)
    if trouble:
        return say(trouble)
    try:
        nvml.nvmlInit()
        number = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        return say({"status": "error", "code": int(error.value), "text": str(error)})
    begun, looks = time.monotonic(), 0
    while True:
        asked = child.Asked(nvml)
        at = time.monotonic() - begun
        try:
            gpus = [look(asked, index, child.text) for index in range(number)]
        except nvml.NVMLError as error:  # a GPU that has gone while it was watched
            return say({"status": "error", "code": int(error.value), "text": str(error)})
        say({"status": "ok", "seconds": round(at, 3), "gpus": gpus, "missed": asked.missed})
        looks += 1
        if looks == count:
            return None
        # From the beginning, so that the looks do not drift by what each of them takes.
        time.sleep(max(0.0, begun + looks * interval - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
