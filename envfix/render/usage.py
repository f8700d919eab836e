"""What the GPUs are doing as text: a line for each look, and what a watch came to."""

from __future__ import annotations

from envfix.model.results import Watched
from envfix.model.usage import Activity, GpuProcess, GpuUsage, Sample

BAR = 20
# Below this share of looks at 0 % the GPU is as good as always at work.
IDLES = 20.0


def gpu_lines(sample: Sample) -> list[str]:
    """A line for each GPU, with a bar: for a terminal."""
    return [
        f"GPU {gpu.index}  {_bar(gpu.gpu_percent)}  {_state(gpu)}  {gpu.name or ''}" for gpu in sample.gpus
    ]


def one_look(sample: Sample) -> str:
    """All GPUs in one line: for a notebook's cell, a file, a pipe."""
    gpus = "; ".join(f"GPU {gpu.index} {_state(gpu)}" for gpu in sample.gpus)
    return f"{sample.seconds:8.1f} s  {gpus}"


def watched(value: Watched) -> list[str]:
    """What each GPU did, in a line, and what an idle one may mean."""
    if not value.gpus:
        return ["watched  stopped before the first look"]
    return [line for gpu in value.gpus for line in _activity(gpu, value.seconds)]


def _activity(gpu: Activity, seconds: float) -> list[str]:
    name = f"watched  GPU {gpu.index}" + (f" {gpu.name}" if gpu.name else "")
    memory = "" if gpu.max_used_mib is None else f", {_memory(gpu.max_used_mib, gpu.total_mib)} at most"
    looks = f"{gpu.looks} looks in {seconds:.0f} s"
    if gpu.mean_percent is None:
        return [f"{name}: NVML does not tell its utilisation{memory} ({looks})"]
    line = f"{name}: {gpu.mean_percent:g} % on average, {gpu.max_percent} % at most{memory} ({looks})"
    if not gpu.max_percent:
        return [line, "         nothing ran on it: `envfix verify` says whether TensorFlow uses it"]
    if gpu.idle_percent is not None and gpu.idle_percent >= IDLES:
        return [
            line,
            f"         it idled in {gpu.idle_percent:g} % of the looks: does the input pipeline keep up? "
            "`envfix verify --deep` measures one",
        ]
    return [line]


def _bar(percent: int | None) -> str:
    full = round(BAR * (percent or 0) / 100)
    return "[" + "#" * full + "." * (BAR - full) + "]"


def _state(gpu: GpuUsage) -> str:
    """Utilisation, memory, temperature, power and processes; what NVML does not tell is left out."""
    words = ["  - %" if gpu.gpu_percent is None else f"{gpu.gpu_percent:3d} %"]
    if gpu.used_mib is not None:
        words.append(_memory(gpu.used_mib, gpu.total_mib))
    if gpu.temperature is not None:
        words.append(f"{gpu.temperature} C")
    if gpu.watts is not None:
        limit = "" if gpu.watts_limit is None else f" of {gpu.watts_limit:.0f}"
        words.append(f"{gpu.watts:.0f}{limit} W")
    if gpu.processes is not None:
        words.append(", ".join(map(_process, gpu.processes)) or "no process")
    return "  ".join(words)


def _memory(used: int, total: int | None) -> str:
    return f"{used} MiB" if total is None else f"{used} of {total} MiB"


def _process(process: GpuProcess) -> str:
    name = f"{process.name} ({process.pid})" if process.name else f"process {process.pid}"
    return name if process.used_mib is None else f"{name} {process.used_mib} MiB"
