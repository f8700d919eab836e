"""Releases that the shipped matrix does not have: read from their wheels when they are asked for.

A derived release is judged by the same rules, is marked as derived, and nothing proves it.
"""

from __future__ import annotations

import contextlib

from msgspec import structs
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envfix.errors import EnvfixError, InputError
from envfix.matrix import write
from envfix.matrix.derive import derive_page
from envfix.matrix.page import read_page, releases_on
from envfix.matrix.release_invariants import check_release
from envfix.model.matrix import Matrix, Release
from envfix.ports import Index, IndexFile, Outside
from envfix.reading import convert, parse_yaml

# Each one costs 40 to 60 MB the first time; the newest are those that somebody wants.
AT_MOST = 3


def missing(
    files: tuple[IndexFile, ...], matrix: Matrix, specifier: SpecifierSet, package: str = "tensorflow"
) -> tuple[Version, ...]:
    """What the index has and the matrix lacks of what is asked for, newest first.

    A pre-release or a yanked release only when it is named as packaging's and PEP 592's rules want it named.
    """
    allowed = specifier.filter(_unknown(files, matrix, package), prereleases=specifier.prereleases or False)
    exact = any(part.operator in ("==", "===") for part in specifier)
    real = [version for version in allowed if _is_there(package, version, files, yanked=exact)]
    return tuple(sorted(real, reverse=True)[:AT_MOST])


def newer(files: tuple[IndexFile, ...], matrix: Matrix, package: str = "tensorflow") -> tuple[Version, ...]:
    """What the index has that is newer than the matrix, ascending, pre-releases and yanked releases too."""
    last = max((row.version for row in matrix.releases if row.package == package), default=Version("0"))
    found = [version for version in _unknown(files, matrix, package) if version > last]
    return tuple(version for version in sorted(found) if _is_there(package, version, files, yanked=True))


def _unknown(files: tuple[IndexFile, ...], matrix: Matrix, package: str) -> list[Version]:
    known = {row.version for row in matrix.releases if row.package == package}
    return [version for version in releases_on(files) if version not in known]


def with_derived(
    outside: Outside, index: Index, matrix: Matrix, specifier: SpecifierSet, package: str = "tensorflow"
) -> Matrix:
    """The matrix with the releases that `missing` names, else with what is `newer` in `listed`.

    Reads one index page, and for each of them some wheels' ranges the first time: what was read is kept in
    the user's cache by the digests of the release's files and of the matrix. Raises IndexUnreachable,
    and MatrixError for a release that does not say enough of itself to be judged.
    """
    files = index.files(package)
    rows = [
        _derived(outside, index, matrix, package, version, files)
        for version in missing(files, matrix, specifier, package)
    ]
    if not rows:
        return structs.replace(matrix, listed=newer(files, matrix, package))
    return structs.replace(matrix, releases=tuple(sorted((*matrix.releases, *rows), key=lambda row: row.key)))


def _is_there(package: str, version: Version, files: tuple[IndexFile, ...], *, yanked: bool) -> bool:
    try:
        return not read_page(package, version, files).release.yanked or yanked
    except InputError:
        return False  # a name reservation


def _derived(
    outside: Outside,
    index: Index,
    matrix: Matrix,
    package: str,
    version: Version,
    files: tuple[IndexFile, ...],
) -> Release:
    page = read_page(package, version, files)
    path = _cache(package, version, f"{page.release.files[:16]}-{matrix.digest[:8]}")
    # Without digests on the page nobody can tell whether the wheels are those that were read.
    kept = _kept(outside, path) if page.release.files else None
    if kept is not None:
        return kept
    outside.say(f"reading {package} {version} from its wheels: it is not in this matrix ({matrix.date}) ...")
    row = derive_page(index, page, matrix.wheels, matrix.cuda.ptx)
    check_release(row, f"{package} {version}")
    row = structs.replace(row, derived=True)
    if not page.release.files:
        return row
    # A cache that cannot be written costs the next run the same again, and is no news to anybody.
    with contextlib.suppress(OSError):
        outside.make_dirs(path.rpartition("/")[0])
        outside.write_text(path, write.to_yaml(row))
    return row


def _kept(outside: Outside, path: str) -> Release | None:
    """None where nothing is kept, or by an envfix that wrote rows otherwise."""
    try:
        rows = convert(parse_yaml(outside.read_text(path), path), tuple[Release, ...], path)
    except (OSError, EnvfixError):
        return None
    return rows[0] if len(rows) == 1 and rows[0].derived else None


def _cache(package: str, version: Version, sources: str) -> str:
    import platformdirs

    folder = platformdirs.user_cache_path("envfix", appauthor=False)
    return folder.joinpath(f"derived-{package}-{version}-{sources}.yaml").as_posix()
