"""The interpreters of this machine that tests may use, by feature release."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest


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
