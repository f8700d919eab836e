"""Measure envfix beside what its users would use instead, and write the table of the README.

    python scripts/bench.py                           everything: 15 to 40 minutes, 15 GB of disk and network
    python scripts/bench.py --only start,memory       some sections
    python scripts/bench.py --write README.md --json figures.json
    python scripts/bench.py --only lock --keep figures.json --write README.md

Times on a shared machine are noise: what is compared runs alternately in the same minutes, each first as
often as the other, and what is shown are medians of the ratios of neighbours, with their middle half in
brackets. The exit code is 1 when a target is missed.

An ext4 without a journal (a small virtual machine's) passes over the inodes that were deleted in the last
minutes, one by one: 20,000 new files took 10 s there instead of 0.6 after as many were removed, and each run
removes what the one before it has made. `ls /proc/fs/jbd2` names the filesystems that have a journal; without
one, measure with `--in` a tmpfs or a mounted image of 20 GB that has one, and UV_CACHE_DIR there too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import (
    circumstances,
    growing,
    hook,
    installing,
    locking,
    memory,
    start,
    table,
    upgrading,
    warm,
)
from benchmarks.options import Options
from benchmarks.workshop import Failed, Workshop, workshop

SECTIONS = {
    module.SECTION: module for module in (start, hook, memory, growing, locking, warm, upgrading, installing)
}

NOTES = {module.SECTION: module.NOTE for module in (start, growing)}


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        earlier = _checked(options)
    except (OSError, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    asked = Options(options.rounds, options.installs, options.patience * 60)
    rows: list[table.Row] = []
    try:
        with workshop(options.python, options.folder) as shop:
            facts = circumstances.facts(shop)
            if earlier:
                _same_day(earlier[0], facts, options.keep)
            try:
                for found in _measured(shop, options.only or list(SECTIONS), asked):
                    rows += found
            finally:  # what has taken minutes is not lost with what comes after it
                if earlier:
                    rows = _joined(rows, earlier[1])
                if options.json and rows:
                    table.write_json(options.json, facts, rows)
    except KeyboardInterrupt:
        print("interrupted; nothing is left over", file=sys.stderr)
        return 130
    except (Failed, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    above = circumstances.sentence(facts, joined=bool(options.keep))
    text = f"{above}\n\n{table.markdown(rows)}{_notes(rows)}"
    print(text, end="", flush=True)
    if options.write:
        try:
            table.write_block(options.write, text)
        except (OSError, ValueError) as problem:
            print(f"error: {options.write}: {problem}", file=sys.stderr)
            return 2
    return 0 if all(row.met for row in rows) else 1


def _checked(options: argparse.Namespace) -> tuple[dict[str, Any], list[table.Row]] | None:
    """What `--keep` holds. Raises OSError and ValueError for what would fail after minutes of measuring."""
    unknown = [name for name in options.only if name not in SECTIONS]
    if unknown:
        raise ValueError(f"no section `{unknown[0]}`; there are {', '.join(SECTIONS)}")
    for name in ("rounds", "installs", "patience"):
        if not getattr(options, name) > 0:
            raise ValueError(f"--{name} must be more than 0, found {getattr(options, name)}")
    if options.folder and not Path(options.folder).is_dir():
        raise ValueError(f"--in {options.folder}: no such folder")
    if options.write:
        with _named(options.write):
            table.replaced(options.write.read_text(encoding="utf-8"), "")
    for path in filter(None, (options.write, options.json)):
        _writable(path)
    if options.write and options.only and not options.keep:
        only = ", ".join(options.only)
        print(f"{options.write} will hold {only} alone: `--keep FILE` keeps the rest", file=sys.stderr)
    if not options.keep:
        return None
    with _named(options.keep):
        facts, rows = table.read_json(options.keep)
        strange = [row.section for row in rows if row.section not in SECTIONS]
        if strange:
            raise ValueError(f"rows of a section `{strange[0]}`; there are {', '.join(SECTIONS)}")
    return facts, rows


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """The path before what is wrong with it."""
    try:
        yield
    except OSError as problem:
        raise OSError(f"{path}: {problem.strerror}") from None
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None


def _writable(path: Path) -> None:
    """Raises ValueError for a path that a file cannot be written to."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written")


def _measured(shop: Workshop, names: list[str], options: Options) -> Iterator[list[table.Row]]:
    for name in names:
        found = SECTIONS[name].rows(shop, options)
        shop.say("")
        print(table.markdown(found), file=sys.stderr)
        yield found


def _notes(rows: list[table.Row]) -> str:
    """What the rows leave open, below the table."""
    sections = {row.section for row in rows}
    return "".join(f"\n{note}\n" for section, note in NOTES.items() if section in sections)


def _same_day(before: dict[str, Any], facts: dict[str, Any], path: Path) -> None:
    """Raises Failed where the figures kept are of another day or other versions."""
    for what in ("date", "versions"):
        if before[what] != facts[what]:
            raise Failed(f"{path}: of another {what}: {before[what]}, now {facts[what]}")


def _joined(rows: list[table.Row], kept: list[table.Row]) -> list[table.Row]:
    """With the rows of the sections that only an earlier run of the same day and versions has measured."""
    measured = {row.section for row in rows}
    order = list(SECTIONS)
    kept = [row for row in kept if row.section not in measured]
    return sorted([*rows, *kept], key=lambda row: order.index(row.section))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="SECTION,...",
        help=f"of {', '.join(SECTIONS)}",
    )
    parser.add_argument("--write", type=Path, metavar="README.md", help="put the table into its marked block")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="other sections from today's --json FILE")
    parser.add_argument("--rounds", type=int, default=9, help="of what takes seconds (9)")
    parser.add_argument("--installs", type=int, default=1, help="rounds of cold installs, 25 GB each (1)")
    parser.add_argument("--patience", type=float, default=10, help="minutes for a slow resolver (10)")
    parser.add_argument("--python", default=sys.executable, help="of the environments that are made")
    parser.add_argument("--in", dest="folder", help="where to work: the filesystem of uv's cache")
    return parser


if __name__ == "__main__":
    sys.exit(main())
