"""Compiles the driver stub on first use, into a cache folder named by the digest of its sources."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from envfix import cache
from envfix.errors import ProofUnavailable
from envfix.ports import Outside

SOURCES = ("libcuda.c", "libnvidia_ml.c", "machine.h", "refused.h")
LIBRARIES = {"libcuda.so.1": "libcuda.c", "libnvidia-ml.so.1": "libnvidia_ml.c"}
# The old standard keeps the newest glibc's own `sscanf` out of what may be run on an older one.
FLAGS = ("-std=gnu11", "-shared", "-fPIC", "-O1", "-fvisibility=hidden")
HINT = "install a C compiler (`apt-get install gcc`), or `pip install 'envfix-tf[proof]'`"


def build(outside: Outside, kept_in: str | None = None, python: str = "") -> str:
    """The folder that holds `libcuda.so.1` and `libnvidia-ml.so.1`, compiled there if it is not yet.

    `kept_in` is where compiled stubs are kept (the user's cache folder by default), `python` an interpreter
    that may have `ziglang` (envfix's own by default). Raises ProofUnavailable.
    """
    here = Path(__file__).parent
    texts = {name: outside.read_bytes(str(here / name)) for name in SOURCES}
    key = repr((platform.machine(), FLAGS, sorted(texts.items()))).encode()
    folder = f"{kept_in or cache.place(outside)}/stub-{hashlib.sha256(key).hexdigest()[:16]}"
    if all(outside.trusted(f"{folder}/{library}") for library in LIBRARIES):
        return folder
    work = outside.temporary_dir()
    _compile(outside, str(here), work, python or sys.executable)
    try:
        for library in LIBRARIES:
            # Each appears whole or not at all, so that two envfix at once do not meet half a library.
            cache.keep(outside, f"{folder}/{library}", outside.read_bytes(f"{work}/{library}"), 0o755)
    except OSError:
        return work  # a cache that cannot be written costs time, not the proof
    return folder if all(outside.trusted(f"{folder}/{library}") for library in LIBRARIES) else work


def _compile(outside: Outside, sources: str, work: str, python: str) -> None:
    tried = []
    for compiler in _compilers(outside, python):
        failed = ""
        for library, source in LIBRARIES.items():
            out = ["-o", f"{work}/{library}", f"-Wl,-soname,{library}", f"{sources}/{source}"]
            ran = outside.run([*compiler, *FLAGS, *out], timeout=120)
            if not ran.ok:
                failed = (ran.error or ran.err.strip() or f"exit status {ran.code}").splitlines()[0]
                break
        if not failed:
            return
        tried.append(f"`{' '.join(compiler)}`: {failed}")
    found = "; ".join(tried) or "no `cc` on PATH and no CC"
    raise ProofUnavailable(f"the driver stub cannot be compiled ({found})", HINT)


def _compilers(outside: Outside, python: str) -> Sequence[Sequence[str]]:
    """CC, then cc, gcc and clang, then the compiler in the `ziglang` wheel."""
    named = outside.environ.get("CC", "").split()
    found = [[path] for name in ("cc", "gcc", "clang") if (path := outside.which(name))]
    return [*([named] if named else []), *found[:1], [python, "-m", "ziglang", "cc"]]
