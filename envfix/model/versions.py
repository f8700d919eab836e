"""Dotted numbers that must never be mistaken for each other.

A driver release is not a driver's CUDA, and neither is a toolkit: each is its own type, and comparing two
different types raises. Each keeps its text (`535.104.05` stays so) and compares by its numbers, so that
535.104.05 > 535.54.03 and 12.10 > 12.9.
"""

from __future__ import annotations

import re
from typing import TypeVar

_NUMBERS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}\Z")
D = TypeVar("D", bound="Dotted")


class Dotted:
    """Numbers joined by dots; trailing zeros do not count when comparing."""

    __slots__ = ("key", "parts", "text")
    text: str
    parts: tuple[int, ...]
    key: tuple[int, ...]

    def __init__(self, text: str) -> None:
        """Raises ValueError when `text` is not numbers joined by dots."""
        if not isinstance(text, str) or not _NUMBERS.match(text):
            shown = " ".join(str(text)[:80].split())
            raise ValueError(f"expected numbers joined by dots, found `{shown}`")
        parts = tuple(int(part) for part in text.split("."))
        key = parts
        while key and key[-1] == 0:
            key = key[:-1]
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "key", key)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __reduce__(self) -> tuple[type[Dotted], tuple[str]]:
        return type(self), (self.text,)

    @property
    def major(self) -> int:
        return self.parts[0]

    @property
    def minor(self) -> int:
        """The second number, 0 where there is none."""
        return self.parts[1] if len(self.parts) > 1 else 0

    def cut(self: D, count: int) -> D:
        """The first `count` numbers."""
        return type(self)(".".join(self.text.split(".")[:count]))

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if type(other) is type(self) else NotImplemented

    def __lt__(self: D, other: D) -> bool:
        return self.key < other.key if type(other) is type(self) else NotImplemented

    def __le__(self: D, other: D) -> bool:
        return self.key <= other.key if type(other) is type(self) else NotImplemented

    def __gt__(self: D, other: D) -> bool:
        return self.key > other.key if type(other) is type(self) else NotImplemented

    def __ge__(self: D, other: D) -> bool:
        return self.key >= other.key if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self.key))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class DriverRelease(Dotted):
    """A release of the NVIDIA driver, such as 550.54.15."""

    __slots__ = ()


class DriverCuda(Dotted):
    """The newest CUDA that a driver says it supports, such as 12.4 (`nvidia-smi`'s "CUDA Version")."""

    __slots__ = ()


class CudaRelease(Dotted):
    """A release of the CUDA toolkit or of the libraries a wheel was built with, such as 12.5.1."""

    __slots__ = ()


class CudnnRelease(Dotted):
    """A release of cuDNN, such as 9.10.2.21."""

    __slots__ = ()


class PtxIsa(Dotted):
    """A version of the PTX instruction set, such as 8.5."""

    __slots__ = ()


class GlibcRelease(Dotted):
    """A release of the GNU C library, such as 2.35."""

    __slots__ = ()


class PythonRelease(Dotted):
    """A Python release; a machine names its feature release, such as 3.12."""

    __slots__ = ()


class ComputeCapability(Dotted):
    """A GPU's compute capability, such as 7.5: always two numbers."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        super().__init__(text)
        if len(self.parts) != 2:
            raise ValueError(f"expected a compute capability such as `7.5`, found `{text}`")

    @classmethod
    def from_arch(cls, arch: str) -> ComputeCapability:
        """From `sm_75`, `compute_90`, `sm_90a`, `sm_120` or bare digits: the last digit is the minor."""
        found = re.fullmatch(r"(?:sm_|compute_)?([0-9]+)([0-9])[a-z]?", arch)
        if not found:
            raise ValueError(f"expected an architecture such as `sm_75`, found `{arch}`")
        return cls(f"{found[1]}.{found[2]}")
