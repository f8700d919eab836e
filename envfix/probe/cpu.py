"""The processor's instruction sets, as far as a TensorFlow wheel can need them."""

from __future__ import annotations

import re

from msgspec import UNSET, UnsetType

from envfix.model.machine import Evidence, Outcome
from envfix.ports import Outside
from envfix.probe.evidence import piece, read_file

CPUINFO = "/proc/cpuinfo"
# What wheels are compiled for (SSE4.2, AVX; builds of one's own: AVX2, FMA, AVX-512) and what oneDNN and XLA
# choose kernels by. The other hundred flags say nothing about TensorFlow.
RELEVANT = (
    *("sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2"),
)
_FLAGS = re.compile(r"^(?:flags|Features)[ \t]*:(.*)$", re.M)
_MODEL = re.compile(r"^model name[ \t]*:[ \t]*(.*)$", re.M)


def read_cpu(outside: Outside) -> tuple[tuple[str, ...] | UnsetType, tuple[Evidence, ...]]:
    """The relevant flags of the first processor; unknown where there is no /proc/cpuinfo with flags."""
    text = read_file(outside, CPUINFO)
    flags = parse_flags(text.text)
    if flags is None:
        outcome = text.outcome if text.outcome is not Outcome.FOUND else Outcome.FAILED
        return UNSET, (piece("cpu_flags", CPUINFO, outcome, text.detail or "no line of flags"),)
    model = _MODEL.search(text.text)
    return flags, (piece("cpu_flags", CPUINFO, Outcome.FOUND, model[1] if model else ", ".join(flags)),)


def parse_flags(text: str) -> tuple[str, ...] | None:
    """The relevant flags (x86 `flags`, Arm `Features`), in our order; None where no line names any."""
    found = _FLAGS.search(text)
    if found is None:
        return None
    present = set(found[1].split())
    return tuple(flag for flag in RELEVANT if flag in present)
