"""Attestations that an index publishes: a real one verifies, one that was tampered with stops everything.

The trust root is the one that sigstore ships: a proxy that nobody answers stands before any newer one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envfix.model.attestation import Attestations, Attested, Standing
from envfix.model.plan import LockedFile
from envfix.render.outcome import attested
from envfix.system.attestations import attester
from tests.environments import TF, install
from tests.index_server import IndexServer, build_wheel

NAME = "circleci_sign_publish_example-0.0.1.dev137-py3-none-any.whl"
REAL = (Path(__file__).parent / "data/attestations/circleci.provenance.json").read_bytes()
SHA256 = "8cb34da1e27336f11a2c43f3f9c7433bd76f24f470c904724f06ad7f131d9e9f"
DEAD = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
WITH = ("--tf", TF, "--with", "circleci-sign-publish-example==0.0.1.dev137", "--attestations", "--json")


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The real object with a change to its only bundle."""
    made = json.loads(REAL)
    change(made["attestation_bundles"][0])
    return json.dumps(made).encode()


def another_signature(bundle: dict[str, Any]) -> None:
    envelope = bundle["attestations"][0]["envelope"]
    at = len(envelope["signature"]) // 2
    old = envelope["signature"]
    envelope["signature"] = old[:at] + ("A" if old[at] != "A" else "B") + old[at + 1 :]


def another_publisher(bundle: dict[str, Any]) -> None:
    bundle["publisher"]["vcs_origin"] = "github.com/somebody/else"


def another_log(bundle: dict[str, Any]) -> None:
    (entry,) = bundle["attestations"][0]["verification_material"]["transparency_entries"]
    entry["kindVersion"]["version"] = "9.0.1"


def no_signature(bundle: dict[str, Any]) -> None:
    bundle["attestations"][0]["envelope"]["signature"] = ""


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Attested]:
    pytest.importorskip("pypi_attestations", reason="the extra `attestations` is not installed")
    for name, value in {**DEAD, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)

    def verify(provenance: bytes, sha256: str = SHA256, name: str = NAME) -> Attested:
        checks = attester()
        assert checks is not None
        return checks.verify(LockedFile(filename=name, url="https://x.example/x", sha256=sha256), provenance)

    return verify


def test_a_real_attestation_verifies(verified: Callable[..., Attested]) -> None:
    found = verified(REAL)
    assert (found.standing, found.reason) == (Standing.VERIFIED, "")
    assert found.publisher == "CircleCI github.com/CircleCI-Public/sign-and-publish-examples"


@pytest.mark.parametrize(
    ("provenance", "sha256", "name", "reason"),
    [
        (REAL, "0" * 64, NAME, "subject does not match distribution digest"),
        (REAL, SHA256, "other-1.0-py3-none-any.whl", "subject does not match distribution name"),
        (changed(another_signature), SHA256, NAME, "signature"),
        (changed(another_publisher), SHA256, NAME, "does not match"),
    ],
    ids=["digest", "name", "signature", "publisher"],
)
def test_what_was_tampered_with_does_not_verify(
    provenance: bytes, sha256: str, name: str, reason: str, verified: Callable[..., Attested]
) -> None:
    found = verified(provenance, sha256, name)
    assert found.standing is Standing.FAILED
    assert reason in found.reason


@pytest.mark.parametrize(
    "provenance",
    [b"", b"rubbish", b"[]", b"{}", b'{"version": 2, "attestation_bundles": []}', b"\xff\xfe",
     b'{"version": 1, "attestation_bundles": []}',
     changed(lambda bundle: bundle["publisher"].update(kind="a kind of tomorrow")),
     changed(lambda bundle: bundle.update(attestations=[])),
     changed(another_log), changed(no_signature)],
)  # fmt: skip
def test_what_is_not_understood_is_not_checked(provenance: bytes, verified: Callable[..., Attested]) -> None:
    found = verified(provenance)
    assert found.standing is Standing.NOT_CHECKED
    assert found.reason


@pytest.fixture
def lock(envfix: Any, index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`envfix lock`, where a wheel of the index passes for the real one, with what is attested of that."""
    built = build_wheel("circleci-sign-publish-example", "0.0.1.dev137")
    assert built.filename == NAME
    monkeypatch.setitem(index.wheels, NAME, built)
    monkeypatch.setitem(index.provenance, NAME, REAL)
    monkeypatch.setitem(index.lies, NAME, SHA256)
    return lambda *argv, **extra: envfix("lock", "--machine", "colab-t4", *argv, **{**DEAD, **extra})


def found_by(done: Any) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]["attestations"]


def test_a_lock_says_who_made_a_file(lock: Callable[..., Any]) -> None:
    pytest.importorskip("pypi_attestations", reason="the extra `attestations` is not installed")
    done = lock(*WITH)
    found = found_by(done)
    assert (found["published"], found["verified"], found["not_checked"]) == (1, 1, None)
    assert found["files"] > 10
    assert found["publishers"][NAME].startswith("CircleCI ")
    assert "TUF" not in done.stderr


def test_a_tampered_file_stops_everything_before_the_first_change(
    lock: Callable[..., Any], envfix: Any, index: IndexServer, tmp_path: Path
) -> None:
    pytest.importorskip("pypi_attestations", reason="the extra `attestations` is not installed")
    del index.lies[NAME]  # the page has the hash of the wheel that is there, and that is another one
    done = envfix(*install(*WITH[:-1]), **DEAD)
    assert done.returncode == 4, done.stdout
    (error,) = json.loads(done.stdout)["errors"]
    assert error["code"] == "attestation-failed"
    assert NAME in error["message"] and "digest" in error["message"]
    assert not (tmp_path / "demo").exists()


@pytest.mark.live
def test_no_lock_is_written_of_a_tampered_file(
    lock: Callable[..., Any], index: IndexServer, tmp_path: Path
) -> None:
    pytest.importorskip("pypi_attestations", reason="the extra `attestations` is not installed")
    del index.lies[NAME]
    assert lock(*WITH).returncode == 4
    assert not (tmp_path / "pylock.envfix.toml").exists()


def test_without_the_extra_it_says_what_to_install(lock: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first/pypi_attestations.py").write_text("raise ImportError")
    path = os.pathsep.join((str(tmp_path / "first"), str(Path(__file__).parent.parent)))
    found = found_by(lock(*WITH, PYTHONPATH=path))
    assert (found["published"], found["verified"]) == (1, 0)
    assert "pip install 'envfix-tf[attestations]'" in found["not_checked"]


@pytest.mark.live
def test_where_nothing_is_attested_nothing_fails(lock: Callable[..., Any], index: IndexServer) -> None:
    index.provenance.clear()
    found = found_by(lock(*WITH))
    assert (found["published"], found["verified"], found["not_checked"]) == (0, 0, None)


@pytest.mark.live
def test_what_does_not_answer_is_not_checked(lock: Callable[..., Any], index: IndexServer) -> None:
    pytest.importorskip("pypi_attestations", reason="the extra `attestations` is not installed")
    index.faults[f"/attested/{NAME}"] = 404
    found = found_by(lock(*WITH))
    assert (found["verified"], found["publishers"]) == (0, {})
    assert "404" in found["not_checked"]


def test_nobody_pays_who_does_not_ask(lock: Callable[..., Any], index: IndexServer) -> None:
    assert found_by(lock(*WITH[:-2], "--json")) is None
    assert not [request for request in index.asked if "/attested/" in request]


def test_the_line_says_what_was_checked() -> None:
    good = Attested(filename="a.whl", standing=Standing.VERIFIED, publisher="GitHub a/b")
    other = Attested(filename="b.whl", standing=Standing.NOT_CHECKED, reason="no trust root")
    lines = [
        attested(found)
        for found in (
            None,
            Attestations(looked_up=3),
            Attestations(looked_up=3, published=(good, good)),
            Attestations(looked_up=3, published=(good, other), unread="the index did not answer"),
        )
    ]
    assert lines == [
        [],
        ["attested 0 of 3 files have attestations"],
        ["attested 2 of 3 files have attestations, and they verify"],
        ["attested 2 of 3 files have attestations; 1 of them verified, not checked: the index did not "
         "answer; no trust root"],
    ]  # fmt: skip
