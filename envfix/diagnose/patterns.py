"""Signatures as regular expressions that survive wrapping, and the words each one is looked up by.

Searching every pattern in every line of a log would take minutes. Each pattern has words one of which every
match holds; only where such a word stands is the pattern tried, within WINDOW characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

WINDOW = 1200
SHORTEST = 2
LEAST_TOKEN = 4
# A hostile text may repeat a word a million times: the first and the last places are enough.
FIRST, LAST = 80, 40
_FLEXIBLE = {" ": r"(?:\s+)", "-": r"(?:-\s*)"}
_CLASS_ESCAPES = "dDsSwWbBAZ"
_HEAD = re.compile(r"\((?:\?(?:[:=!]|<[=!]|P<\w+>))?")


class PatternError(ValueError):
    """A pattern that is no regular expression, or that no word can be found for."""


@cache
def compiled(says: str) -> re.Pattern[str]:
    """The pattern with spaces that match any white space and hyphens after which a line may break."""
    try:
        return re.compile(_flexible(says), re.IGNORECASE | re.MULTILINE)
    except re.error as problem:
        raise PatternError(f"`{says}` is no regular expression: {problem}") from None


@cache
def words(says: str) -> tuple[str, ...]:
    """Words in lower case one of which every match holds. Raises PatternError where there are none."""
    found = _words(says)
    if not found or min(map(len, found)) < SHORTEST:
        raise PatternError(f"`{says}` needs a word of {SHORTEST} letters that is always in it")
    return tuple(sorted(found))


def _words(says: str) -> set[str]:
    """Of the alternatives of a pattern together; empty where one of them has no word."""
    united: set[str] = set()
    for alternative in _alternatives(says):
        best = max(_runs(alternative), key=lambda words: min(map(len, words), default=0), default=set())
        if not best:
            return set()
        united |= best
    return united


def _alternatives(says: str) -> list[list[tuple[str, str]]]:
    split: list[list[tuple[str, str]]] = [[]]
    for kind, text in _pieces(says):
        if text == "|" and kind == "other":
            split.append([])
        else:
            split[-1].append((kind, text))
    return split


def _runs(pieces: list[tuple[str, str]]) -> Iterator[set[str]]:
    """The runs of plain characters, and the words of groups that every match goes through."""
    run = ""
    following = [*pieces[1:], ("other", "")]
    for (kind, text), (next_kind, quantifier) in zip(pieces, following, strict=True):
        optional = next_kind == "quantifier" and quantifier[0] in "?*{"
        if kind == "literal" and text not in _FLEXIBLE and not optional:
            run += text[-1].lower()
            continue
        if run:
            yield {run}
        run = ""
        if kind == "group" and not optional and not text.startswith(("(?=", "(?!", "(?<=", "(?<!")):
            inner = _words(text[_HEAD.match(text).end() : -1])  # type: ignore[union-attr]
            if inner:
                yield inner
    if run:
        yield {run}


def _pieces(says: str) -> Iterator[tuple[str, str]]:
    """The pattern's pieces at the top level, each a `literal`, `quantifier`, `group`, `class` or `other`."""
    at = 0
    while at < len(says):
        end, kind = _piece(says, at)
        yield kind, says[at:end]
        at = end


def _piece(says: str, at: int) -> tuple[int, str]:
    first = says[at]
    if first == "\\":
        following = says[at + 1 : at + 2]
        return at + 2, "other" if following in _CLASS_ESCAPES or following.isdigit() else "literal"
    if first == "[":
        end = at + 2
        while end < len(says) and says[end] != "]":
            end += 2 if says[end] == "\\" else 1
        return min(end + 1, len(says)), "class"
    if first == "(":
        return _closing(says, at), "group"
    if first == "{":
        end = says.find("}", at) + 1 or len(says)
        return end + (says[end : end + 1] == "?"), "quantifier"
    if first in "?*+":
        return at + 1 + (says[at + 1 : at + 2] == "?"), "quantifier"
    return at + 1, "other" if first in ".^$|" else "literal"


def _closing(says: str, at: int) -> int:
    """Where the group that opens at `at` ends."""
    depth = 0
    while at < len(says):
        if says[at] in "\\[":
            at, _ = _piece(says, at)
            continue
        depth += {"(": 1, ")": -1}.get(says[at], 0)
        at += 1
        if depth == 0:
            break
    return at


def _flexible(says: str) -> str:
    """The pattern with its spaces and hyphens made flexible, in groups too."""
    made = []
    for kind, text in _pieces(says):
        head = _HEAD.match(text) if kind == "group" else None
        if head and text.endswith(")"):
            made.append(head[0] + _flexible(text[head.end() : -1]) + ")")
        else:
            made.append(_FLEXIBLE.get(text, text) if kind == "literal" else text)
    return "".join(made)


def tokens(says: str) -> tuple[str, ...]:
    """Whole words (letters and digits) one of which stands in every match; empty where none is certain.

    They are looked up in the set of a text's words, which costs the same for one and for a thousand.
    """
    best: list[str] = []
    for alternative in _alternatives(says):
        spelled = "".join(_spelled(alternative))
        whole = [word for word in re.split(r"[^a-z0-9\0]+", spelled) if word and "\0" not in word]
        best.append(max(whole, key=len, default=""))
        if len(best[-1]) < LEAST_TOKEN:
            return ()
    return tuple(best)


def _spelled(pieces: list[tuple[str, str]]) -> Iterator[str]:
    """The plain characters of a pattern; spaces for what parts words, zero bytes for what is unsure."""
    following = [*pieces[1:], ("other", "")]
    for (kind, text), (next_kind, quantifier) in zip(pieces, following, strict=True):
        if kind == "quantifier":
            continue
        parts = text in _FLEXIBLE or text in (r"\b", r"\s", "^", "$")
        if next_kind == "quantifier" and not (parts and quantifier[0] == "+"):
            yield "\0"
        elif parts:
            yield " "
        else:
            yield text[-1].lower() if kind == "literal" else "\0"


def span(says: str) -> int:
    """How far from its word a match may reach, in characters: the gaps it allows and its own length."""
    gaps = sum(int(most) for most in re.findall(r"\{\d*,(\d+)\}", says))
    return min(WINDOW, gaps + 2 * len(says) + 40)


def places(lower: str, wanted: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the words stand in a text in lower case, sorted: the first and the last places of very many."""
    if len(wanted) == 1:
        return _places(lower, wanted[0])
    return sorted(place for each in wanted for place in _places(lower, each))


def _places(lower: str, wanted: str) -> list[tuple[int, int]]:
    found: list[int] = []
    at = lower.find(wanted)
    while at >= 0 and len(found) < FIRST:
        found.append(at)
        at = lower.find(wanted, at + 1)
    tail: list[int] = []
    if at >= 0:
        at = lower.rfind(wanted)
        while at > found[-1] and len(tail) < LAST:
            tail.append(at)
            at = lower.rfind(wanted, 0, at)
    return [(each, each + len(wanted)) for each in found + tail[::-1]]
