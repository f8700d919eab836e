"""The shipped matrix against the real index, and a release that it does not have."""

from __future__ import annotations

import datetime

import pytest
from msgspec import structs
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix.errors import InputError
from envfix.matrix import live
from envfix.matrix.check import check
from envfix.matrix.derive import derive
from envfix.model.matrix import Release
from envfix.system.index import RealIndex
from tests import shipped
from tests.fakes import FakeOutside

pytestmark = pytest.mark.live


def row(version: str) -> Release:
    """What of the shipped row is read from wheels: what was proven by loading them is not."""
    (found,) = (one for one in shipped.whole().releases if one.version == Version(version))
    return structs.replace(found, proofs=(), minimal=None)


@pytest.mark.parametrize("version", ["2.4.0", "2.13.1", "2.15.0.post1", "2.21.0"])
def test_a_shipped_row_is_what_its_wheels_say_today(version: str) -> None:
    matrix = shipped.whole()
    assert derive(RealIndex(), version, facts=matrix.wheels, ptx=matrix.cuda.ptx) == row(version)


def test_no_shipped_row_has_changed_on_the_index() -> None:
    result = check(RealIndex(), shipped.whole(), datetime.date.today())
    assert not result.changed and not result.gone, result.summary


def test_a_release_newer_than_the_matrix_is_read_from_its_fat_binaries_in_a_minute() -> None:
    matrix = shipped.whole()
    older = structs.replace(
        matrix,
        releases=tuple(one for one in matrix.releases if one.version < Version("2.21")),
        wheels=tuple(one for one in matrix.wheels if one.tf != "==2.21.0"),
    )
    found = live.with_derived(FakeOutside(), RealIndex(), older, SpecifierSet("==2.21.0"))
    derived = found.releases[-1]
    assert derived.derived and not derived.proven
    assert structs.replace(derived, derived=False) == row("2.21.0")


def test_the_reserved_name_is_refused() -> None:
    with pytest.raises(InputError, match="holds no TensorFlow"):
        derive(RealIndex(), "0.0.1rc1", "tensorflow-cuda13")
