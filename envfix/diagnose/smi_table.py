"""The table that `nvidia-smi` draws, as it stands in a post: GPUs, memory, and the processes that hold it."""

from __future__ import annotations

import re

from msgspec import Struct

# `|   0  Tesla T4            Off  | 00000000:00:04.0 Off |                    0 |`
_GPU = re.compile(
    r"^\s*\|\s{1,6}\d{1,2}\s{1,4}(?P<name>[A-Z][^|\n]{2,40}?)\s+(?:On|Off|N/A|WDDM|TCC|MCDM)\s*(?:WDDM|TCC)?\s*\|"
    r"\s*[0-9A-F]{4,8}:[0-9A-F]{2}:",
    re.MULTILINE,
)
_MEMORY = re.compile(r"^\s*\|[^|\n]*\|\s*(?P<used>\d{1,7})MiB\s*/\s*(?P<total>\d{1,7})MiB\s*\|", re.MULTILINE)
# `|    0   N/A  N/A      1234      C   /usr/bin/python3                14500MiB |`
_PROCESS = re.compile(
    r"^\s*\|\s*(?P<gpu>\d{1,2})\s+(?:(?:N/A|\d+)\s+(?:N/A|\d+)\s+)?(?P<pid>\d{1,8})\s+(?:C|G|C\+G|M\+C)\s+"
    r"(?P<name>[^|\n]{1,80}?)\s+(?P<used>\d{1,7})MiB\s*\|",
    re.MULTILINE,
)


class Row(Struct, frozen=True):
    """A GPU's row, its memory in MiB, and the line that it was read from."""

    name: str
    used_mib: int
    total_mib: int
    line: str


class Process(Struct, frozen=True):
    """A process that holds memory of a GPU, in MiB."""

    pid: int
    name: str
    used_mib: int


class Table(Struct, frozen=True):
    """What the tables of a text say, those of several GPUs and several looks one after the other."""

    gpus: tuple[Row, ...]
    processes: tuple[Process, ...]


def read(text: str) -> Table:
    """The rows of every table in the text; empty where there is none."""
    if "MiB" not in text:
        return Table((), ())
    rows = []
    names = list(_GPU.finditer(text))
    for name, memory in zip(names, _after(names, text), strict=True):
        used, total = (int(memory["used"]), int(memory["total"])) if memory else (0, 0)
        rows.append(Row(name["name"].strip(" ."), used, total, memory[0].strip() if memory else ""))
    processes = (
        Process(int(row["pid"]), row["name"].strip(), int(row["used"])) for row in _PROCESS.finditer(text)
    )
    return Table(tuple(rows), tuple(sorted(set(processes), key=lambda process: -process.used_mib)))


def _after(names: list[re.Match[str]], text: str) -> list[re.Match[str] | None]:
    """For each GPU's row the memory in the rows below it, before the next GPU's."""
    ends = [*(name.start() for name in names[1:]), len(text)][: len(names)]
    return [
        _MEMORY.search(text, name.end(), min(end, name.end() + 600))
        for name, end in zip(names, ends, strict=True)
    ]
