"""scripts/record_failures.py as a module: the tests read its cases and record with it."""

from __future__ import annotations

from pathlib import Path

from tests.scripted import load_script

recorder = load_script("record_failures")
DATA: Path = recorder.DATA
