"""What differs between two rows of one release, field by field, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envfix.model.matrix import Release
from envfix.reading import to_plain

# Proofs are added by another script, and a digest says no more than what it is the digest of.
_LEFT_OUT = ("proofs", "minimal", "files")


def changes(before: Release, after: Release) -> tuple[str, ...]:
    """One line for each value that differs, such as `built_with_cuda: 12.3 -> 12.5.1`; empty: none does."""
    old, new = _by_platform(to_plain(before)), _by_platform(to_plain(after))
    for key in _LEFT_OUT:
        old.pop(key, None)
        new.pop(key, None)
    lines = tuple(_differences("", old, new))
    if not lines and before.files and after.files and before.files != after.files:
        return ("files: others under the same names",)
    return lines


def _by_platform(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its wheels as a mapping, so that each is compared with the one for the same platform."""
    return row | {
        "wheels": {f"{wheels['os']} {wheels['arch']}": wheels for wheels in row.get("wheels", ())},
    }


def _differences(place: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(f"{place}.{key}".lstrip("."), old.get(key), new.get(key))
    elif isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str):
        gone = [f"-{item}" for item in old if item not in new]
        added = [f"+{item}" for item in new if item not in old]
        yield f"{place}: {', '.join(gone + added) or 'in another order'}"
    else:
        yield f"{place}: {_word(old)} -> {_word(new)}"


def _word(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_word(item)}" for key, item in value.items()) + "}"
    return str(value)
