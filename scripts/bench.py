"""Measure envfix beside what its users would use instead, and write the table of the README.

    python scripts/bench.py                           everything: 40 minutes, 15 GB of disk, 15 GB downloaded
    python scripts/bench.py --only start,memory       some sections
    python scripts/bench.py --write README.md --json figures.json
    python scripts/bench.py --only lock --keep figures.json --write README.md

Times on a shared machine are noise: what is compared runs alternately in the same minutes, each first as
often as the other, and what is shown are medians of the ratios of neighbours, with their middle half in
brackets. The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import sys
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


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    unknown = [name for name in options.only if name not in SECTIONS]
    if unknown:
        print(f"error: no section `{unknown[0]}`; there are {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    asked = Options(options.rounds, options.installs, options.patience * 60)
    try:
        if options.write:  # before it takes minutes
            table.replaced(options.write.read_text(encoding="utf-8"), "")
    except (OSError, ValueError) as problem:
        print(f"error: {options.write}: {problem}", file=sys.stderr)
        return 2
    try:
        with workshop(options.python, options.folder) as shop:
            rows = _measured(shop, options.only or list(SECTIONS), asked)
            facts = circumstances.facts(shop)
    except KeyboardInterrupt:
        print("interrupted; nothing is left over", file=sys.stderr)
        return 130
    except Failed as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    if options.keep:
        try:
            rows = _joined(rows, options.keep, facts)
        except (OSError, ValueError) as problem:
            print(f"error: {options.keep}: {problem}", file=sys.stderr)
            return 2
    text = f"{circumstances.sentence(facts, joined=bool(options.keep))}\n\n{table.markdown(rows)}"
    if options.json:
        table.write_json(options.json, facts, rows)
    if options.write:
        table.write_block(options.write, text)
    print(text, end="")
    return 0 if all(row.met for row in rows) else 1


def _measured(shop: Workshop, names: list[str], options: Options) -> list[table.Row]:
    rows = []
    for name in names:
        found = SECTIONS[name].rows(shop, options)
        # What has taken minutes is not lost with what comes after it.
        shop.say("")
        print(table.markdown(found), file=sys.stderr)
        rows += found
    return rows


def _joined(rows: list[table.Row], path: Path, facts: dict[str, Any]) -> list[table.Row]:
    """With the rows of the sections that an earlier run of the same day and versions has measured."""
    before, kept = table.read_json(path)
    for what in ("date", "versions"):
        if before[what] != facts[what]:
            raise ValueError(f"of another {what}: {before[what]}, now {facts[what]}")
    measured = {row.section for row in rows}
    kept = [row for row in kept if row.section not in measured]
    order = list(SECTIONS)
    return sorted([*rows, *kept], key=lambda row: order.index(row.section))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="SECTION,...")
    parser.add_argument("--write", type=Path, metavar="README.md", help="put the table into its marked block")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="other sections from today's --json FILE")
    parser.add_argument("--rounds", type=int, default=9, help="of what takes seconds (9)")
    parser.add_argument("--installs", type=int, default=1, help="rounds of cold installs, 9 GB each (1)")
    parser.add_argument("--patience", type=float, default=10, help="minutes for a slow resolver (10)")
    parser.add_argument("--python", default=sys.executable, help="of the environments that are made")
    parser.add_argument("--in", dest="folder", help="where to work: the filesystem of uv's cache")
    return parser


if __name__ == "__main__":
    sys.exit(main())
