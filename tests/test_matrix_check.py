"""The shipped matrix against an index page, and what differs between two rows."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import pytest
from msgspec import structs
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix.errors import IndexUnreachable, InputError, MatrixError
from envfix.matrix import live
from envfix.matrix.changes import changes
from envfix.matrix.check import check
from envfix.matrix.page import read_page
from envfix.model.matrix import LoaderProof, Matrix, Release
from envfix.model.matrix_check import MatrixCheck
from envfix.model.versions import CudaRelease, PythonRelease
from envfix.ports import Index, IndexFile
from tests import shipped
from tests.fakes import FakeOutside
from tests.test_derive import CUDA_2_20, METADATA

TODAY = datetime.date(2026, 11, 26)
STABLE = ("2.20.0", "2.21.0")


def wheel(
    version: str, python: str = "312", platform: str = "manylinux_2_17_x86_64", size: int = 7
) -> IndexFile:
    name = f"tensorflow-{version}-cp{python}-cp{python}-{platform}.whl"
    return IndexFile(
        name, f"https://files.example/{name}", "0" * 64, size, None, "2026-03-06T10:00:00Z", False
    )


class Pages(Index):
    """Pages of the two packages; wheels hold a CUDA build, and `read` counts how often one was opened."""

    def __init__(self, *files: IndexFile, reserved: tuple[IndexFile, ...] = ()) -> None:
        self.pages = {"tensorflow": files, "tensorflow-cuda13": reserved}
        self.read = 0

    def files(self, project: str) -> tuple[IndexFile, ...]:
        return self.pages.get(project, ())

    def metadata(self, file: IndexFile) -> str:
        self.read += 1
        return METADATA

    def members(self, file: IndexFile) -> Mapping[str, int]:
        self.read += 1
        return {}

    def member(self, file: IndexFile, name: str) -> bytes:
        self.read += 1
        return CUDA_2_20.encode()


def matrix_of(*files: IndexFile) -> Matrix:
    """A matrix that was read from just these pages three days ago."""
    versions = sorted({Version(file.filename.split("-")[1]) for file in files})
    rows = [read_page("tensorflow", version, files).release for version in versions]
    rows = [
        structs.replace(row, wheels=tuple(structs.replace(one, cuda=True) for one in row.wheels))
        for row in rows
    ]
    return structs.replace(shipped.matrix(), releases=tuple(rows), date="2026-11-23")


def checked(index: Index, *files: IndexFile) -> MatrixCheck:
    return check(index, matrix_of(*(files or map(wheel, STABLE))), TODAY)


def test_a_matrix_as_the_index_has_it_says_so_and_how_old_it_is() -> None:
    index = Pages(*map(wheel, STABLE))
    result = checked(index)
    assert result.up_to_date and (result.age_days, result.releases, index.read) == (3, 2, 0)
    assert result.summary == ("matrix of 2026-11-23 (3 days old): 2 releases, as the index has them",)


def test_new_releases_and_pre_releases_are_told_apart_and_old_ones_left_out() -> None:
    result = checked(Pages(*map(wheel, (*STABLE, "2.22.0", "2.21.0rc1", "2.23.0rc0", "2.3.0", "2.20.1"))))
    assert result.new == ("tensorflow 2.20.1", "tensorflow 2.22.0")
    assert result.prereleases == ("tensorflow 2.23.0rc0",)
    assert not result.up_to_date and result.summary[0].endswith("not as the index has them")
    assert "new: tensorflow 2.22.0: `envfix matrix derive 2.22.0` reads it" in result.summary


def test_a_pre_release_alone_leaves_the_matrix_up_to_date() -> None:
    assert checked(Pages(*map(wheel, (*STABLE, "2.22.0rc0")))).up_to_date


def test_a_wheel_that_was_added_is_a_change_named_by_platform_and_python() -> None:
    result = checked(
        Pages(*map(wheel, STABLE), wheel("2.21.0", "313"), wheel("2.21.0", platform="win_amd64"))
    )
    (row,) = result.changed
    assert (row.package, row.version) == ("tensorflow", "2.21.0")
    assert row.what[0] == "wheels.linux x86_64.python: +3.13"
    assert row.what[1].startswith("wheels.windows x86_64: nothing -> {os: windows")


def test_other_bytes_under_the_same_names_are_a_change() -> None:
    changed = wheel("2.21.0")._replace(sha256="1" * 64)
    (row,) = checked(Pages(wheel("2.20.0"), changed)).changed
    assert row.what == ("files: others under the same names",)
    (row,) = checked(Pages(wheel("2.20.0"), wheel("2.21.0", size=9))).changed
    assert row.what == ("wheels.linux x86_64.size: 7 -> 9",)


def test_a_known_release_that_lost_all_its_wheels_is_a_change() -> None:
    stub = IndexFile(
        "tensorflow-2.21.0-py3-none-any.whl", "https://files.example/x.whl", "0" * 64, 1796, None, None, False
    )
    result = checked(Pages(wheel("2.20.0"), stub), *map(wheel, STABLE))
    (row,) = result.changed
    assert (row.version, result.up_to_date, result.gone) == ("2.21.0", False, ())
    (said,) = row.what
    assert said.startswith("wheels.linux x86_64: {os: linux") and said.endswith("-> nothing")


def test_a_yanked_release_and_one_that_is_gone_are_said() -> None:
    result = checked(Pages(wheel("2.20.0")._replace(yanked=True)))
    assert (result.yanked, result.gone, result.changed) == (
        ("tensorflow 2.20.0",),
        ("tensorflow 2.21.0",),
        (),
    )
    assert {"yanked: tensorflow 2.20.0", "gone: tensorflow 2.21.0"} <= set(result.summary)


def test_a_reserved_name_is_said_in_one_sentence_and_changes_nothing() -> None:
    name = "tensorflow_cuda13-0.0.1rc1-py3-none-any.whl"
    stub = IndexFile(name, f"https://files.example/{name}", "0" * 64, 1796, None, None, False)
    result = checked(Pages(*map(wheel, STABLE), reserved=(stub,)))
    assert result.up_to_date
    assert result.summary[1:] == (
        "`tensorflow-cuda13` 0.0.1rc1 holds no TensorFlow: no wheel for any platform, only "
        f"{name} of 1796 bytes",
    )


def test_the_day_it_is_real_the_reserved_name_is_a_new_release_of_its_own() -> None:
    real = wheel("2.21.0")._replace(
        filename=wheel("2.21.0").filename.replace("tensorflow", "tensorflow_cuda13")
    )
    assert checked(Pages(*map(wheel, STABLE), reserved=(real,))).new == ("tensorflow-cuda13 2.21.0",)


def test_an_index_that_does_not_answer_is_no_verdict() -> None:
    class Down(Pages):
        def files(self, project: str) -> tuple[IndexFile, ...]:
            raise IndexUnreachable("no answer")

    with pytest.raises(IndexUnreachable):
        checked(Down())


def test_an_index_without_tensorflow_is_no_verdict_on_its_releases() -> None:
    with pytest.raises(InputError, match="has no project `tensorflow`") as caught:
        checked(Pages(reserved=(wheel("2.21.0"),)))
    assert caught.value.exit_code == 2 and "pip config list" in (caught.value.hint or "")


def test_the_shipped_matrix_can_be_checked() -> None:
    result = check(Pages(wheel("2.3.0")), shipped.matrix(), TODAY)
    assert len(result.gone) == result.releases == len(shipped.matrix().releases)


ROW = shipped.matrix().releases[-1]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (ROW, ROW, ()),
        (ROW, structs.replace(ROW, yanked=True), ("yanked: nothing -> yes",)),
        (
            structs.replace(ROW, built_with_cuda=CudaRelease("12.3")),
            structs.replace(ROW, built_with_cuda=CudaRelease("12.5.1")),
            ("built_with_cuda: 12.3 -> 12.5.1",),
        ),
        (
            structs.replace(ROW, requires=("a", "b")),
            structs.replace(ROW, requires=("b", "c")),
            ("requires: -a, +c",),
        ),
        (
            structs.replace(ROW, requires=("a", "b")),
            structs.replace(ROW, requires=("b", "a")),
            ("requires: in another order",),
        ),
        (structs.replace(ROW, kernel_gen=None), ROW, ("kernel_gen: nothing -> {",)),
        (
            structs.replace(ROW, origin={"kernels": "fatbin"}),
            structs.replace(ROW, origin={"kernels": "unknown"}),
            ("origin.kernels: fatbin -> unknown",),
        ),
        (structs.replace(ROW, files="a"), structs.replace(ROW, files="b"), ("files: others",)),
        (
            ROW,
            structs.replace(
                ROW,
                proofs=(
                    LoaderProof(
                        date="2026-01-01",
                        python=PythonRelease("3.6"),
                        registers_as_published=None,
                        registers_with_envfix=False,
                    ),
                ),
            ),
            (),
        ),
    ],
)
def test_rows_are_compared_field_by_field(before: Release, after: Release, lines: tuple[str, ...]) -> None:
    found = changes(before, after)
    assert len(found) == len(lines)
    assert all(said.startswith(start) for said, start in zip(found, lines, strict=True))


def asked(index: Pages, specifier: str, rows: tuple[str, ...] = STABLE) -> list[str]:
    matrix = matrix_of(*map(wheel, rows))
    return [str(one) for one in live.missing(index.files("tensorflow"), matrix, SpecifierSet(specifier))]


def test_what_the_matrix_lacks_of_what_is_asked_for_is_named_newest_first() -> None:
    index = Pages(
        *map(wheel, ("2.19.5", *STABLE, "2.22.0", "2.23.0", "2.24.0rc0", "2.24.0rc1")),
        wheel("2.25.0")._replace(yanked=True),
        wheel("0.0.1", platform="any")._replace(filename="tensorflow-0.0.1-py3-none-any.whl"),
    )
    assert asked(index, ">=2.20") == ["2.23.0", "2.22.0"]
    assert asked(index, "==2.22.*") == ["2.22.0"]
    assert asked(index, ">=2.19,<2.20") == ["2.19.5"]
    assert asked(index, "==2.24.0rc1") == ["2.24.0rc1"]
    assert asked(index, "==2.25.0") == ["2.25.0"] and asked(index, ">=2.25") == []
    assert asked(index, "==2.21.0") == asked(index, "==2.30.0") == asked(index, "==0.0.1") == []


def test_a_release_that_is_not_in_the_matrix_is_derived_marked_and_kept_for_the_next_time() -> None:
    outside, matrix = FakeOutside(), matrix_of(*map(wheel, STABLE))
    index = Pages(*map(wheel, (*STABLE, "2.23.0")))
    found = live.with_derived(outside, index, matrix, SpecifierSet("==2.23.0"))
    row = found.releases[-1]
    assert [str(one.version) for one in found.releases] == [*STABLE, "2.23.0"]
    assert row.derived and not row.proven and row.wheels[0].cuda
    assert row.built_with_cuda == CudaRelease("12.5.1") and row.kernel_gen
    assert "reading tensorflow 2.23.0 from its wheels" in outside.said[0]
    read = index.read
    again = live.with_derived(outside, index, matrix, SpecifierSet("==2.23.0"))
    assert again.releases == found.releases and index.read == read and len(outside.said) == 1


def test_a_page_without_digests_is_no_change_and_leaves_nothing_to_recognise_wheels_by() -> None:
    pages = [wheel(version)._replace(sha256=None) for version in (*STABLE, "2.23.0")]
    assert checked(Pages(*pages[:2]), *map(wheel, STABLE)).up_to_date
    outside = FakeOutside()
    for _ in range(2):
        index = Pages(*pages)
        row = live.with_derived(outside, index, matrix_of(*map(wheel, STABLE)), SpecifierSet("==2.23.0"))
        assert row.releases[-1].derived and index.read
    assert outside.written == {}


def test_the_same_wheel_on_two_indexes_is_one_wheel() -> None:
    assert checked(Pages(*map(wheel, (*STABLE, *STABLE)))).up_to_date


def test_a_release_that_does_not_say_enough_is_refused() -> None:
    class Silent(Pages):
        def metadata(self, file: IndexFile) -> str:
            return "Name: tensorflow\n"

        def member(self, file: IndexFile, name: str) -> bytes:
            return b"build_info = {'is_cuda_build': True}"

    with pytest.raises(MatrixError, match=r"tensorflow 2\.23\.0\.built_with_cuda: a CUDA build must name it"):
        live.with_derived(
            FakeOutside(), Silent(wheel("2.23.0")), matrix_of(*map(wheel, STABLE)), SpecifierSet("==2.23.0")
        )


def test_other_files_and_a_spoilt_cache_are_read_again() -> None:
    outside, matrix = FakeOutside(), matrix_of(*map(wheel, STABLE))
    pages = [*map(wheel, (*STABLE, "2.23.0"))]
    live.with_derived(outside, Pages(*pages), matrix, SpecifierSet("==2.23.0"))
    more = Pages(*pages, wheel("2.23.0", "313"))
    row = live.with_derived(outside, more, matrix, SpecifierSet("==2.23.0")).releases[-1]
    assert more.read and len(row.wheels[0].python) == 2
    for path in outside.written:
        outside.files[path] = "- {version: nonsense"
    index = Pages(*pages)
    assert live.with_derived(outside, index, matrix, SpecifierSet("==2.23.0")).releases[-1].derived
    assert index.read


def test_where_the_matrix_has_it_all_nothing_is_read_and_nothing_changes() -> None:
    matrix, index = matrix_of(*map(wheel, STABLE)), Pages(*map(wheel, STABLE))
    found = live.with_derived(FakeOutside(), index, matrix, SpecifierSet("==2.23.0"))
    assert found == structs.replace(matrix, listed=())
    assert index.read == 0


def test_what_the_index_has_beside_what_is_asked_for_is_listed_and_not_read() -> None:
    empty = wheel("2.26.0", platform="any")._replace(filename="tensorflow-2.26.0-py3-none-any.whl")
    yanked = wheel("2.25.0")._replace(yanked=True)
    index = Pages(*map(wheel, ("2.19.5", "2.21.0rc1", *STABLE, "2.22.0rc0", "2.24.0rc1")), yanked, empty)
    found = live.with_derived(FakeOutside(), index, matrix_of(*map(wheel, STABLE)), SpecifierSet("==2.22.0"))
    assert list(map(str, found.listed or ())) == ["2.22.0rc0", "2.24.0rc1", "2.25.0"]
    assert index.read == 0
