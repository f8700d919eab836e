"""Driver and GPUs as `nvidia-smi` prints them: its CSV, and its table for what the CSV cannot say."""

from __future__ import annotations

import re

from msgspec import UNSET, UnsetType

from envfix.model.machine import Gpu, Outcome
from envfix.model.versions import ComputeCapability, DriverCuda, DriverRelease
from envfix.ports import Outside, Ran
from envfix.probe.evidence import Text, how_it_ended, piece, read_file
from envfix.probe.nvidia_reading import RELEASE, Reading, as_release, empty_file, nothing, reading

QUERY_SOURCE = "nvidia-smi --query-gpu"
TABLE_SOURCE = "nvidia-smi"
# Colab's older images, WSL, and the folder of every distribution, for a PATH that lacks them.
PLACES = ("/opt/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi", "/usr/bin/nvidia-smi")
FIELDS = ("index", "name", "driver_version", "memory.total", "compute_cap")
OLD_FIELDS = FIELDS[:4]  # before R510 there is no compute_cap

# R610 renamed "Driver Version" to "KMD Version" and "CUDA Version" to "CUDA UMD Version".
_TABLE_RELEASE = re.compile(rf"^\| NVIDIA-SMI .*?\b(?:Driver|KMD) Version:\s*({RELEASE})(?=\s|\|)", re.M)
_TABLE_CUDA = re.compile(
    r"^\| NVIDIA-SMI .*?\bCUDA (?:UMD )?Version:\s*([0-9]{1,2}\.[0-9]{1,2})(?=\s|\|)", re.M
)
_TABLE_GPU = re.compile(
    r"^\|\s+[0-9]+\s+(\S.*?)\s+(?:On|Off|N/A|TCC|WDDM|MCDM)\s*\|\s*[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:", re.M
)
_TABLE_MEMORY = re.compile(r"[0-9]+MiB\s*/\s*([0-9]{1,9})MiB")
# The tool's own sentences. Without a driver to talk to there is none; the other failures are failures.
_NO_DRIVER = "couldn't communicate with the NVIDIA driver"
_NO_DEVICES = "No devices were found"
# Its documented exit codes that say there is no driver (`man nvidia-smi`, "RETURN VALUE"). The others, such
# as 6 (an object was not found) and 15 (the GPU has fallen off the bus), speak of a driver in trouble.
_NO_DRIVER_CODES = {9: "no driver is loaded", 12: "the driver's library NVML is not there"}


def find_nvidia_smi(outside: Outside) -> str | None:
    """The program on PATH, or in one of the folders where a PATH may lack it."""
    return outside.which("nvidia-smi") or next((path for path in PLACES if outside.exists(path)), None)


def read_query(outside: Outside, program: str | None, timeout: float) -> Reading:
    """The CSV of `--query-gpu`: release, names, memory and compute capability of every GPU."""
    if program is None:
        return nothing(QUERY_SOURCE, Outcome.ABSENT, "no nvidia-smi on PATH")
    ran = _query(outside, program, FIELDS, timeout)
    if "is not a valid field to query" in ran.out + ran.err:
        ran = _query(outside, program, OLD_FIELDS, timeout)
    refused = _refusal(outside, QUERY_SOURCE, ran)
    if refused is not None:
        return refused
    release, gpus = parse_query(ran.out)
    if release is None and not gpus:
        return nothing(QUERY_SOURCE, Outcome.FAILED, f"not a CSV of GPUs: {how_it_ended(ran)}")
    return reading(QUERY_SOURCE, release, None, gpus)


def read_table(outside: Outside, program: str | None, timeout: float) -> Reading:
    """The table: release, driver's CUDA, and the GPUs' names (cut off at the column's width)."""
    if program is None:
        return nothing(TABLE_SOURCE, Outcome.ABSENT, "no nvidia-smi on PATH")
    ran = outside.run([program], timeout=timeout)
    refused = _refusal(outside, TABLE_SOURCE, ran)
    if refused is not None:
        return refused
    release, cuda, gpus = parse_table(ran.out)
    if release is None:
        return nothing(TABLE_SOURCE, Outcome.FAILED, f"not the table of nvidia-smi: {how_it_ended(ran)}")
    return reading(TABLE_SOURCE, release, cuda, gpus or None)


def parse_query(text: str) -> tuple[DriverRelease | None, tuple[Gpu, ...]]:
    """Release and GPUs of the CSV; a line of another shape is skipped, a `[N/A]` is unknown."""
    release, gpus = None, []
    for line in text.splitlines():
        # A name may hold a comma, so it is what is left between the index and the last fields.
        found = re.fullmatch(
            r"\s*[0-9]+, *(.*?), *([^,]*), *([^,]*?)(?:, *([0-9]{1,2}\.[0-9]|\[?N/A\]?|\[[^\]]*\]))?\s*", line
        )
        if not found or (as_release(found[2]) is None and not found[2].startswith("[")):
            continue
        release = release or as_release(found[2])
        gpus.append(_gpu(found[1], found[3], found[4] or ""))
    return (release, tuple(gpus)) if release is not None else (None, ())


def parse_table(text: str) -> tuple[DriverRelease | None, DriverCuda | None, tuple[Gpu, ...]]:
    """Release, driver's CUDA and GPUs of the table; without its head nothing is taken from it."""
    head = _TABLE_RELEASE.search(text)
    if head is None:
        return None, None, ()
    cuda = _TABLE_CUDA.search(text)
    gpus = []
    for row in _TABLE_GPU.finditer(text):
        following = text[row.end() :].split("\n", 2)
        memory = _TABLE_MEMORY.search(following[1]) if len(following) > 1 else None
        gpus.append(_gpu(row[1].removesuffix("...").rstrip(), memory[1] if memory else "", ""))
    return DriverRelease(head[1]), DriverCuda(cuda[1]) if cuda else None, tuple(gpus)


def _query(outside: Outside, program: str, fields: tuple[str, ...], timeout: float) -> Ran:
    return outside.run(
        [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"], timeout=timeout
    )


def _refusal(outside: Outside, source: str, ran: Ran) -> Reading | None:
    """The reading of an answer in which the tool says that it has none; None when it has one."""
    if ran.timed_out:
        return nothing(source, Outcome.TIMEOUT, ran.error)
    said = f"{ran.out}\n{ran.err}"
    why = _without_driver(outside, ran, said)
    if why:
        return nothing(source, Outcome.ABSENT, why)
    if _NO_DEVICES in said:
        return Reading(
            source=source, runs=True, gpus=(), evidence=(piece("gpus", source, Outcome.ABSENT, _NO_DEVICES),)
        )
    return None if ran.ok else nothing(source, Outcome.FAILED, how_it_ended(ran))


def _without_driver(outside: Outside, ran: Ran, said: str) -> str:
    """Why this answer speaks for there being no driver; empty where it does not.

    It decides nothing alone: the driver is absent only where every other source says so too.
    """
    documented = _NO_DRIVER_CODES.get(ran.code or 0)
    if documented or _NO_DRIVER in said:
        return f"the program is there, but {documented or 'no driver is loaded'}: {how_it_ended(ran)}"
    if ran.ok and not said.strip():
        return "the program is there, but it says nothing: exit 0"
    if ran.code is None and read_file(outside, ran.argv[0], 1) == Text(Outcome.FOUND):
        return empty_file(ran.argv[0])
    return ""


def _gpu(name: str, memory: str, capability: str) -> Gpu:
    rated: ComputeCapability | UnsetType = UNSET
    if re.fullmatch(r"[0-9]{1,2}\.[0-9]", capability):
        rated = ComputeCapability(capability)
    return Gpu(
        name=UNSET if name in ("", "N/A", "ERR!") or name.startswith("[") else name,
        compute_capability=rated,
        memory_mib=int(memory) if re.fullmatch(r"[1-9][0-9]{0,8}", memory) else UNSET,
    )
