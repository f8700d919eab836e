"""Fat binaries that `nvcc --fatbin` of CUDA 13.0 wrote, as libraries hold them: one after the other."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envfix.matrix.fatbin import Fatbin, Kind, fatbins, groups
from envfix.model.versions import ComputeCapability, PtxIsa

DATA = Path(__file__).parent / "data" / "matrix" / "fatbins"
BYTES = {path.stem: path.read_bytes() for path in sorted(DATA.glob("*.fatbin"))}
ARCHITECTURE_SPECIFIC = 0x100000


def one(data: bytes) -> Fatbin:
    (found,) = fatbins([data])
    return found


def said(images: Fatbin) -> list[str]:
    return [
        f"{image.kind.name} {image.compute_capability}"
        + (f" {image.isa}" if image.kind is Kind.PTX else "")
        + ("" if image.portable else " only")
        for image in images
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hand_written", ["PTX 9.0 9.0", "SASS 8.0", "SASS 9.0"]),
        ("kernel_gen", ["PTX 9.0 9.0 only", "SASS 8.0"]),
        ("uncompressed", ["PTX 9.0 9.0 only", "SASS 8.0"]),
        # Of a family (sm_120f); zstd, which nothing unpacks here: the flag says it.
        ("zstd", ["PTX 12.0 9.0 only", "SASS 9.0"]),
        ("ptx_only", ["PTX 9.0 9.0"]),
        ("sass_only", ["SASS 8.0", "SASS 9.0"]),
    ],
)
def test_images_are_told_by_kind_compute_capability_and_isa(name: str, expected: list[str]) -> None:
    assert said(one(BYTES[name])) == expected


@pytest.mark.parametrize("name", ["kernel_gen", "uncompressed"])
def test_the_target_in_the_ptx_tells_where_an_older_compiler_sets_no_flag(name: str) -> None:
    data = bytearray(BYTES[name])
    place = data.index(b".target sm_90a") if name == "uncompressed" else data.index(b".target")
    flags = data.rindex(ARCHITECTURE_SPECIFIC.to_bytes(3, "little")[2:], 0, place)
    assert bytes(data[flags - 2 : flags + 1]) in (b"\x11\x20\x10", b"\x11\x00\x10")
    data[flags] = 0
    assert said(one(bytes(data)))[0] == "PTX 9.0 9.0 only"


@given(st.lists(st.integers(1, 400), max_size=60), st.integers(0, 40))
def test_what_is_found_does_not_depend_on_how_the_bytes_are_cut(cuts: list[int], padding: int) -> None:
    whole = b"\x50\xed" * padding + b"".join(
        BYTES[name] + bytes(padding) for name in ("hand_written", "ptx_only", "kernel_gen")
    )
    pieces, position = [], 0
    for cut in cuts:
        pieces.append(whole[position : position + cut])
        position += cut
    pieces.append(whole[position:])
    assert list(fatbins(pieces)) == [one(BYTES[name]) for name in ("hand_written", "ptx_only", "kernel_gen")]


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_no_bytes_make_it_stumble(noise: bytes, cut: int) -> None:
    list(fatbins([noise]))
    list(fatbins([b"\x50\xed\x55\xba\x01\x00\x10\x00", noise]))
    data = BYTES["hand_written"]
    list(fatbins([data[:cut], noise, data[cut:]]))


def test_a_chance_match_is_passed_over_and_what_follows_is_found() -> None:
    magic = b"\x50\xed\x55\xba\x01\x00\x10\x00"
    for chance in (magic + bytes(8), magic + b"\xff" * 8, magic + (64).to_bytes(8, "little") + bytes(64)):
        assert list(fatbins([chance + BYTES["ptx_only"]])) == [one(BYTES["ptx_only"])]


def test_the_two_groups_are_told_by_machine_code_for_the_newest_gpu() -> None:
    hand, generated, half = one(BYTES["hand_written"]), one(BYTES["kernel_gen"]), one(BYTES["ptx_only"])
    found = groups([half, *[generated] * 3, half, *[hand] * 2, one(BYTES["sass_only"])])
    assert (found.hand_written_count, found.kernel_gen_count) == (2, 3)
    assert found.hand_written and found.kernel_gen
    eight, nine = ComputeCapability("8.0"), ComputeCapability("9.0")
    assert (found.hand_written.sass, found.hand_written.ptx) == ((eight, nine), nine)
    assert (found.kernel_gen.sass, found.kernel_gen.ptx) == ((eight,), nine)
    assert (found.hand_written.portable, found.kernel_gen.portable) == (True, False)
    assert found.kernel_gen.ptx_isa == PtxIsa("9.0")


def test_where_all_have_machine_code_the_older_ptx_is_the_generated() -> None:
    # 2.5 to 2.7: PTX 7.2 from the toolkit, 6.3 from LLVM, both with SASS for 8.0.
    hand = one(BYTES["hand_written"])
    older = tuple(image._replace(isa=PtxIsa("6.3")) if image.kind is Kind.PTX else image for image in hand)
    found = groups([*[older] * 5, *[hand] * 2])
    assert (found.hand_written_count, found.kernel_gen_count) == (2, 5)
    assert found.kernel_gen and found.kernel_gen.ptx_isa == PtxIsa("6.3")
    alone = groups([hand] * 3)
    assert (alone.hand_written_count, alone.kernel_gen) == (3, None)


def test_reading_stops_when_enough_of_both_were_seen() -> None:
    many = itertools.chain(
        itertools.repeat(one(BYTES["kernel_gen"]), 100), itertools.repeat(one(BYTES["hand_written"]), 999)
    )
    found = groups(many, enough=4)
    assert (found.hand_written_count, found.kernel_gen_count) == (4, 100)


def test_without_any_ptx_the_machine_code_counts() -> None:
    found = groups([one(BYTES["sass_only"])] * 2)
    assert found.hand_written and found.hand_written.ptx is None and len(found.hand_written.sass) == 2
    assert groups([]).hand_written is None and groups([one(BYTES["ptx_only"])]).kernel_gen is None


def test_kinds_are_those_of_cuobjdump() -> None:
    assert {kind.name: kind.value for kind in Kind} == {"PTX": 1, "SASS": 2}
