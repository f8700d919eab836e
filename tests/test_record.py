"""One reader for every RECORD: CSV as installers write it, and what is no RECORD at all."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from envfix.install.libraries import damages
from envfix.install.transaction import contents, snapshot
from envfix.model.target import Distribution
from envfix.record import Place, paths_in, place_of, read_row, recorded
from envfix.restart.contents import contents_of
from tests.fakes import FakeOutside
from tests.values import TARGET

SITE = TARGET.purelib
INFO = f"{SITE}/nvidia_cudnn_cu12-9.3.0.dist-info"
CUDNN = Distribution(name="nvidia-cudnn-cu12", version="9.3.0", location=SITE)
HERE = structs.replace(TARGET, installed=(CUDNN,))
COMMA = '"nvidia/a, ""b"".so",sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1\n'


def test_paths_are_the_first_column_quoted_or_not() -> None:
    assert paths_in(f"a.py,sha256=x,1\r\n{COMMA}\nb.so,,") == ("a.py", 'nvidia/a, "b".so', "b.so")


def test_a_row_says_its_size_and_digest_where_it_does() -> None:
    digest = "sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE"
    assert read_row(f"{digest},12,more").size == 12
    assert read_row(f"{digest},12").digest == read_row(digest).digest != b""
    assert [read_row(said) for said in ("", ",", "sha512=x,x")] == [(None, None)] * 3


def test_a_quotation_mark_without_its_partner_ends_with_its_line() -> None:
    assert paths_in('"a.py,,\nb.py,,\n' + '"' + "x" * 200_000 + "\nc.py,,")[1::2] == ("b.py", "c.py")


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1)))
def test_what_is_written_as_csv_is_read_again(paths: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([path, "", ""] for path in paths)
    assert paths_in(text.getvalue()) == tuple(paths)


def test_the_folder_is_that_of_the_name_however_spelled_and_of_the_version() -> None:
    files = {
        f"{SITE}/Nvidia.Cudnn_CU12-9.3.0.dist-info/RECORD": "",
        f"{SITE}/nvidia_cudnn_cu12-9.1.dist-info/x": "",
    }
    found = place_of(FakeOutside(files), structs.replace(CUDNN, location=""), TARGET)
    assert found == Place(f"{SITE}/Nvidia.Cudnn_CU12-9.3.0.dist-info", SITE)
    assert place_of(FakeOutside(), CUDNN, TARGET) is None


def test_without_a_record_a_distribution_is_incomplete_everywhere_and_nothing_crashes() -> None:
    library = f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9"
    for broken in ({}, {f"{INFO}/RECORD": PermissionError(13, "Permission denied")}):
        outside = FakeOutside({f"{INFO}/METADATA": "", library: b"", **broken})
        assert recorded(outside, INFO) is None
        assert [(one.path, one.how) for one in damages(outside, HERE)] == [(f"{INFO}/RECORD", "is gone")]
        assert f"{INFO}/METADATA" in snapshot.take(outside, HERE, [CUDNN.name], ()).going
        assert contents.wrong_files(outside, HERE, [CUDNN.name]) == ((CUDNN.name, f"{INFO}/RECORD"),)
        assert contents_of(outside, [CUDNN.name], [SITE])[CUDNN.name].imports == ("nvidia_cudnn_cu12",)


def test_metadata_that_is_no_wheels_says_nothing_of_its_libraries() -> None:
    assert damages(FakeOutside(), HERE) == ()


def test_every_reader_understands_a_quoted_path() -> None:
    path = f'{SITE}/nvidia/a, "b".so'
    whole = FakeOutside({f"{INFO}/RECORD": COMMA, path: b"x"})
    gone = FakeOutside({f"{INFO}/RECORD": COMMA})
    assert damages(whole, HERE) == ()
    assert [one.path for one in damages(gone, HERE)] == [path]
    assert path in snapshot.take(whole, HERE, [CUDNN.name], ()).going
    assert contents.wrong_files(gone, HERE, [CUDNN.name]) == ((CUDNN.name, path),)
    assert contents_of(whole, [CUDNN.name], [SITE])[CUDNN.name].libraries == {'nvidia/a, "b".so'}
