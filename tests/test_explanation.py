"""What an installer printed, and the one sentence that is made of it."""

from __future__ import annotations

import pytest

from envfix.explanation import why_failed
from envfix.ports import Ran

A, B = "a" * 64, "b" * 64
UV_HASH = f"""Resolved 2 packages in 3ms
error: Failed to download `numb==2.0`
  cause: Hash mismatch for `numb==2.0`
         Expected:
           sha256:{A}
         Computed:
           sha256:{B}
"""
UV_HASHES = UV_HASH.replace(f"sha256:{A}\n", f"sha256:{A}\n           sha256:{A[1:]}c\n")
OLD_UV_HASH = f"""  \N{MULTIPLICATION SIGN} Failed to download `numb==2.0`
  ╰─▶ Hash mismatch for `numb==2.0`

      Expected:
        sha256:{A}

      Computed:
        sha256:{B}
"""
PIP_HASH = f"""Collecting numb==2.0
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package \
versions, please update the hashes. Otherwise, examine the package contents carefully.
    numb==2.0 from http://127.0.0.1:1/files/numb.whl#sha256={A} (from -r requirements.txt (line 1)):
        Expected sha256 {A}
             Got        {B}

"""
SAID = f"the file of `numb==2.0` has another hash than the locked one: needs SHA-256 {A}, found {B}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (UV_HASH, SAID),
        (OLD_UV_HASH, SAID),
        (PIP_HASH, SAID),
        (UV_HASHES, SAID.replace(A, f"{A} or 1 other")),
        (
            "Resolved 1 package in 3ms\nerror: Failed to download `x==1`\n"
            "  cause: Failed to fetch: https://me:s3cr3t@h/x.whl\n"
            "  cause: operation timed out (os error 110)\n",
            "Failed to download `x==1`: Failed to fetch: https://****@h/x.whl: operation timed out",
        ),
        (
            "error: Could not acquire lock\n  cause: Could not create temporary file\n"
            '  cause: Read-only file system (os error 30) at path "/c/.tmpX"\n',
            "Could not acquire lock: Could not create temporary file: Read-only file system",
        ),
        ("ERROR: No matching distribution found for x==1\n", "No matching distribution found for x==1"),
        ("one\ntwo\nthree\nfour\n", "two: three: four"),
        ("", "exit 2, its message is above"),
    ],
)
def test_an_installers_failure_is_one_sentence(text: str, said: str) -> None:
    assert why_failed(Ran(("uv",), 2, "", text)) == said


def test_a_signal_a_time_out_and_a_flood_are_said() -> None:
    assert why_failed(Ran(("uv",), -9, "", "")) == "ended by signal 9"
    assert why_failed(Ran(("uv",), None, "", "", error="timed out after 3 s")) == "timed out after 3 s"
    long = why_failed(Ran(("uv",), 1, "", "error: " + "much " * 1000))
    assert len(long) < 1000 and long.endswith(" ...")
