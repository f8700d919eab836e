"""METADATA out of the first or the last 64 KB of a wheel: `*.dist-info` stands at either end.

The whole directory of one of TensorFlow's wheels, 20,000 members, is 1.5 MB and more.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from io import BytesIO
from typing import Any

import remotezip  # type: ignore[import-untyped]
import requests

_START = 64 << 10
LARGEST_METADATA = 4 << 20  # bytes, unpacked
# That of TensorFlow's wheels has 2.5 MB.
LARGEST_DIRECTORY = 16 << 20
# APPNOTE.TXT 4.3.7 (what stands before each member: flags, method, its bytes, and the lengths of two texts).
_MEMBER = b"PK\x03\x04"
_MEMBER_HEADER = struct.Struct("<6x2H8xL4x2H")
_ENCRYPTED, _SIZE_COMES_LATER = 0x1, 0x8
_STORED, _DEFLATED = 0, 8
# 4.3.12 (an entry of the central directory) and 4.3.16 (its end record).
_ENTRY = b"PK\x01\x02"
_ENTRY_LENGTHS = struct.Struct("<28x3H12x")
_END = b"PK\x05\x06"
_END_PLACE = struct.Struct("<12x2L")
# ZIP64 keeps the real place elsewhere (4.4.24).
_ELSEWHERE = 0xFFFFFFFF


def metadata_name(archive: zipfile.ZipFile) -> str | None:
    """The member that is the wheel's METADATA."""
    return next((name for name in archive.namelist() if _is_metadata(name)), None)


def metadata_at_start(session: requests.Session, url: str, timeout: float) -> bytes | None:
    """The METADATA among a wheel's first members; None where it is not, or the server sends no ranges.

    Raises requests' exceptions, and ValueError for a member that does not unpack.
    """
    headers = {"Range": f"bytes=0-{_START - 1}"}
    with session.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        return metadata_in(answer.raw.read(_START)) if answer.status_code == 206 else None


def metadata_in(start: bytes) -> bytes | None:
    """The METADATA in the first bytes of a wheel, None where they do not hold all of it."""
    position = 0
    while start[position : position + 4] == _MEMBER and position + _MEMBER_HEADER.size <= len(start):
        flags, method, size, name_length, extra = _MEMBER_HEADER.unpack_from(start, position)
        position += _MEMBER_HEADER.size
        name = start[position : position + name_length].decode("utf-8", "replace")
        position += name_length + extra
        if flags & (_ENCRYPTED | _SIZE_COMES_LATER) or size == _ELSEWHERE or position + size > len(start):
            return None
        if _is_metadata(name):
            return _unpacked(start[position : position + size], method)
        position += size
    return None


def _is_metadata(name: str) -> bool:
    return name.count("/") == 1 and name.endswith(".dist-info/METADATA")


def _unpacked(data: bytes, method: int) -> bytes | None:
    if method == _STORED:
        return data
    if method != _DEFLATED:
        return None
    try:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, LARGEST_METADATA + 1)
    except zlib.error as problem:
        raise ValueError(f"METADATA does not unpack: {problem}") from None
    check_metadata(len(unpacked))
    return unpacked


def check_metadata(size: int) -> None:
    """Raises ValueError for metadata of more bytes than any wheel's."""
    if size > LARGEST_METADATA:
        raise ValueError(f"METADATA of more than {LARGEST_METADATA >> 20} MiB")


class Fetcher(remotezip.RemoteFetcher):  # type: ignore[misc]
    """Fetches as its parent does, and takes no answer that is longer than what was asked for."""

    def fetch(self, data_range: tuple[int, int | None], stream: bool = False) -> Any:
        first, last = data_range
        # What is no stream, the directory, is kept in memory.
        if not stream and last is not None and last - first >= LARGEST_DIRECTORY:
            raise remotezip.RemoteZipError(f"its directory has {last - first + 1} bytes")
        return super().fetch(data_range, stream)

    def _request(self, kwargs: dict[str, Any]) -> tuple[Any, str]:
        body, told = super()._request(kwargs)
        asked, given = (_length(text) for text in (kwargs["headers"]["Range"], told))
        if asked is not None and given is not None and given > asked:
            body.close()
            raise remotezip.RemoteZipError(f"the server sends {given} bytes in place of {asked}")
        return body, told


def _length(text: str) -> int | None:
    """Bytes in `bytes=5-9`, `bytes=-5` or `bytes 5-9/20`; None where that is not told."""
    found = re.fullmatch(r"bytes[= ]([0-9]*)-([0-9]+)(?:/.*)?", text)
    if not found:
        return None
    return int(found[2]) - int(found[1]) + 1 if found[1] else int(found[2])


class TailFetcher(Fetcher):
    """Makes of the first fetch, the end of the file, a whole archive."""

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
