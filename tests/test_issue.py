"""`envfix report --for-issue`: the real command on a real (small) environment, with secrets all around it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from envfix.issue import RELEVANT, private_of
from envfix.situation import Situation
from tests.environments import TF
from tests.fakes import FakeOutside
from tests.values import T4, TARGET

SECRETS = {
    "USER": "annabella",
    "HOSTNAME": "ws-anna.corp.example",
    "HF_TOKEN": "hf_abcDEF123456789012345",
    "WANDB_API_KEY": "not-a-known-shape-at-all",
    "PIP_EXTRA_INDEX_URL": "https://robot:s3cr3tpass@mirror.corp.example/simple/",
    "LD_LIBRARY_PATH": "/opt/annas-company/lib:/usr/lib",
}
PRIVATE = ("annabella", "ws-anna", "corp", "hf_abc", "not-a-known", "s3cr3tpass", "robot", "annas-company")
PARTS = (
    "machine", "tensorflow", "checks", "libraries", "packages", "variables",
    "what the compatibility matrix says", "nvidia-smi", "the last lines of TensorFlow's log",
)  # fmt: skip


def test_one_block_with_every_part_and_nothing_private(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    standing(TF)
    done = envfix("report", "--for-issue", "--venv", "demo", **SECRETS)
    # TensorFlow here is a tiny one without devices: that is what the issue is about.
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\*\*(.*)\*\*$", done.stdout, re.M) == list(PARTS)
    assert f"tensorflow=={TF}" in done.stdout and "nvidia-cudnn-cu12==" in done.stdout
    assert "failed build: raised AttributeError" in done.stdout
    assert "LD_LIBRARY_PATH      <path>:/usr/lib" in done.stdout
    assert "PIP_EXTRA_INDEX_URL  https://<url>" in done.stdout
    for secret in (*PRIVATE, str(tmp_path), tmp_path.name):
        assert secret.lower() not in done.stdout.lower(), secret


def test_it_is_written_to_a_file_and_given_as_json(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    standing(TF)
    written = envfix("report", "--for-issue", "--venv", "demo", "-o", "issue.md", **SECRETS)
    assert written.returncode == 0 and written.stdout == ""
    block = (tmp_path / "issue.md").read_text()
    assert block.startswith("### Environment\n")
    answer = json.loads(envfix("report", "--for-issue", "--venv", "demo", "--json", **SECRETS).stdout)
    assert answer["command"] == "report" and answer["exit_code"] == 0
    assert answer["data"]["markdown"].startswith("### Environment\n")
    assert not [secret for secret in PRIVATE if secret in json.dumps(answer).lower()]


@pytest.mark.parametrize(
    "option", [["--machine", "colab-t4"], ["--tf", "2.20"], ["--with", "torch"], ["--cuda", "system"]]
)
def test_options_of_a_decision_do_not_go_with_it(option: list[str]) -> None:
    argv = [sys.executable, "-m", "envfix", "report", "--for-issue", *option]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"`{option[0]}` does not go with it" in done.stderr


def test_what_is_private_is_read_from_the_session_and_its_files() -> None:
    outside = FakeOutside(
        files={
            "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nanna:x:1:1:Anna Example,,,:/home/anna:/bin/sh\n",
            "/etc/hostname": "ws17.corp.example\n",
        },
        environ={
            "HOME": "/home/anna", "GITHUB_TOKEN": "t0k3n-value", "SSH_AUTH_SOCK": "/run/user/1000/agent",
            "PIP_INDEX_URL": "https://robot:pass-word@index.example/", "KEYBOARD": "qwertz",
            "PWD": "/data/project",
        },
    )  # fmt: skip
    here = Situation(target=structs.replace(TARGET, prefix="/data/project/env"), machine=T4, named=False)
    private = private_of(outside, here)
    assert {"anna", "Anna Example"} <= set(private.users) and "root" not in private.users
    assert private.hosts == ("ws17.corp.example", "ws17")
    assert {"/home/anna", "/data/project", "/data/project/env"} <= set(private.folders)
    assert {"t0k3n-value", "robot", "pass-word"} <= set(private.secrets)
    assert "qwertz" not in private.secrets


@pytest.mark.parametrize(
    "name", ["tensorflow", "tf-keras", "nvidia-cudnn-cu12", "torch", "numpy", "envfix-tf"]
)
def test_what_tensorflow_lives_with_is_listed(name: str) -> None:
    assert RELEVANT.match(name)


@pytest.mark.parametrize("name", ["acme-secret-sauce", "requests", "numpy-financial"])
def test_nothing_else_is(name: str) -> None:
    assert not RELEVANT.match(name)
