"""What NVML says of driver and GPUs, as one marked JSON line. argv: the folder that holds `pynvml.py`.

A child, because a broken libnvidia-ml.so.1 may crash or hang whoever loads it.
"""

from __future__ import annotations

import ctypes
import json
import sys

TYPE_CHECKING = False  # importing typing for its own would cost more than the rest
if TYPE_CHECKING:
    from typing import Any

MARK = "envfix-nvml:"
LIBRARY = "libnvidia-ml.so.1"


def text(value: str | bytes) -> str:
    """nvidia-ml-py before 11.515 returns bytes, later ones str."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class Asked:
    """Asks NVML; what this NVML or this device cannot tell is kept in `missed` as (fact, why)."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.missed: list[tuple[str, str]] = []

    def ask(self, fact: str, names: tuple[str, ...], *arguments: Any) -> Any:
        """The answer of the first of these functions that has one, or None."""
        reasons = []
        for name in names:
            try:
                return getattr(self.nvml, name)(*arguments)
            except Exception as error:  # NVMLError, a function that these bindings or this library lack
                reasons.append("%s: %s" % (name, str(error) or type(error).__name__))
        self.missed.append((fact, "; ".join(reasons)))
        return None


def device(asked: Asked, index: int) -> dict[str, Any]:
    """One GPU: memory in bytes, compute capability as (major, minor), None what NVML does not say. Raises
    NVMLError for a GPU that does not answer at all."""
    handle = asked.nvml.nvmlDeviceGetHandleByIndex(index)
    fact = "gpus[%d]" % index
    memory = asked.ask(fact + ".memory_mib", ("nvmlDeviceGetMemoryInfo",), handle)
    name = asked.ask(fact + ".name", ("nvmlDeviceGetName",), handle)
    capability = asked.ask(fact + ".compute_capability", ("nvmlDeviceGetCudaComputeCapability",), handle)
    return {
        "name": None if name is None else text(name),
        "capability": capability,
        "memory": None if memory is None else int(memory.total),
    }


def ask(nvml: Any) -> dict[str, Any]:
    """The answer: `cuda` is the driver's, 1000 * major + 10 * minor; `trouble` says why GPUs are missing."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return {"status": "error", "code": int(error.value), "text": str(error)}
    asked = Asked(nvml)
    # As 1000 * major + 10 * minor; the first NVML that tells it is R410's.
    cuda = asked.ask("driver.cuda", ("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"))
    release = asked.ask("driver.release", ("nvmlSystemGetDriverVersion",))
    answer: dict[str, Any] = {"status": "ok", "cuda": cuda, "gpus": [], "trouble": ""}
    answer["release"] = None if release is None else text(release)
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            answer["gpus"].append(device(asked, index))
    except nvml.NVMLError as error:
        answer["trouble"] = str(error)
    answer["missed"] = asked.missed
    return answer


def bindings(folder: str) -> tuple[Any, dict[str, Any]]:
    """The module `pynvml` in `folder`; where it or NVML does not load, None and an answer that says so."""
    if not sys.platform.startswith("win"):
        # Before importing the bindings: they cost 0.1 s and hide why the library did not load.
        try:
            ctypes.CDLL(LIBRARY)
        except OSError as error:
            return None, {"status": "not-loaded", "text": str(error)}
    sys.path.insert(0, folder)
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError as error:
        return None, {"status": "no-bindings", "text": str(error)}
    return pynvml, {}


def main() -> None:
    """Print the marked line."""
    nvml, trouble = bindings(sys.argv[1])
    sys.stdout.write("\n" + MARK + json.dumps(trouble or ask(nvml)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
