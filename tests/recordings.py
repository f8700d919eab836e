"""scripts/record_failures.py as a module: the tests read its cases and record with it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / "record_failures.py"
    # It has the cases from a module beside it.
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("record_failures", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["record_failures"] = module
    spec.loader.exec_module(module)
    return module


recorder = _script()
DATA: Path = recorder.DATA
