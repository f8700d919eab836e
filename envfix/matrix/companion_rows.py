"""Rows of `companions.yaml` from the packages: METADATA, wheel tags, and what they check at import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from envfix.errors import InputError, MatrixError
from envfix.matrix.metadata import declared, extras_with
from envfix.matrix.page import LINUX
from envfix.matrix.wheel_tags import read_tags
from envfix.model.companions import Companion
from envfix.model.versions import PythonRelease
from envfix.ports import Index, IndexFile

# The oldest release that goes with TensorFlow 2.4.
COMPANIONS = {
    "tensorflow-text": Version("2.4"),
    "tf-keras": Version("2.15"),
    "tensorflow-probability": Version("0.12"),
}
_CHECKED = re.compile(r"^\s*required_tensorflow_version\s*=\s*['\"]([0-9.]+)['\"]", re.MULTILINE)
# TensorFlow 2.16 brings Keras 3: a package that takes `tensorflow.keras` for Keras 2 does not import with it.
_KERAS_3 = "2.16"
_KERAS_3_SOURCE = "https://github.com/tensorflow/probability/issues/1795"
_KERAS_2 = "tf-keras"


def companion_rows(index: Index, name: str) -> tuple[Companion, ...]:
    """One row for each feature release of the companion that goes with some TensorFlow alone, ascending.

    Pre-releases and yanked releases are left out. Raises IndexUnreachable, InputError where the index has
    no such project, and MatrixError for a release that says nothing of TensorFlow anywhere.
    """
    releases = _releases(index.files(name), COMPANIONS[name])
    if not releases:
        raise InputError(f"the package index has no release of `{name}` from {COMPANIONS[name]} on")
    series: dict[tuple[int, ...], dict[Version, list[IndexFile]]] = {}
    for version, files in sorted(releases.items()):
        series.setdefault(version.release[:2], {})[version] = files
    return tuple(_row(index, name, found) for found in series.values())


def companion_changes(old: Sequence[Companion], new: Sequence[Companion]) -> Iterator[str]:
    """What differs, a line for each row."""
    before, after = ({(row.name, row.version): row for row in rows} for rows in (old, new))
    for key in dict.fromkeys((*before, *after)):
        said = f"{key[0]}{key[1]}"
        if key not in after:
            yield f"gone: {said}"
        elif key not in before:
            yield f"new: {said}: tensorflow{after[key].tensorflow}"
        elif before[key] != after[key]:
            yield f"changed: {said}: {_shown(before[key])} -> {_shown(after[key])}"


def _shown(row: Companion) -> str:
    parts = [f"tensorflow{row.tensorflow}"]
    parts += [f"Python {', '.join(map(str, row.python))}"] if row.python else []
    parts += [f"needs {', '.join(row.needs)}"] if row.needs else []
    return f"{'; '.join(parts)} ({row.source})"


def _releases(files: Sequence[IndexFile], first: Version) -> dict[Version, list[IndexFile]]:
    found: dict[Version, list[IndexFile]] = {}
    for file in files:
        try:
            version = parse_wheel_filename(file.filename)[1]
        except InvalidWheelFilename:
            continue
        if not (version.is_prerelease or file.yanked) and version >= first:
            found.setdefault(version, []).append(file)
    return found


def _row(index: Index, name: str, series: Mapping[Version, Sequence[IndexFile]]) -> Companion:
    """The newest release speaks for its series, back to the oldest that says the same."""
    newest = max(series)
    asked = _declared(index, series[newest])
    if not asked:
        return _undeclared(index, name, newest, series[newest])
    oldest = min(series)
    for version in sorted(series, reverse=True):
        if _declared(index, series[version]) != asked:
            oldest = min(other for other in series if other > version)
            break
    pythons = _pythons([file for files in series.values() for file in files])
    return Companion(
        name=name,
        version=_series(series, oldest),
        tensorflow=_ordered(asked),
        python=pythons,
        source=f"METADATA {'and wheel tags ' if pythons else ''}of {name} {newest}",
    )


def _series(series: Mapping[Version, Sequence[IndexFile]], oldest: Version) -> str:
    major, minor = oldest.release[:2]
    return f"=={major}.{minor}.*" if oldest == min(series) else f">={oldest},<{major}.{minor + 1}"


def _declared(index: Index, files: Sequence[IndexFile]) -> str:
    """The specifier on TensorFlow, empty where there is none."""
    return declared(index.metadata(files[0]), "tensorflow")


def _ordered(specifier: str) -> str:
    """`>=2.21,<2.22` from `<2.22,>=2.21.0`."""
    parts = sorted(SpecifierSet(specifier), key=lambda part: part.operator, reverse=True)
    return ",".join(f"{part.operator}{_short(part.version)}" for part in parts)


def _short(version: str) -> str:
    return version.removesuffix(".0") if version.count(".") == 2 else version


def _pythons(files: Sequence[IndexFile]) -> tuple[PythonRelease, ...]:
    wheels = [wheel for file in files if (wheel := read_tags(file)) is not None]
    return tuple(sorted({wheel.python for wheel in wheels if wheel.platform == LINUX}))


def _undeclared(index: Index, name: str, version: Version, files: Sequence[IndexFile]) -> Companion:
    """From the check that the package makes when it is imported, and from what it imports itself."""
    package, members = canonicalize_name(name).replace("-", "_"), index.members(files[0])
    module, keras = f"{package}/python/__init__.py", f"{package}/python/internal/tf_keras.py"
    text = index.member(files[0], module).decode("utf-8", "replace") if module in members else ""
    least = _CHECKED.search(text)
    if least is None:
        raise MatrixError(
            f"companions.yaml: {name} {version} names no TensorFlow, neither in METADATA nor in {module}"
        )
    needs = (_KERAS_2,) if keras in members else ()
    extras = extras_with(index.metadata(files[0]), _KERAS_2) if needs else ()
    read = "required_tensorflow_version" + (" and internal/tf_keras.py" if needs else "")
    return Companion(
        name=name,
        version=f"=={version.major}.{version.minor}.*",
        tensorflow=f">={least[1]}" if needs else f">={least[1]},<{_KERAS_3}",
        undeclared=True,
        needs=needs,
        extra=extras[0] if extras else "",
        source=f"{read} in {name} {version}; {_KERAS_3_SOURCE}",
    )
