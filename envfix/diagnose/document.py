"""A text to be searched: pasted frames taken off, lines that a terminal cut put together again."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from msgspec import Struct

from envfix.diagnose.patterns import compiled, places, span, words
from envfix.printable import clean

MOST_LINES = 3
LONGEST_EVIDENCE = 300
_QUOTES = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{NO-BREAK SPACE}": " ",
        "\N{ZERO WIDTH SPACE}": None,
        "\N{NON-BREAKING HYPHEN}": "-",
        "\N{BYTE ORDER MARK}": None,
        # The only character whose lower case is longer than itself.
        "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}": "I",
        "\0": None,
        "\r": "\n",
        "\f": "\n",
    }
)
# Colour codes, also those whose escape character was shown or lost on the way.
COLOURS = re.compile(r"(?:\x1b|\\u001b|\\x1b|\\033|\^\[)\[[0-9;?]{0,20}[A-Za-z]|\[[0-9;]{1,12}m")
_BREAKS = re.compile(r"<(?:br|/p|/div|/li)\s?/?>", re.IGNORECASE)
_TAGS = re.compile(
    r"</?(?:p|code|pre|span|div|b|i|em|strong|a|font|li|ul|blockquote)(?:\s[^<>\n]{0,200})?>", re.I
)
_ENTITY = re.compile(r"&(?:#\d{1,5}|#x[0-9a-f]{1,4}|quot|apos|amp|lt|gt|nbsp);", re.IGNORECASE)
_QUOTING = re.compile(r"^[ \t]*(?:>(?!>>)[ \t]?)+", re.MULTILINE)
_ESCAPED = re.compile(r"\\([_*\[\]])")
_LEAST_WIDTH, _GREATEST_WIDTH = 80, 240  # text is wrapped before column 80, terminals cut there or later
_WORD = 15
# What begins a line of its own: a log's time, a traceback's frame, a prompt, a table's frame, nothing.
_STARTS = re.compile(r"\s*(?:\d{4}-\d\d-\d\d|[IWEF]\d{4} |\[|Traceback|File |\w+Error|>>>|\$ |[|+]|$)")


class Sighting(Struct, frozen=True):
    """Where a pattern was found; `groups` holds what its named groups caught."""

    start: int
    lines: tuple[str, ...]
    groups: dict[str, str]


class Document:
    """A cleaned text and what is found in it."""

    def __init__(self, text: str) -> None:
        self.text = joined(cleaned(text))
        self.lower = self.text.lower()

    def sightings(self, says: str, most: int = 40) -> Iterator[Sighting]:
        """The first `most` matches of a signature's pattern, from the top."""
        done = found = 0
        reach = span(says)
        for at, end in places(self.lower, words(says)):
            if at < done:
                continue
            match = compiled(says).search(self.text, max(done, at - reach), end + reach)
            if match is None:
                continue
            done, found = max(match.end(), at + 1), found + 1
            caught = {name: value for name, value in match.groupdict().items() if value is not None}
            lines = self.lines(match.start(), match.end())
            # Of a pattern that spans a passage its ends are what it names.
            yield Sighting(
                match.start(), lines if len(lines) <= MOST_LINES else (lines[0], lines[-1]), caught
            )
            if found == most:
                return

    def shows(self, says: str) -> bool:
        """Whether a signature's pattern matches anywhere."""
        return next(self.sightings(says, 1), None) is not None

    def lines(self, start: int, end: int) -> tuple[str, ...]:
        """The lines from `start` to `end`, without control characters; of a very long one, its part."""
        first = self.text.rfind("\n", 0, start) + 1
        last = self.text.find("\n", max(start, end - 1))
        last = len(self.text) if last < 0 else last
        first, last = max(first, start - LONGEST_EVIDENCE), min(last, end + LONGEST_EVIDENCE)
        shown = (clean(line).strip() for line in self.text[first:last].split("\n"))
        return tuple(line[:LONGEST_EVIDENCE] for line in shown if line)


def cleaned(text: str) -> str:
    """The text without what a terminal, a mail or a web page put around it."""
    text = text.replace("\r\n", "\n").translate(_QUOTES)
    if "[" in text:
        text = COLOURS.sub("", text)
    if "<" in text:
        text = _TAGS.sub("", _BREAKS.sub("\n", text))
    if "&" in text:
        text = _ENTITY.sub(lambda found: html.unescape(found[0]).replace("\xa0", " "), text)
    if ">" in text:
        text = _QUOTING.sub("", text)
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def joined(text: str) -> str:
    """The text with lines put together that were cut at one width in the middle of words."""
    lines = text.split("\n")
    width = max(map(len, lines), default=0)
    full = [len(line) == width for line in lines]
    # Lines that were wrapped between words come close to the width, and seldom reach it.
    close = sum(width - _WORD <= len(line) < width for line in lines)
    if sum(full) < max(2, close) or not _LEAST_WIDTH <= width <= _GREATEST_WIDTH:
        return text
    goes_on = [not _STARTS.match(line) for line in (*lines[1:], "")]
    ends = ["" if cut and more else "\n" for cut, more in zip(full, goes_on, strict=True)]
    return "".join(line + end for line, end in zip(lines, ends, strict=True)).rstrip("\n")
