"""The names of wheels, as indexes and folders give them."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

# No filesystem takes a longer one, and a compressed tag set multiplies out: a hundred of each of its three
# parts are a million tags. The widest of the wheels around TensorFlow has 14.
LONGEST, MOST_TAGS = 255, 500


class WheelName(NamedTuple):
    """`name` is normalised; `build` is empty where there is no build tag."""

    name: str
    version: Version
    build: tuple[()] | tuple[int, str]
    tags: frozenset[Tag]


def wheel_name(filename: str) -> WheelName | None:
    """The parts of the name; None for one that no installer takes, from before they were standardised."""
    if len(filename) > LONGEST:
        return None
    if prod(part.count(".") + 1 for part in filename.removesuffix(".whl").split("-")[-3:]) > MOST_TAGS:
        return None
    try:
        return WheelName(*parse_wheel_filename(filename))
    except ValueError:
        return None
