"""A log of any size → the text worth searching, in one pass and flat memory.

The first HEAD bytes keep every line. After that a line stays only when it holds one of the catalogue's words,
or follows one that does; and of lines that differ in numbers alone only the first ALIKE do, everywhere.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

HEAD = 256 << 10
BODY, TAIL = 512 << 10, 256 << 10
LONGEST_LINE = 64 << 10
ALIKE = 12
FEW = 500  # places of words in a block that are looked at one by one
BEGINNING = 5
SHAPES = 50_000
_BOMS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_UPPER = bytes(range(65, 91))
_SHAPE = bytes.maketrans(_UPPER + b"\r", _UPPER.lower() + b"\n")
_LINE_END = bytes.maketrans(b"\r", b"\n")
# What progress bars, counters, times and addresses are made of; what is left is a line's shape.
_IDLE = b"0123456789=.#>-+:%|[]() \t"
# Everything but letters and digits parts words.
_PLAIN = bytes(number if chr(number).isalnum() and number < 128 else 32 for number in range(256))
_BEGINNING = itemgetter(slice(BEGINNING))
_ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Wanted(NamedTuple):
    """Whole words, and beginnings of words, in lower case: one stands in whatever the catalogue knows."""

    tokens: frozenset[bytes]
    parts: tuple[bytes, ...]

    @property
    def beginnings(self) -> frozenset[bytes]:
        """The first BEGINNING bytes of each part: what a word is looked up by."""
        return frozenset(part[:BEGINNING] for part in self.parts)


def condense(pieces: Iterable[bytes], wanted: Callable[[], Wanted]) -> str:
    """The head, then the lines that hold something wanted and the line after each.

    `wanted` is asked only when the text is longer than the head.
    """
    head, rest = _head(_utf8(pieces))
    shapes = _Shapes()
    keep = _Kept()
    for block in _blocks(iter((head,))):
        keep.add(shapes.fresh(*_split(block)))
    asked: Wanted | None = None
    for block in _blocks(rest):
        asked = asked or wanted()
        there = _wanted_in(block.lower(), asked)
        if there:
            keep.add(_telling(shapes.fresh(*_split(_around(block, there))), there))
    return keep.text().decode("utf-8", "replace")


class _Shapes:
    """How often each shape of a line was seen; in flat memory, so it forgets."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._stale: set[bytes] = set()

    def fresh(self, lines: list[bytes], forms: list[bytes]) -> list[bytes]:
        """The lines whose shape was seen fewer than ALIKE times."""
        if self._stale.issuperset(forms):
            return []
        kept = []
        for line, form in zip(lines, forms, strict=True):
            if form in self._stale:
                continue
            kept.append(line)
            count = self._seen[form] = self._seen.get(form, 0) + 1
            if count >= ALIKE:
                self._stale.add(form)
        if len(self._seen) > SHAPES:
            self._seen.clear()
        if len(self._stale) > SHAPES:
            self._stale.clear()
        return kept


def _wanted_in(text: bytes, wanted: Wanted) -> list[bytes]:
    """What is wanted and stands in the text, without looking at its lines: most of a long log has none."""
    there = text.translate(_PLAIN).split()
    # Intersections read the list in C; a set of all its words would cost more than everything else here.
    found = list(wanted.tokens.intersection(there))
    beginnings = wanted.beginnings.intersection(map(_BEGINNING, there))
    return found + [part for part in wanted.parts if part[:BEGINNING] in beginnings and part in text]


def _around(block: bytes, found: list[bytes]) -> bytes:
    """The lines with one of the words and the line after each; the whole block where they are many."""
    text = block.translate(_LINE_END)
    lower = text.lower()
    if sum(map(lower.count, found)) > FEW:
        return block
    spans: set[tuple[int, int]] = set()
    for word in found:
        at = lower.find(word)
        while at >= 0:
            end = (text.find(b"\n", at) + 1) or len(text)
            spans.add((text.rfind(b"\n", 0, at) + 1, end))
            if end < len(text):
                spans.add((end, (text.find(b"\n", end) + 1) or len(text)))
            at = lower.find(word, end)
    return b"".join(text[start:end] for start, end in sorted(spans)).rstrip(b"\n")


def _telling(lines: list[bytes], found: list[bytes]) -> list[bytes]:
    """The lines with one of the words, at most ALIKE for each, and the line after each."""
    text = b"\n".join(lines).lower()
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    numbers: set[int] = set()
    for word in found:
        at = text.find(word)
        for _ in range(ALIKE):
            if at < 0:
                break
            number = bisect_right(starts, at) - 1
            numbers.update((number, number + 1))
            at = text.find(word, starts[number + 1])
    return [lines[number] for number in sorted(numbers) if number < len(lines)]


class _Kept:
    """The first BODY bytes of lines, and the last TAIL bytes of those after them."""

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._size = self._tail_size = 0

    def add(self, lines: list[bytes]) -> None:
        for line in lines:
            self._add(line)

    def _add(self, line: bytes) -> None:
        if self._size < BODY:
            self._body.append(line)
            self._size += len(line) + 1
            return
        self._tail.append(line)
        self._tail_size += len(line) + 1
        while self._tail_size > TAIL and len(self._tail) > 1:
            self._tail_size -= len(self._tail.popleft()) + 1

    def text(self) -> bytes:
        return b"\n".join((*self._body, *self._tail))


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


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines, a piece at a time; a line without end is cut."""
    rest = b""
    for piece in pieces:
        block = rest + piece
        if b"\x1b" in block:
            block = _ESCAPE.sub(b"", block)
        end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        if not end and len(block) > LONGEST_LINE:
            end = len(block)
        rest = block[end:]
        if end:
            yield block[: end - 1] if block[end - 1 : end] in (b"\n", b"\r") else block[:end]
    if rest:
        yield rest


def _split(block: bytes) -> tuple[list[bytes], list[bytes]]:
    """The lines of a block and their shapes."""
    lines = block.translate(_LINE_END).split(b"\n")
    if max(map(len, lines)) <= LONGEST_LINE:
        return lines, block.translate(_SHAPE, _IDLE).split(b"\n")
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
