"""What a text tells against what the TensorFlow release it names was built with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envfix.model.diagnosis import Build
from envfix.model.versions import DriverRelease, PythonRelease

# Conditions may name these like markers of the catalogue.
BUILT = {
    "toolkit-of-the-release",
    "toolkit-not-of-the-release",
    "python-not-of-the-release",
    "driver-below-the-release",
}
LAST_WITH_MINOR = 10

Values = Mapping[str, Sequence[Mapping[str, str]]]


def compared(values: Values, builds: Sequence[Build]) -> list[tuple[str, str]]:
    """Markers that follow from the release that the text names first; none where it is unknown."""
    named = [caught["value"].rstrip(".") for caught in values.get("tensorflow", ())]
    short = ".".join(named[0].split(".")[:2]) if named else ""
    build = next((each for each in builds if each.tensorflow == short), None)
    if build is None:
        return []
    return [*_toolkit(values, build), *_python(values, build), *_driver(values, build)]


def serves(named: str, wanted: str) -> bool:
    """Whether code for one CUDA release finds the libraries of another by name.

    Up to CUDA 10 a soname carries the minor release, later the major alone (NVIDIA, CUDA Compatibility).
    """
    major = wanted.partition(".")[0]
    if "." in named and "." in wanted and int(major) <= LAST_WITH_MINOR:
        return named == wanted
    return named.partition(".")[0] == major


def _toolkit(values: Values, build: Build) -> list[tuple[str, str]]:
    driver = {caught["value"] for caught in values.get("driver-cuda", ())}
    named = list(dict.fromkeys(caught["value"] for caught in values.get("cuda-named", ())))
    named = [each for each in named if each not in driver]
    if not named:
        return []
    line = f"TensorFlow {build.tensorflow} was built with CUDA {build.cuda}, CUDA {', '.join(named)} is named"
    fits = any(serves(each, build.cuda) for each in named)
    return [("toolkit-of-the-release" if fits else "toolkit-not-of-the-release", line)]


def _python(values: Values, build: Build) -> list[tuple[str, str]]:
    found = next((caught["value"] for caught in values.get("python", ())), None)
    if found is None:
        return []
    first, last = build.pythons
    if first <= PythonRelease(found) <= last:
        return []
    line = f"TensorFlow {build.tensorflow} has wheels for Python {first} to {last}, found {found}"
    return [("python-not-of-the-release", line)]


def _driver(values: Values, build: Build) -> list[tuple[str, str]]:
    found = next((caught["value"].rstrip(".") for caught in values.get("driver", ())), None)
    if found is None or DriverRelease(found) >= build.driver:
        return []
    line = f"TensorFlow {build.tensorflow}'s CUDA {build.cuda} needs driver >= {build.driver}, found {found}"
    return [("driver-below-the-release", line)]
