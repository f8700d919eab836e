"""The end of a wheel as an archive of its own: what its last members hold costs 64 KB and no whole directory.

TensorFlow's wheels have 20,000 members and a central directory of 1.5 MB.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import remotezip  # type: ignore[import-untyped]

# APPNOTE.TXT 4.3.12 (an entry of the central directory) and 4.3.16 (its end record).
_ENTRY = b"PK\x01\x02"
_ENTRY_LENGTHS = struct.Struct("<28x3H12x")
_END = b"PK\x05\x06"
_END_PLACE = struct.Struct("<12x2L")
# ZIP64 keeps the real place elsewhere (4.4.24).
_ELSEWHERE = 0xFFFFFFFF


class TailFetcher(remotezip.RemoteFetcher):  # type: ignore[misc]
    """Fetches as its parent does, and makes of the first fetch, the end of the file, a whole archive."""

    def fetch(self, data_range: tuple[int, int | None], stream: bool = False) -> Any:
        fetched = super().fetch(data_range, stream)
        if data_range[0] >= 0 or stream:
            return fetched
        offset = fetched.tell()
        data = without_missing_members(fetched.read(), offset)
        return remotezip.PartialBuffer(BytesIO(data), offset, len(data), stream=False)


def without_missing_members(tail: bytes, offset: int) -> bytes:
    """The last bytes of an archive, which begin at `offset`, with an end record that leaves out the members
    whose entries are cut off. As it is where nothing is cut off or no end record is found."""
    end = tail.rfind(_END)
    if end < 0 or end + _END_PLACE.size > len(tail):
        return tail
    _, start = _END_PLACE.unpack_from(tail, end)
    if start == _ELSEWHERE or start >= offset:
        return tail
    first = tail.find(_ENTRY)
    while 0 <= first < end:
        if _leads_to(tail, first, end):
            place = struct.pack("<2L", end - first, offset + first)
            return tail[: end + 12] + place + tail[end + 20 :]
        first = tail.find(_ENTRY, first + 1)
    return tail


def _leads_to(tail: bytes, position: int, end: int) -> bool:
    """Whether the entries that begin at `position` follow each other up to the end record."""
    while position < end:
        if tail[position : position + 4] != _ENTRY or position + _ENTRY_LENGTHS.size > end:
            return False
        position += _ENTRY_LENGTHS.size + sum(_ENTRY_LENGTHS.unpack_from(tail, position))
    return position == end
