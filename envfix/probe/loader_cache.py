"""Where the dynamic loader finds libraries: LD_LIBRARY_PATH first, then its cache."""

from __future__ import annotations

import re
from typing import NamedTuple

from envfix.model.machine import Evidence, Outcome
from envfix.ports import Outside
from envfix.probe.evidence import how_it_ended, piece

# `	libcudart.so.12 (libc6,x86-64) => /usr/local/cuda-12.5/lib64/libcudart.so.12`
_ENTRY = re.compile(r"^\s*(\S+\.so\S*) \(([^)]*)\) => (/\S.*?)\s*$", re.M)


class LoaderCache(NamedTuple):
    """The libraries of `ldconfig -p`, soname and path, in its order; `trouble` when it cannot be read."""

    entries: tuple[tuple[str, str], ...]
    trouble: tuple[Evidence, ...] = ()

    def paths(self, stem: str) -> tuple[str, ...]:
        """The paths of the sonames that start with `stem`, such as `libcudart.so.`."""
        return tuple(path for soname, path in self.entries if soname.startswith(stem))


def read_loader_cache(outside: Outside, timeout: float) -> LoaderCache:
    """The loader's cache; empty, with the reason, where there is no `ldconfig` (musl, macOS, Windows)."""
    program = outside.which("ldconfig") or next(
        (path for path in ("/sbin/ldconfig", "/usr/sbin/ldconfig") if outside.exists(path)), None
    )
    if program is None:
        return LoaderCache(())
    ran = outside.run([program, "-p"], timeout=timeout)
    if not ran.ok:
        outcome = Outcome.TIMEOUT if ran.timed_out else Outcome.FAILED
        return LoaderCache((), (piece("toolkit", "ldconfig -p", outcome, how_it_ended(ran)),))
    return LoaderCache(parse_loader_cache(ran.out))


def parse_loader_cache(text: str) -> tuple[tuple[str, str], ...]:
    """Soname and path of every 64-bit entry: a 32-bit library (plain `libc6`) serves no TensorFlow."""
    found = []
    for entry in _ENTRY.finditer(text):
        kinds = [kind.strip().lower() for kind in entry[2].split(",")]
        if any(kind in ("x86-64", "aarch64") for kind in kinds):
            found.append((entry[1], entry[3]))
    return tuple(found)


def library_path(outside: Outside) -> tuple[str, ...]:
    """The folders of LD_LIBRARY_PATH that are named by an absolute path, in order, each once."""
    folders = outside.environ.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
    return tuple(dict.fromkeys(folder.rstrip("/") or "/" for folder in folders if folder.startswith("/")))
