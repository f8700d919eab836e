"""What the fat binaries in a shared library hold: machine code (SASS) and PTX by compute capability.

NVIDIA documents no layout. This one is read off what `nvcc --fatbin` writes and what TensorFlow's wheels hold
(CUDA 11.0 to 13.0): a header (magic, version 1, its own 16 bytes, bytes that follow), then images, each with
a header of its own (kind, version 0x101, its bytes, payload's bytes, bytes before padding, ISA, architecture,
flags).
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from envfix.model.matrix import Kernels
from envfix.model.versions import ComputeCapability, PtxIsa

_MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, 16)
_HEADER = struct.Struct("<8xQ")
_IMAGE = struct.Struct("<HHIQI4xHHI8xQ")
_IMAGE_VERSION = 0x101
# The largest in TensorFlow's wheels is 102 MB (2.12.1); what claims more than this is a chance match.
_LARGEST = 256 << 20
_LZ4, _ZSTD = 0x2000, 0x8000
# Code for one architecture alone (`sm_90a`), or for one family (`sm_120f`): no later GPU runs it. CUDA 12.9
# and later set these; before, only `.target` in the PTX says so.
_SPECIFIC = 0x100000 | 0x200000
_TARGET = re.compile(rb"\.target\s+sm_\d+([a-z]?)")
# `.version` and `.target` are the first lines; compilers put a few empty ones in front.
_HEAD = 512
_NO_ISA = PtxIsa("0")


class Kind(Enum):
    """What code in a fat binary is, by the number that its header has."""

    PTX = 1
    SASS = 2


class Image(NamedTuple):
    """Code for one compute capability. `isa` is the PTX's, 0 for machine code; `portable`: later GPUs
    run it too.
    """

    kind: Kind
    compute_capability: ComputeCapability
    isa: PtxIsa
    portable: bool = True


Fatbin = tuple[Image, ...]


class Groups(NamedTuple):
    """Both groups of kernels, None where there was none, and how many fat binaries of each were read."""

    hand_written: Kernels | None
    kernel_gen: Kernels | None
    hand_written_count: int
    kernel_gen_count: int


def fatbins(chunks: Iterable[bytes]) -> Iterator[Fatbin]:
    """Every fat binary in the bytes, in their order. What only looks like one is passed over."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        position = 0
        while True:
            start = buffer.find(_MAGIC, position)
            if start < 0:
                position = max(position, len(buffer) - len(_MAGIC) + 1)
                break
            end = _end(buffer, start)
            if end is not None and end > len(buffer):
                position = start
                break
            images = _images(buffer, start + _HEADER.size, end) if end is not None else None
            if images is None or end is None:
                position = start + len(_MAGIC)
                continue
            yield images
            position = end
        buffer = buffer[position:]


def groups(found: Iterable[Fatbin], enough: int | None = None) -> Groups:
    """The kernels of a library by group; the commonest set of images stands for its group.

    Those that MLIR generates have PTX and no machine code for the newest compute capability, the hand-written
    ones have both. Before 2.8 the generated ones had both too, in an older PTX ISA, and in 2.4 there was one
    kind. What has PTX alone is half of something that is linked later (NCCL) and counts for neither, nor does
    what has machine code alone, unless all has. Reading stops when `enough` fat binaries of each group were
    seen; None reads all of them.
    """
    counts: Counter[Fatbin] = Counter()
    no_ptx: Counter[Fatbin] = Counter()
    seen = {True: 0, False: 0}
    for images in found:
        kinds = {image.kind for image in images}
        if kinds == {Kind.SASS}:
            no_ptx[images] += 1
        if kinds != set(Kind):
            continue
        counts[images] += 1
        seen[_lacks_newest(images)] += 1
        if enough is not None and min(seen.values()) >= enough:
            break
    hand_written, generated = _split(counts) if counts else (no_ptx, Counter())
    return Groups(_kernels(hand_written), _kernels(generated), hand_written.total(), generated.total())


def _split(counts: Counter[Fatbin]) -> tuple[Counter[Fatbin], Counter[Fatbin]]:
    generated = {images for images in counts if _lacks_newest(images)}
    if not generated:
        newest = max(_newest_ptx(images).isa for images in counts)
        generated = {images for images in counts if _newest_ptx(images).isa < newest}
    return (
        Counter({images: number for images, number in counts.items() if images not in generated}),
        Counter({images: number for images, number in counts.items() if images in generated}),
    )


def _end(buffer: bytes, start: int) -> int | None:
    """Where the fat binary ends, beyond the buffer where its header is cut off; None for a chance match."""
    if start + _HEADER.size > len(buffer):
        return len(buffer) + 1
    (size,) = _HEADER.unpack_from(buffer, start)
    return start + _HEADER.size + int(size) if 0 < size <= _LARGEST else None


def _images(buffer: bytes, position: int, end: int) -> Fatbin | None:
    """The images up to `end`, which they must fill; None where they do not."""
    images: list[Image] = []
    while position < end:
        if position + _IMAGE.size > end:
            return None
        kind, version, header, size, packed, minor, major, arch, flags = _IMAGE.unpack_from(buffer, position)
        payload = position + header
        if version != _IMAGE_VERSION or header < _IMAGE.size or payload + size > end:
            return None
        position = payload + size
        if kind not in (Kind.PTX.value, Kind.SASS.value):
            continue  # LTO-IR and others, which no driver runs as they are
        try:
            capability = ComputeCapability.from_arch(f"sm_{arch}")
        except ValueError:
            return None
        is_ptx = kind == Kind.PTX.value
        text = buffer[payload : payload + (packed or size)] if is_ptx else b""
        images.append(
            Image(
                kind=Kind(kind),
                compute_capability=capability,
                isa=PtxIsa(f"{major}.{minor}") if is_ptx else _NO_ISA,
                portable=not flags & _SPECIFIC and not _names_specific_target(text, flags),
            )
        )
    return tuple(sorted(images, key=lambda image: (image.kind.value, image.compute_capability.key)))


def _names_specific_target(ptx: bytes, flags: int) -> bool:
    if flags & _ZSTD:
        return False  # written by a CUDA that sets the flag
    head = _lz4_head(ptx, _HEAD) if flags & _LZ4 else ptx[:_HEAD]
    target = _TARGET.search(head)
    return bool(target and target[1])


def _lz4_head(block: bytes, length: int) -> bytes:
    """At least the first `length` bytes that an LZ4 block unpacks to, or as many as it holds.

    lz4_Block_format.md: a token (two lengths of four bits, 15 goes on in the next bytes), literals, and a
    match of at least four bytes that lies `offset` back.
    """
    out = bytearray()
    position = 0
    while position < len(block) and len(out) < length:
        token = block[position]
        literals, position = _lz4_length(block, position + 1, token >> 4)
        out += block[position : position + literals]
        position += literals
        if position + 2 > len(block):
            break  # the last sequence ends with its literals
        offset = int.from_bytes(block[position : position + 2], "little")
        match, position = _lz4_length(block, position + 2, token & 15)
        if not 0 < offset <= len(out):
            break  # no LZ4: what was unpacked so far is all there is
        for _ in range(min(match + 4, length)):
            out.append(out[-offset])
    return bytes(out)


def _lz4_length(block: bytes, position: int, length: int) -> tuple[int, int]:
    if length < 15:
        return length, position
    while position < len(block):
        more = block[position]
        position += 1
        length += more
        if more != 255:
            break
    return length, position


def _lacks_newest(images: Fatbin) -> bool:
    sass = {image.compute_capability for image in images if image.kind is Kind.SASS}
    return _newest_ptx(images).compute_capability not in sass


def _newest_ptx(images: Fatbin) -> Image:
    return max(
        (image for image in images if image.kind is Kind.PTX), key=lambda image: image.compute_capability
    )


def _kernels(counts: Counter[Fatbin]) -> Kernels | None:
    if not counts:
        return None
    ((images, _),) = counts.most_common(1)
    sass = tuple(image.compute_capability for image in images if image.kind is Kind.SASS)
    if len(sass) == len(images):
        return Kernels(sass=sass)
    top = _newest_ptx(images)
    return Kernels(sass=sass, ptx=top.compute_capability, ptx_isa=top.isa, portable=top.portable)
