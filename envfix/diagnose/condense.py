"""A log of any size → the text worth searching, in one pass and flat memory.

The first HEAD bytes are kept whole. After that a line stays only when it holds one of the catalogue's words,
and of lines that differ in numbers alone only the first few do.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterable, Iterator

HEAD = 256 << 10
BODY, TAIL = 1 << 20, 256 << 10
LONGEST_LINE = 64 << 10
ALIKE = 24
SHAPES = 50_000
_BOMS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_UPPER = bytes(range(65, 91))
_SHAPE = bytes.maketrans(_UPPER + b"\r", _UPPER.lower() + b"\n")
_LINE_END = bytes.maketrans(b"\r", b"\n")
# What progress bars, counters, times and addresses are made of; what is left is a line's shape.
_IDLE = b"0123456789=.#>-+:%|[]() \t"
_ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def condense(pieces: Iterable[bytes], wanted: re.Pattern[bytes]) -> str:
    """The head, then the lines that hold a match of `wanted` (a pattern in lower case) and the line after."""
    head, rest = _head(_utf8(pieces))
    keep = _Kept()
    shapes: dict[bytes, int] = {}
    for lines, forms in _lines(rest):
        follows = False
        for line, form in zip(lines, forms, strict=True):
            seen = shapes.get(form, 0)
            hit = seen < ALIKE and (seen > 0 or wanted.search(line.lower()) is not None)
            if hit or follows:
                keep.add(line)
            if hit or not seen:
                shapes[form] = seen + 1 if hit else ALIKE
            follows = hit
        if len(shapes) > SHAPES:
            shapes.clear()
    return (head + keep.text()).decode("utf-8", "replace")


class _Kept:
    """The first BODY bytes of lines, and the last TAIL bytes of those after them."""

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._size = self._tail_size = 0

    def add(self, line: bytes) -> None:
        if self._size < BODY:
            self._body.append(line)
            self._size += len(line) + 1
            return
        self._tail.append(line)
        self._tail_size += len(line) + 1
        while self._tail_size > TAIL and len(self._tail) > 1:
            self._tail_size -= len(self._tail.popleft()) + 1

    def text(self) -> bytes:
        return b"".join(line + b"\n" for line in (*self._body, *self._tail))


def _head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first HEAD bytes up to a line's end, and the rest."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            cut = head.rfind(b"\n", 0, HEAD) + 1 or HEAD
            return head[:cut], _again(head[cut:], pieces)
    return head, iter(())


def _again(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _lines(pieces: Iterator[bytes]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Lines with their shapes, a piece at a time; a line without end is cut."""
    rest = b""
    for piece in pieces:
        block = rest + piece
        if b"\x1b" in block:
            block = _ESCAPE.sub(b"", block)
        end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        if not end and len(block) > LONGEST_LINE:
            end = len(block)
        rest = block[end:]
        yield _split(block[:end])
    yield _split(rest)


def _split(block: bytes) -> tuple[list[bytes], list[bytes]]:
    lines = block.translate(_LINE_END).split(b"\n")
    forms = block.translate(_SHAPE, _IDLE).split(b"\n")
    if all(len(line) <= LONGEST_LINE for line in lines):
        return lines, forms
    cut = [line[at : at + LONGEST_LINE] for line in lines for at in range(0, max(1, len(line)), LONGEST_LINE)]
    return cut, [line.translate(_SHAPE, _IDLE) for line in cut]


def _utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as UTF-8: what PowerShell redirects to a file is UTF-16."""
    decoder = None
    for number, piece in enumerate(pieces):
        if number == 0:
            encoding = next((name for mark, name in _BOMS if piece.startswith(mark)), None)
            decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
        yield piece if decoder is None else decoder.decode(piece).encode("utf-8", "replace")
