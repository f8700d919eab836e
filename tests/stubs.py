"""The driver stub, compiled once for a module's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from envfix.system.outside import RealOutside
from envfix.verify.stub import build


def compiled(cache: Path) -> str:
    """The folder of its libraries; the test is skipped where there is no compiler."""
    outside = RealOutside(quiet=True)
    if not any(outside.which(name) for name in ("cc", "gcc", "clang")):
        pytest.skip("no C compiler here")
    return build.build(outside, str(cache))
