"""Releases as the text of `tensorflow.yaml`: the same values always give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.version import Version

from envfix.errors import MatrixError
from envfix.model.companions import Companion
from envfix.model.matrix import Release, WheelFacts
from envfix.reading import to_plain

HEADER = """\
# Every stable release of TensorFlow from 2.4 on, as its wheels describe themselves.
#
# Written by scripts/refresh_matrix.py; do not edit by hand. `origin` says where each value was read: `index`
# (page and wheel tags), `metadata`, `build_info` (tensorflow/python/platform/build_info.py), `floor of the
# extra` (and-cuda), `fatbin` and `page` (both through wheels.yaml), `compute capabilities` (what they imply;
# no fat binary was read). `files` is the digest of the wheels that were read, `proofs` are real loads of one
# under the driver stub (scripts/prove_matrix.py), `minimal` is one without the NVIDIA wheels that TensorFlow
# never opens (scripts/prove_minimal.py). README.md explains the keys.
"""
KERNELS = "# Kernels, written by scripts/refresh_matrix.py from the fat binaries; do not edit below.\n"
COMPANIONS = "companions:\n"
_WIDTH = 115


def to_yaml(release: Release | WheelFacts) -> str:
    """The release as one row of `tensorflow.yaml`, or the facts as one of `wheels.yaml`."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """A row has its keys below each other, and every value on as few lines as it takes."""

    Dumper.add_representer(
        _Flat, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)
    )
    row = {key: _flat(value) for key, value in to_plain(release).items()}
    text = yaml.dump(
        [row], Dumper=Dumper, sort_keys=False, default_flow_style=None, width=_WIDTH, allow_unicode=True
    )
    return str(text)


def file_text(date: str, releases: Iterable[Release]) -> str:
    """The whole file, the oldest release first. `date` is the day of reading, YYYY-MM-DD."""
    return joined(date, {release.key: to_yaml(release) for release in releases})


def joined(date: str, rows: Mapping[tuple[str, Version], str]) -> str:
    """The whole file from the rows that `to_yaml` made, by package and version."""
    return f"{HEADER}date: '{date}'\nreleases:\n" + "".join(rows[key] for key in sorted(rows))


def companions_text(text: str, rows: Iterable[Companion]) -> str:
    """`companions.yaml` with these rows, one in a line, below the head that stands there.

    Raises MatrixError where the text does not hold the line that ends the head.
    """
    import yaml

    head, found, _ = text.partition(COMPANIONS)
    if not found:
        raise MatrixError(f"companions.yaml: the line `{COMPANIONS.strip()}` is missing")
    lines = [
        yaml.safe_dump(to_plain(row), default_flow_style=True, sort_keys=False, width=10_000) for row in rows
    ]
    return head + COMPANIONS + "".join(f"- {line}" for line in lines)


def wheels_text(text: str, facts: Iterable[WheelFacts]) -> str:
    """`wheels.yaml` with these rows below KERNELS instead of those that stand there.

    Raises MatrixError where the text does not hold that line.
    """
    by_hand, found, _ = text.partition(KERNELS)
    if not found:
        raise MatrixError(f"wheels.yaml: the line `{KERNELS.strip()}` is missing")
    ordered = sorted(facts, key=lambda row: (row.package, Version(row.tf.removeprefix("=="))))
    return by_hand + KERNELS + "".join(to_yaml(row) for row in ordered)


class _Flat(dict[str, Any]):
    """A mapping that is written in one line."""


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return _Flat(value)
    if isinstance(value, (list, tuple)):
        return [_flat(item) for item in value]
    return value
