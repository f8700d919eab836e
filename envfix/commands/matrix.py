"""`envfix matrix`: show it, check it against the index, or derive a release from its wheel."""

from __future__ import annotations

import argparse
import datetime

from envfix.commands.asking import tf
from envfix.errors import IndexUnreachable
from envfix.matrix import load
from envfix.model.results import MatrixShown
from envfix.resolve import pip_config
from envfix.situation import Parts


def matrix(parts: Parts, options: argparse.Namespace) -> tuple[object, int]:
    """The matrix, what the index has otherwise, or one row as YAML. Raises IndexUnreachable, InputError."""
    if options.action == "derive":
        from envfix.matrix import derive

        config = pip_config.read_pip_config(parts.outside, None)
        known = load.load(parts.outside, parts.matrix_dir)
        release = derive.derive(
            parts.index(config), options.version, options.package, known.wheels, known.cuda.ptx
        )
        return (release if options.json else derive.to_yaml(release)), 0
    matrix = load.load(parts.outside, parts.matrix_dir)
    if options.action == "check":
        from envfix.matrix import check

        config = pip_config.read_pip_config(parts.outside, None)
        try:
            return check.check(parts.index(config), matrix, datetime.date.today()), 0
        except IndexUnreachable as problem:
            # Its hint may name `--offline`, with which there would be nothing to check.
            raise IndexUnreachable(problem.message, "check the network and pip's `index-url`") from None
    asked = tf(options.tf)
    rows = [
        row
        for row in matrix.releases
        if asked.specifier.contains(row.version, prereleases=True)
        and (row.package == asked.package or not asked.given)
    ]
    rows.sort(key=lambda row: (row.version, row.package), reverse=True)
    return MatrixShown(date=matrix.date, digest=matrix.digest, releases=tuple(rows)), 0
