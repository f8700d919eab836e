"""The interpreters of this machine that tests may use, by feature release."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

DEBIAN = "/usr/bin/python3"


@functools.cache
def python_of(feature: str) -> str:
    """The path of a CPython `feature` (`3.11`) that really runs; the test is skipped where there is none.

    A version manager's shim may be on PATH for a version that it does not run, so each one is asked.
    """
    candidates = sorted(Path.home().glob(f".pyenv/versions/{feature}.*/bin/python"))
    found = shutil.which(f"python{feature}")
    if found:
        candidates.append(Path(found))
    for path in candidates:
        asked = subprocess.run(
            [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
        )
        if asked.returncode == 0 and asked.stdout.strip() == feature:
            return str(path)
    pytest.skip(f"no Python {feature} on this machine")


def debian() -> str:
    """Debian's own interpreter, whose packages are in `dist-packages`; the test is skipped without one."""
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    try:
        ran = subprocess.run([DEBIAN, "-I", "-c", asked], capture_output=True, text=True)
    except OSError:
        pytest.skip(f"no {DEBIAN} here")
    if not ran.stdout.strip().endswith("dist-packages"):
        pytest.skip(f"{DEBIAN} is not laid out as Debian's")
    return DEBIAN


def copied(real: str, env: Path) -> Path:
    """An interpreter without packages that is no virtual environment: a copy of a real one below `env`."""
    python = env / "bin/python3"
    asked = "import os, sys; print(sys.executable, os.path.dirname(os.__file__), sep='\\n')"
    ran = subprocess.run([real, "-I", "-c", asked], check=True, capture_output=True, text=True)
    executable, stdlib = map(Path, ran.stdout.split())
    python.parent.mkdir(parents=True)
    shutil.copy(executable.resolve(), python)
    own = env / "lib" / stdlib.name
    own.mkdir(parents=True)
    for path in stdlib.iterdir():
        if path.name not in ("site-packages", "dist-packages", "EXTERNALLY-MANAGED"):
            (own / path.name).symlink_to(path)
    return python
