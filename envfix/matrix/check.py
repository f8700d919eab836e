"""Whether the shipped matrix says what the package index says today, from the index pages alone."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from msgspec import structs
from packaging.version import Version

from envfix.errors import InputError
from envfix.matrix.changes import changes
from envfix.matrix.page import read_page, releases_on
from envfix.model.conflicts import PACKAGES
from envfix.model.matrix import Matrix, Release
from envfix.model.matrix_check import ChangedRow, MatrixCheck
from envfix.ports import Index, IndexFile


def check(index: Index, matrix: Matrix, today: datetime.date) -> MatrixCheck:
    """New, changed, yanked and gone releases, and how old the matrix is.

    One page for each package is read and no wheel: a wheel never changes under its digest, and with the
    wheels stay their METADATA and all that was read in them. Raises IndexUnreachable, and InputError for one
    that has no page of TensorFlow: it is a mirror of something else, and no news of any release.
    """
    pages = {package: index.files(package) for package in PACKAGES}
    if not pages[PACKAGES[0]]:
        raise InputError(
            f"the package index has no project `{PACKAGES[0]}`, so that nothing can be compared with it",
            "`pip config list` shows which index is asked",
        )
    result = blank = MatrixCheck(
        matrix_date=matrix.date,
        checked=today.isoformat(),
        age_days=max(0, (today - datetime.date.fromisoformat(matrix.date)).days),
        releases=len(matrix.releases),
    )
    for package in PACKAGES:
        rows = [row for row in matrix.releases if row.package == package]
        result = _joined(result, _check_package(package, rows, pages[package], blank))
    return result


def _check_package(
    package: str, rows: Sequence[Release], files: Sequence[IndexFile], empty: MatrixCheck
) -> MatrixCheck:
    known = {row.version: row for row in rows}
    listed = releases_on(files)
    found = structs.replace(empty, gone=tuple(_name(row) for row in rows if row.version not in listed))
    for version in listed:
        try:
            page = read_page(package, version, files).release
        except InputError as problem:
            if version in known:
                found = _compared(found, known[version], structs.replace(known[version], wheels=(), files=""))
            # Only of interest where nothing of the package is real: a reserved name.
            if not rows and version == listed[-1]:
                found = structs.replace(found, reserved=(problem.message,))
            continue
        if version in known:
            found = _compared(found, known[version], page)
        elif _is_newer(version, rows):
            key = "prereleases" if version.is_prerelease else "new"
            found = structs.replace(found, **{key: (*getattr(found, key), _name(page))})
    return found


def _compared(found: MatrixCheck, row: Release, page: Release) -> MatrixCheck:
    if page.yanked and not row.yanked:
        return structs.replace(found, yanked=(*found.yanked, _name(row)))
    what = changes(_page_part(row, page), page)
    if not what:
        return found
    changed = ChangedRow(package=row.package, version=str(row.version), what=what)
    return structs.replace(found, changed=(*found.changed, changed))


def _page_part(row: Release, page: Release) -> Release:
    """Of a row what an index page can say: the rest is taken from the page, so that it does not differ."""
    wheels = tuple(structs.replace(one, cuda=False) for one in row.wheels)
    return structs.replace(
        page, uploaded=row.uploaded, yanked=row.yanked, files=row.files or page.files, wheels=wheels
    )


def _is_newer(version: Version, rows: Sequence[Release]) -> bool:
    """Newer than the oldest of the matrix, a pre-release newer than the newest: the others are history."""
    versions = [row.version for row in rows]
    if not versions:
        return True
    return version > (max(versions) if version.is_prerelease else min(versions))


def _joined(one: MatrixCheck, two: MatrixCheck) -> MatrixCheck:
    lists = ("new", "prereleases", "changed", "yanked", "gone", "reserved")
    return structs.replace(one, **{name: (*getattr(one, name), *getattr(two, name)) for name in lists})


def _name(release: Release) -> str:
    return f"{release.package} {release.version}"
