"""Which lines of uv's and pip's are shown where they draw no bars: transcripts of real runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envfix.install.progress import UvProgress, pip_progress

# uv 0.13.9 with an empty cache, its standard error in a pipe.
UV = """\
Using CPython 3.11.7 interpreter at: /env/bin/python
Resolved 3 packages in 241ms
Downloading numpy (17.4MiB)
Downloading grpcio (7.0MiB)
 Downloaded grpcio
 Downloaded numpy
Prepared 3 packages in 517ms
Uninstalled 1 package in 4ms
Installed 3 packages in 19ms
 - grpcio==1.60.0
 + grpcio==1.85.1
 + numpy==1.26.4
 ~ typing-extensions==4.16.0
"""
# pip 24 with `--require-hashes`.
PIP = """\
Looking in links: /opt/wheels
Collecting six==1.17.0 (from -r r.txt (line 1))
  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)
Collecting nvidia-cudnn-cu12==9.24.0.43 (from -r r.txt (line 2))
  Downloading nvidia_cudnn_cu12-9.24.0.43-py3-none-manylinux_2_27_x86_64.whl (799.2 MB)
Processing /opt/files/numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl (from -r r.txt (line 3))
Installing collected packages: six, numpy, nvidia-cudnn-cu12
  Attempting uninstall: six
    Found existing installation: six 1.16.0
    Uninstalling six-1.16.0:
      Successfully uninstalled six-1.16.0
Successfully installed numpy-1.26.4 nvidia-cudnn-cu12-9.24.0.43 six-1.17.0
"""


def shown(keep: object, text: str) -> list[str]:
    return [line for line in map(keep, text.splitlines()) if line]  # type: ignore[call-overload]


def test_uv_shows_the_large_files_and_the_steps() -> None:
    assert shown(UvProgress(large=10), UV) == [
        "Downloading numpy (17.4MiB)",
        " Downloaded numpy",
        "Prepared 3 packages in 517ms",
        "Uninstalled 1 package in 4ms",
        "Installed 3 packages in 19ms",
    ]


def test_a_run_that_only_fills_the_cache_installs_nothing_of_interest() -> None:
    assert shown(UvProgress(fetches=True), UV) == [
        "Prepared 3 packages in 517ms",
        "Uninstalled 1 package in 4ms",
    ]


@pytest.mark.parametrize(("size", "large"), [("1.2GiB", True), ("100.0MiB", True), ("900.0KiB", False)])
def test_uvs_units(size: str, large: bool) -> None:
    assert bool(UvProgress()(f"Downloading x ({size})")) is large


def test_pip_shows_the_large_files_and_that_it_installs() -> None:
    assert shown(pip_progress, PIP) == [
        "Downloading nvidia_cudnn_cu12-9.24.0.43-py3-none-manylinux_2_27_x86_64.whl (799.2 MB)",
        "installing 3 packages ...",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "error: Failed to install: numpy-1.26.4.whl (numpy==1.26.4)",
        "  Caused by: failed to write to file: No space left on device (os error 28)",
        "warning: Failed to hardlink files; falling back to full copy.",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "    Expected sha256 0000",
        "WARNING: Retrying (Retry(total=4)) after connection broken",
        "   Building peewee==3.0",
        "something that no version has said so far",
    ],
)
def test_errors_warnings_and_what_is_not_known_always_stay(line: str) -> None:
    assert UvProgress()(line) == UvProgress(fetches=True)(line) == pip_progress(line) == line


@given(st.text())
def test_any_line_is_shown_or_left_out(line: str) -> None:
    assert UvProgress()(line) in (line, "")
    assert isinstance(pip_progress(line), str)
