"""Read every stable release from the package index and write `compat_matrix/tensorflow.yaml`.

What other packages say of TensorFlow is read with it, from their METADATA, and written to `companions.yaml`.

    python scripts/refresh_matrix.py [--first 2.4] [--only 2.20.0 ...] [--all] [-o FOLDER]

A row whose wheels are as they were is kept; the others are read by ranges, some 5 MB for each release instead
of 2.5 GB, and written as they come, so that a run that was interrupted goes on where it was. Kernels that
`wheels.yaml` does not hold yet are read from the fat binaries (40 to 60 MB a release) and written there.
Proofs are kept. What changed goes to standard output, field by field.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import requests
from msgspec import structs
from packaging.version import Version

from envfix.errors import EnvfixError, InputError
from envfix.matrix import load, write
from envfix.matrix.changes import changes
from envfix.matrix.companion_rows import COMPANIONS, companion_changes, companion_rows
from envfix.matrix.derive import derive_page, facts_for
from envfix.matrix.page import Page, read_page, releases_on
from envfix.matrix.release_invariants import check_release
from envfix.model.companions import CompanionTable
from envfix.model.conflicts import PACKAGES
from envfix.model.matrix import CudaTable, Release, WheelFacts, WheelTable
from envfix.ports import Index, IndexFile
from envfix.reading import convert, parse_yaml
from envfix.system.index import RealIndex
from envfix.system.outside import RealOutside

Key = tuple[str, Version]
YANKED = "yanked: nothing -> yes"


class Meter:
    """Counts what comes over the wire and the seconds it takes."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._bodies: list[requests.packages.urllib3.HTTPResponse] = []  # type: ignore[name-defined]

    def count(self, answer: requests.Response) -> None:
        self._bodies.append(answer.raw)

    def __str__(self) -> str:
        received = sum(body.tell() for body in self._bodies)
        seconds = time.monotonic() - self._started
        return f"{len(self._bodies)} answers, {received / 1e6:.0f} MB, {seconds:.0f} s"


class Rows:
    """The rows as they are read, on disk after each one."""

    def __init__(self, folder: Path, date: str, kept: Mapping[Key, Release]) -> None:
        self.folder, self.date = folder, date
        self.rows = dict(kept)
        self.texts = {key: write.to_yaml(row) for key, row in kept.items()}
        wheels = (folder / "wheels.yaml").read_text()
        self.facts = list(convert(parse_yaml(wheels, "wheels.yaml"), WheelTable, "wheels.yaml").wheels)
        self._outside, self._lock = RealOutside(), threading.Lock()

    def add(self, row: Release, *, save: bool = True) -> None:
        """Raises MatrixError for a row that nobody could load."""
        check_release(row, f"{row.package} {row.version}")
        if self.rows.get(row.key) != row:
            self.rows[row.key] = row
            self.texts[row.key] = write.to_yaml(row)
        if save:
            self.save()

    def save(self) -> None:
        self._write("tensorflow.yaml", write.joined(self.date, self.texts))

    def forget_kernels(self, versions: Sequence[str] | None) -> None:
        """Of these releases, of all where none is named."""
        forgotten = {f"=={version}" for version in versions} if versions else {row.tf for row in self.facts}
        self.facts = [row for row in self.facts if row.hand_written is None or row.tf not in forgotten]

    def learn(self, fact: WheelFacts) -> None:
        """Keep the kernels that were read; threads may call this at once."""
        with self._lock:
            same = [row for row in self.facts if (row.package, row.tf) != (fact.package, fact.tf)]
            self.facts = [*same, fact]
            text = (self.folder / "wheels.yaml").read_text()
            read = [row for row in self.facts if row.hand_written is not None]
            self._write("wheels.yaml", write.wheels_text(text, read))
            print(f"  kernels of {fact.source}", file=sys.stderr, flush=True)

    def _write(self, name: str, text: str) -> None:
        self._outside.write_text(str(self.folder / name), text)


def main(argv: list[str] | None = None) -> int:
    options = _options(argv)
    meter = Meter()
    index = RealIndex(on_response=meter.count)
    for line in [*refresh(index, options), *([] if options.only else refresh_companions(index, options))]:
        print(line)
    print(f"in all {meter}", file=sys.stderr)
    return 0


def refresh(index: Index, options: argparse.Namespace) -> list[str]:
    """Bring the folder's files up to date; what changed, one line each.

    Raises IndexUnreachable; what was read until then is kept.
    """
    pages = {package: index.files(package) for package in PACKAGES}
    old = _old(options.output / "tensorflow.yaml")
    found, notes = _found(pages, Version(options.first))
    if not found:
        raise InputError(f"the package index has no release of {PACKAGES[0]} from {options.first} on")
    # Nothing is gone because nobody asked for it.
    first = Version(options.first)
    gone = set() if options.only else {key for key in old if key not in found and key[1] >= first}
    rows = Rows(options.output, options.date, {key: row for key, row in old.items() if key not in gone})
    if options.kernels:
        rows.forget_kernels(options.only)
    wanted = [key for key in found if not options.only or str(key[1]) in options.only]
    same = [] if options.all else [key for key in wanted if _is_same(rows, key, found[key].release)]
    _read(index, rows, [found[key] for key in wanted if key not in same], options.jobs)
    for key in same:
        # Yanking changes no file.
        rows.add(structs.replace(rows.rows[key], yanked=found[key].release.yanked), save=False)
    rows.save()
    print(f"{len(wanted) - len(same)} releases read, {len(same)} as they were", file=sys.stderr)
    return [*_report(old, rows.rows), *notes]


def refresh_companions(index: Index, options: argparse.Namespace) -> list[str]:
    """Bring `companions.yaml` up to date; what changed, one line each.

    The rows of each package are kept as soon as they are read. Raises IndexUnreachable.
    """
    path = options.output / "companions.yaml"
    old = convert(parse_yaml(path.read_text(), path.name), CompanionTable, path.name).companions
    rows = {name: tuple(row for row in old if row.name == name) for name in COMPANIONS}
    new = old
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = {name: pool.submit(companion_rows, index, name) for name in rows}
        for name, job in jobs.items():
            rows[name] = job.result()
            new = tuple(row for found in rows.values() for row in found)
            RealOutside().write_text(str(path), write.companions_text(path.read_text(), new))
            print(f"  companions: {len(rows[name])} rows of {name}", file=sys.stderr, flush=True)
    return list(companion_changes(old, new))


def _read(index: Index, rows: Rows, pages: Sequence[Page], at_once: int) -> None:
    """Derive the releases and keep each as soon as it is there."""
    ptx = _cuda(rows.folder).ptx
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(derive_page, index, page, tuple(rows.facts), ptx, rows.learn) for page in pages]
        try:
            for number, job in enumerate(as_completed(jobs), start=1):
                row = job.result()
                old = rows.rows.get(row.key, row)
                rows.add(structs.replace(row, proofs=old.proofs, minimal=old.minimal))
                print(f"[{number}/{len(jobs)}] {_said(row)}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _found(pages: Mapping[str, tuple[IndexFile, ...]], first: Version) -> tuple[dict[Key, Page], list[str]]:
    """The stable releases from `first` on as their pages have them, and what else is worth saying."""
    found: dict[Key, Page] = {}
    notes: list[str] = []
    for package, files in pages.items():
        listed = [version for version in releases_on(files) if package != "tensorflow" or version >= first]
        stable = [version for version in listed if not version.is_prerelease]
        for version in listed:
            if version.is_prerelease and stable and version < max(stable):
                continue
            try:
                page = read_page(package, version, files)
            except InputError as problem:
                notes.append(f"left out: {problem.message}")
                continue
            if version.is_prerelease:
                notes.append(f"pre-release, left out: {package} {version}")
            else:
                found[package, version] = page
    return found, notes


def _is_same(rows: Rows, key: Key, page: Release) -> bool:
    """Whether the row was read from the very wheels that are on the index, its kernels too."""
    row = rows.rows.get(key)
    if row is None or not row.files or row.files != page.files:
        return False
    fact = facts_for(rows.facts, *key)
    return (row.hand_written, row.kernel_gen) == (fact.hand_written, fact.kernel_gen)


def _report(old: Mapping[Key, Release], new: Mapping[Key, Release]) -> Iterator[str]:
    for key in sorted({*old, *new}):
        name = f"{key[0]} {key[1]}"
        if key not in new:
            yield f"gone: {name}"
        elif key not in old:
            yield f"new: {_said(new[key])}"
        else:
            for line in changes(old[key], new[key]):
                yield f"yanked: {name}" if line == YANKED else f"changed: {name}: {line}"


def _said(row: Release) -> str:
    return f"{row.package} {row.version}: CUDA {row.built_with_cuda}, cuDNN {row.built_with_cudnn}"


def _old(path: Path) -> dict[Key, Release]:
    if not path.exists():
        return {}
    table = convert(parse_yaml(path.read_text(), path.name), load.ReleaseTable, path.name)
    return {row.key: row for row in table.releases}


def _cuda(folder: Path) -> CudaTable:
    path = folder / "cuda.yaml"
    return convert(parse_yaml(path.read_text(), path.name), CudaTable, path.name)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", default="2.4", help="the oldest release to read (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="VERSION", help="these, and keep the other rows")
    parser.add_argument("--all", action="store_true", help="also what is as it was")
    parser.add_argument("--kernels", action="store_true", help="read the fat binaries again too")
    parser.add_argument("--jobs", type=int, default=4, help="releases read at once (default: %(default)s)")
    parser.add_argument(
        "--date", default=datetime.date.today().isoformat(), help="the day to write into the file"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(load.matrix_dir()), help="the folder of the matrix"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EnvfixError as problem:
        print(
            f"error: {problem.message}" + (f"\nhint: {problem.hint}" if problem.hint else ""), file=sys.stderr
        )
        sys.exit(problem.exit_code)
    except KeyboardInterrupt:
        print("interrupted: what was read is kept; run it again to go on", file=sys.stderr)
        sys.exit(130)
