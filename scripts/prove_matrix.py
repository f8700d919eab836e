"""Load real TensorFlow wheels under the driver stub and write the proof into `compat_matrix/tensorflow.yaml`.

    python scripts/prove_matrix.py [VERSION ...] [--machine colab-t4] [--python PATH ...]

For each release: the environment that envfix itself installs, the loader proof with library discovery and
once more without it, and the environment removed again. Needs 10 GB of disk and a minute a release. A release
whose rules forbid it on the machine is said and skipped; the exit code is 1 when one does not register.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from msgspec import structs
from packaging.version import Version

from envfix.matrix import load, write
from envfix.model.matrix import LoaderProof, Release
from envfix.model.versions import PythonRelease
from envfix.reading import convert, parse_yaml

FILE = Path(__file__).resolve().parent.parent / "compat_matrix" / "tensorflow.yaml"


def main() -> int:
    options = _options()
    pythons = {_feature(path): path for path in options.python}
    failed = False
    for release in _table().releases:
        if not _asked(release, options.versions):
            continue
        python = _newest_shared(release, pythons)
        if python is None:
            print(f"{release.version}: none of the given Pythons has a wheel", file=sys.stderr)
            continue
        proof = prove(release.version, python, pythons[python], options.machine)
        if proof is None:
            failed = True
            continue
        failed |= not proof.registers_with_envfix
        print(
            f"{release.version} on Python {python}: registers {proof.registers_with_envfix}, "
            f"without envfix's loader {proof.registers_as_published}",
            file=sys.stderr,
        )
        _keep(release.version, proof)
    return 1 if failed else 0


def prove(version: Version, feature: PythonRelease, python: str, machine: str) -> LoaderProof | None:
    """One release in an environment of its own; None when envfix did not install it."""
    folder = Path(tempfile.mkdtemp(prefix="envfix-proof-"))
    try:
        venv = str(folder / "venv")
        asked = ["--machine", machine, "--tf", f"=={version}", "--python", python, "--venv", venv]
        done = _envfix("install", *asked, "--yes", cache=folder / "cache")
        if done["exit_code"] not in (0, 6):
            print(f"{version}: not installed: {done['errors']}", file=sys.stderr)
            return None
        verification = done["data"]["verification"]
        bare = _envfix("verify", "--machine", machine, "--venv", venv, cache=folder / "cache", loader=False)
        return LoaderProof(
            date=datetime.date.today().isoformat(),
            python=feature,
            registers_as_published=bare["exit_code"] == 0,
            registers_with_envfix=done["exit_code"] == 0 and verification["proof"] == "loader",
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _envfix(*argv: str, cache: Path, loader: bool = True) -> dict[str, Any]:
    # A cache of its own, gone with the environment: 25 releases would leave 70 GB in a shared one.
    env = {**os.environ, "UV_CACHE_DIR": str(cache)} | ({} if loader else {"ENVFIX_LOADER": "0"})
    done = subprocess.run(
        [sys.executable, "-m", "envfix", *argv, "--json"], stdout=subprocess.PIPE, text=True, env=env
    )
    return dict(json.loads(done.stdout))


def _keep(version: Version, proof: LoaderProof) -> None:
    """Write the proof into its row, in place of an older one for the same Python."""
    table = _table()
    rows = []
    for row in table.releases:
        if row.version == version:
            others = tuple(old for old in row.proofs if old.python != proof.python)
            proofs = tuple(sorted((*others, proof), key=lambda one: one.python))
            row = structs.replace(row, proofs=proofs)
        rows.append(row)
    FILE.write_text(write.file_text(table.date, rows))


def _table() -> load.ReleaseTable:
    return convert(parse_yaml(FILE.read_text(), FILE.name), load.ReleaseTable, FILE.name)


def _asked(release: Release, versions: list[str]) -> bool:
    return str(release.version) in versions if versions else release.version >= Version("2.10")


def _newest_shared(release: Release, pythons: dict[PythonRelease, str]) -> PythonRelease | None:
    tags = {
        tag
        for wheels in release.wheels
        if wheels.cuda and wheels.os.value == "linux"
        for tag in wheels.python
    }
    return max(tags & set(pythons), default=None)


def _feature(path: str) -> PythonRelease:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return PythonRelease(
        subprocess.run([path, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="default: 2.10 and later")
    parser.add_argument("--machine", default="colab-t4")
    parser.add_argument(
        "--python", nargs="+", metavar="PATH", default=[sys.executable], help="interpreters to use"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
