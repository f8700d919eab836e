"""Read every stable release from the package index and write `compat_matrix/tensorflow.yaml`.

    python scripts/refresh_matrix.py [--first 2.4] [--only 2.20.0 ...] [-o FILE]

Some 3 MB for each wheel that is looked into instead of 600. Proofs that the file holds are kept.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import structs
from packaging.version import Version

from envfix.errors import EnvfixError
from envfix.matrix import load, write
from envfix.matrix.derive import derive, stable_releases
from envfix.model.matrix import Release, WheelTable
from envfix.reading import convert, parse_yaml
from envfix.system.index import RealIndex

ROOT = Path(__file__).resolve().parent.parent / "compat_matrix"


def main() -> int:
    options = _options()
    index = RealIndex()
    table = ROOT / "wheels.yaml"
    facts = convert(parse_yaml(table.read_text(), table.name), WheelTable, table.name).wheels
    old = _old(options.output)
    wanted = stable_releases(index, first=options.first)
    missing = [version for version in wanted if not options.only or str(version) in options.only]
    rows = {version: row for version, row in old.items() if options.only}
    with ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(lambda version: derive(index, str(version), facts=facts), missing):
            kept = old[row.version].proofs if row.version in old else ()
            rows[row.version] = structs.replace(row, proofs=kept)
            print(f"{row.version}: CUDA {row.built_with_cuda}, cuDNN {row.built_with_cudnn}", file=sys.stderr)
    text = write.file_text(options.date, rows.values())
    changed = not options.output.exists() or options.output.read_text() != text
    options.output.write_text(text)
    print(f"{options.output}: {len(rows)} releases, {'changed' if changed else 'as it was'}", file=sys.stderr)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", default="2.4", help="the oldest release to read (default: %(default)s)")
    parser.add_argument("--only", nargs="*", metavar="VERSION", help="read these and keep the other rows")
    parser.add_argument("--jobs", type=int, default=8, help="releases read at once (default: %(default)s)")
    parser.add_argument(
        "--date", default=datetime.date.today().isoformat(), help="the day to write into the file"
    )
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "tensorflow.yaml")
    return parser.parse_args()


def _old(path: Path) -> dict[Version, Release]:
    if not path.exists():
        return {}
    table = convert(parse_yaml(path.read_text(), path.name), load.ReleaseTable, path.name)
    return {row.version: row for row in table.releases}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EnvfixError as problem:
        print(
            f"error: {problem.message}" + (f"\nhint: {problem.hint}" if problem.hint else ""), file=sys.stderr
        )
        sys.exit(problem.exit_code)
