"""What is downloaded for each release, in bytes by the index: uv with the extra beside what envfix plans.

    python scripts/measure_bytes.py VERSION ... --python PATH ...

For each release, with the newest of the given Pythons that has a wheel: the files of `uv pip compile` of
`tensorflow[and-cuda]==VERSION`, of the plan of `envfix install` in a new environment, of that with
`--minimal`, and of the plan without NVIDIA wheels, as `--cuda system` has it. One Markdown table goes to
standard output. Nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import uv
from packaging.pylock import Package, Pylock
from packaging.tags import Tag
from proof_jobs import ended, jobs_of, read_options

from envfix.model.plan import LockedFile
from envfix.pep751 import basename
from envfix.probe.interpreter import read_target
from envfix.reading import parse_toml
from envfix.resolve.planning import marker_environment
from envfix.resolve.wheels import installable, target_tags
from envfix.system.outside import RealOutside

HEADER = (
    "| release | Python | `tensorflow[and-cuda]` by uv | envfix | `--minimal` | `--cuda system` |",
    "|---|---|---|---|---|---|",
)


def main() -> int:
    options = read_options(__doc__)
    print("\n".join(HEADER))
    for job in list(jobs_of(options)):  # a misspelt one is said before the first has run
        version = str(job.release.version)
        cells = [version, str(job.python), shown(by_uv(version, job.interpreter))]
        cells += map(shown, by_envfix(version, job.interpreter, options.machine))
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0


def by_uv(version: str, interpreter: str) -> int | None:
    """The bytes of uv's own solution for the interpreter; None where there is none."""
    argv = [
        uv.find_uv_bin(),
        "pip",
        "compile",
        "-q",
        "--no-config",
        "--format",
        "pylock.toml",
        "-p",
        interpreter,
    ]
    asked = f"tensorflow[and-cuda]=={version}\n"
    done = subprocess.run([*argv, "-"], input=asked, capture_output=True, text=True)
    if done.returncode:
        return None
    target = read_target(RealOutside(quiet=True), interpreter)
    tags, environment = target_tags(target), marker_environment(target)
    packages = Pylock.from_dict(parse_toml(done.stdout, "pylock.toml")).packages
    return sum(
        size_of(package, tags)
        for package in packages
        if package.marker is None or package.marker.evaluate(environment)
    )


def size_of(package: Package, tags: dict[Tag, int]) -> int:
    """The bytes of the file that an installer takes."""
    files = [*(package.wheels or ()), *([package.sdist] if package.sdist else [])]
    named = [
        LockedFile(filename=basename(file.url or ""), url=file.url or "", sha256="", size=file.size)
        for file in files
    ]
    size = (installable(named, tags) or named)[0].size
    assert size is not None, f"the index does not say the size of {package.name}"
    return size


def by_envfix(version: str, interpreter: str, machine: str) -> tuple[int, int, int]:
    """The bytes of envfix's plan, of the one with `--minimal`, and of all but the NVIDIA wheels."""
    whole, minimal = (planned(version, interpreter, machine, more) for more in ([], ["--minimal"]))
    rest = sum(one["size"] for one in whole["packages"] if not one["name"].startswith("nvidia-"))
    return whole["download_bytes"], minimal["download_bytes"], rest


def planned(version: str, interpreter: str, machine: str, more: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "envfix", "install", "--dry-run", "--json", "--machine", machine]
        argv += ["--tf", f"=={version}", "--python", interpreter, "--venv", str(Path(folder) / "new"), *more]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    plan: dict[str, Any] = json.loads(done.stdout)["data"]["plan"]
    return plan


def shown(count: int | None) -> str:
    return "no solution" if count is None else f"{count / 1e9:.2f} GB"


if __name__ == "__main__":
    ended(main)
