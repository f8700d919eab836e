"""The whole way, from argv to a changed environment, against a small index on loopback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uv

from envfix.matrix import load
from tests.environments import TF, UNAIDED, contents, install, pins
from tests.index_server import IndexServer


def test_install_then_again_changes_nothing_and_asks_for_nothing(
    envfix: Any, index: IndexServer, tmp_path: Path
) -> None:
    first = envfix(*install("--tf", TF))
    assert first.returncode == 0, first.stderr
    data = json.loads(first.stdout)["data"]
    assert data["tensorflow"] == TF
    assert "tensorflow" in data["changed"] and "nvidia-cudnn-cu12" in data["changed"]
    assert data["restart"]["needed"] is False
    site = next((tmp_path / "demo").glob("lib/python*/site-packages"))
    assert (site / "_envfix_loader.pth").exists()
    versions = {
        name: (site / f"{name.replace('-', '_')}-{pin}.dist-info").is_dir() for name, pin in pins().items()
    }
    assert all(versions.values()), versions

    before = contents(tmp_path / "demo")
    index.asked.clear()
    again = envfix(*install())
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["data"]["changed"] == []
    assert {package["change"] for package in json.loads(again.stdout)["data"]["plan"]["packages"]} == {"keep"}
    assert contents(tmp_path / "demo") == before
    assert index.asked == []


@pytest.mark.slow
def test_what_is_installed_and_fits_stays_until_upgrade(envfix: Any, standing: Callable[[str], Path]) -> None:
    standing("2.19.1")
    kept = json.loads(envfix(*install()).stdout)["data"]
    assert kept["tensorflow"] == "2.19.1" and kept["changed"] == []
    assert any("--upgrade" in note for note in kept["notes"])
    taken = json.loads(envfix(*install("--upgrade")).stdout)["data"]
    assert taken["tensorflow"] == UNAIDED and "tensorflow" in taken["changed"]


@pytest.mark.slow
def test_a_second_environment_takes_its_wheels_from_the_cache(envfix: Any, index: IndexServer) -> None:
    """The index sends no caching headers, as many mirrors do not: 3 GB would be fetched again each time."""
    assert envfix(*install("--tf", TF)).returncode == 0
    index.asked.clear()
    again = [word if word != "demo" else "other" for word in install("--tf", TF)]
    assert envfix(*again).returncode == 0
    assert [line for line in index.asked if line.startswith("GET") and line.endswith(".whl")] == []


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "LIBCUDNN.so.9"])
def test_a_library_that_another_package_took_along_or_overwrote_is_put_back(
    envfix: Any, standing: Callable[[str], Path], content: str | None
) -> None:
    library = standing(TF) / "nvidia/cudnn/lib/libcudnn.so.9"
    library.unlink()
    if content:
        library.write_text(content)
    mended = envfix(*install("--tf", TF))
    assert mended.returncode == 0, mended.stderr
    assert library.read_text() == "libcudnn.so.9"
    because = {one["name"]: one["because"] for one in json.loads(mended.stdout)["data"]["plan"]["packages"]}
    assert "its `libcudnn.so.9`" in because["nvidia-cudnn-cu12"]


def test_the_lock_is_the_same_bytes_each_time_and_installs_as_it_is(envfix: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = envfix(
            "lock",
            "--machine",
            "colab-t4",
            "--tf",
            TF,
            "--python",
            sys.executable,
            "-o",
            f"{name}/pylock.envfix.toml",
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "one/pylock.envfix.toml").read_bytes() == (
        tmp_path / "two/pylock.envfix.toml"
    ).read_bytes()
    text = (tmp_path / "one/requirements.envfix.txt").read_text()
    assert text.count("--hash=sha256:") >= len(pins()) + 2


def test_a_lock_is_installed_and_refused_where_it_does_not_fit(envfix: Any, tmp_path: Path) -> None:
    feature = f"{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / "here.yaml").write_text(
        f"driver: {{release: 550.54.15}}\ngpus: [{{name: Tesla T4, compute_capability: '7.5'}}]\n"
        f"os: linux\narch: x86_64\nglibc: '2.35'\npython: '{feature}'\ncpu_flags: [avx]\n"
    )
    made = envfix("lock", "--machine", "here.yaml", "--tf", TF)
    assert made.returncode == 0, made.stderr
    done = envfix(*install("--lock", "pylock.envfix.toml"))
    assert done.returncode == 0, done.stderr
    again = envfix(*install("--lock", "pylock.envfix.toml"))
    assert json.loads(again.stdout)["data"]["changed"] == []
    other = envfix(
        "install", "--machine", "kaggle-p100", "--venv", "p100", "--lock", "pylock.envfix.toml", "--json"
    )
    assert other.returncode == 7
    assert "7.5" in json.loads(other.stdout)["errors"][0]["message"]
    assert not (tmp_path / "p100").exists()
    plain = (tmp_path / "here.yaml").read_text().replace("cpu_flags: [avx]", "cpu_flags: [sse4_2]")
    (tmp_path / "plain.yaml").write_text(plain)
    weak = envfix(
        "install", "--machine", "plain.yaml", "--venv", "weak", "--lock", "pylock.envfix.toml", "--json"
    )
    assert weak.returncode == 7, weak.stdout
    assert "cpu" in json.loads(weak.stdout)["errors"][0]["message"]
    assert not (tmp_path / "weak").exists()


def test_a_wrong_hash_installs_nothing(envfix: Any, index: IndexServer, tmp_path: Path) -> None:
    wheel = next(name for name in index.wheels if name.startswith("nvidia_cudnn"))
    index.lies[wheel] = "0" * 64
    done = envfix(*install("--tf", TF))
    assert done.returncode == 4, done.stdout
    assert "hash" in json.loads(done.stdout)["errors"][0]["message"].lower()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_release_that_finds_its_libraries_itself_is_right_without_the_loader(
    envfix: Any, standing: Callable[[str], Path], index: IndexServer, tmp_path: Path
) -> None:
    """Colab's TensorFlow is such a one: nothing of it may be touched."""
    standing(TF)
    subprocess.run(
        [uv.find_uv_bin(), "pip", "uninstall", "-q", "-p", tmp_path / "demo", "envfix-loader"], check=True
    )
    before = contents(tmp_path / "demo")
    done = envfix(*install())
    assert json.loads(done.stdout)["data"]["changed"] == []
    assert contents(tmp_path / "demo") == before and index.asked == []


def test_a_loader_that_is_missing_is_planned_and_shown_before_it_comes(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    site = standing(UNAIDED)
    (site / "_envfix_loader.pth").unlink()
    before = contents(tmp_path / "demo")
    dry = json.loads(envfix(*install("--dry-run")).stdout)["data"]
    added = [one["name"] for one in dry["plan"]["packages"] if one["change"] != "keep"]
    assert added == ["envfix-loader"] and contents(tmp_path / "demo") == before
    real = envfix(*install())
    assert json.loads(real.stdout)["data"]["changed"] == ["envfix-loader"]
    assert "envfix-loader" in real.stderr and (site / "_envfix_loader.pth").exists()


def test_a_release_newer_than_the_matrix_is_left_alone(
    envfix: Any, standing: Callable[[str], Path], index: IndexServer
) -> None:
    site = standing(TF)
    info = site / "tensorflow-99.0.0.dist-info"
    (site / f"tensorflow-{TF}.dist-info").rename(info)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 99.0.0\n")
    done = envfix(*install())
    answer = json.loads(done.stdout)["data"]
    assert answer["tensorflow"] == "99.0.0" and answer["changed"] == []
    assert "newer than this matrix" in answer["notes"][0]
    assert info.is_dir() and index.asked == []


def test_an_index_that_does_not_answer_is_said_with_its_name(envfix: Any, tmp_path: Path) -> None:
    done = envfix(*install("--tf", TF), PIP_INDEX_URL="http://user:secret@127.0.0.1:9/simple/")
    assert done.returncode == 4, done.stdout
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({"PIP_INDEX_URL": "notaurl"}, 2, "PIP_INDEX_URL: expected a URL or a folder that is there"),
        ({"PIP_EXTRA_INDEX_URL": "file:///nowhere"}, 2, "PIP_EXTRA_INDEX_URL: expected a folder"),
        ({"PIP_FIND_LINKS": "/nowhere"}, 2, "PIP_FIND_LINKS: expected"),
        ({"PIP_NO_INDEX": "1"}, 2, "pip's `no-index` is set"),
        ({"UV_OFFLINE": "1"}, 4, "UV_OFFLINE: uv's cache does not hold"),
        (
            {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"},
            4,
            "`127.0.0.1:9` did not answer: Connection refused",
        ),
    ],
)
def test_a_wrong_setting_and_a_silent_index_end_differently_and_leave_nothing(
    envfix: Any, tmp_path: Path, variables: dict[str, str], code: int, words: str
) -> None:
    for argv in (install("--tf", TF), ["lock", "--machine", "colab-t4", "--tf", TF, "--json"]):
        done = envfix(*argv, **variables)
        assert done.returncode == code, done.stdout
        assert words in json.loads(done.stdout)["errors"][0]["message"]
        assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", "uv-cache"}


def test_a_machine_of_another_system_is_said_to_be_one(envfix: Any, tmp_path: Path) -> None:
    argv = ["install", "--machine", "windows-rtx-3060", "--tf", TF, "--venv", "demo", "--dry-run", "--json"]
    notes = json.loads(envfix(*argv).stdout)["data"]["notes"]
    assert any("`windows-rtx-3060` runs windows; decided for" in note for note in notes)
    # A report for a named interpreter is about that one too.
    said = envfix(
        "report", "--machine", "windows-rtx-3060", "--python", sys.executable, "--offline", "--json"
    )
    assert json.loads(said.stdout)["data"]["machine"]["os"] == "linux"


def test_a_dry_run_touches_nothing(envfix: Any, tmp_path: Path) -> None:
    done = envfix(*install("--tf", TF, "--dry-run"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["plan"]["download_bytes"] > 0
    assert not (tmp_path / "demo").exists()


def test_a_dry_run_refuses_what_the_real_run_would(envfix: Any, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "photo.jpg").touch()
    for more in ([], ["--dry-run"]):
        done = envfix(*install("--tf", TF, *more))
        assert done.returncode == 2, done.stdout
        assert "a folder with other files" in json.loads(done.stdout)["errors"][0]["message"]
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["photo.jpg"]


def test_verification_that_fails_is_exit_6(envfix: Any) -> None:
    """The tiny TensorFlow imports, but has no devices: nothing may be claimed."""
    argv = [word for word in install("--tf", TF) if word != "--no-verify"]
    done = envfix(*argv)
    assert done.returncode == 6, done.stderr
    answer = json.loads(done.stdout)
    assert answer["data"]["verification"]["proof"] is None
    assert answer["errors"][0]["code"] == "verification-failed"


def test_without_a_gpu_nothing_is_asked_for(envfix: Any, index: IndexServer) -> None:
    done = envfix("install", "--machine", "no-gpu", "--json")
    assert done.returncode == 3
    assert index.asked == []
    assert "Traceback" not in done.stderr


def test_report_offline_touches_no_network(envfix: Any, index: IndexServer) -> None:
    done = envfix("report", "--machine", "colab-t4", "--offline", "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)["data"]
    assert answer["plan"] is None and answer["recommended"]
    assert index.asked == []


def test_an_offline_report_recalls_the_plan_of_an_earlier_one(envfix: Any, index: IndexServer) -> None:
    argv = ["report", "--machine", "colab-t4", "--tf", TF, "--json"]
    online = json.loads(envfix(*argv).stdout)["data"]["plan"]
    index.asked.clear()
    offline = json.loads(envfix(*argv, "--offline").stdout)["data"]["plan"]
    assert online is not None and offline == online
    assert index.asked == []


def test_a_kernel_that_started_before_the_hook_is_advised_to_restart(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    """The hook is a `.pth` file: without a restart the kernel's TensorFlow would miss its libraries."""
    site = standing(UNAIDED)
    for path in (*site.glob("_envfix_loader.pth"), *site.glob("envfix_loader-*.dist-info/*")):
        path.unlink()
    next(site.glob("envfix_loader-*.dist-info")).rmdir()
    kernel = tmp_path / "ipykernel_launcher.py"
    kernel.write_text("import subprocess, sys\nsys.exit(subprocess.run(sys.argv[1:]).returncode)\n")
    done = envfix(*install(), under=[str(tmp_path / "demo/bin/python"), str(kernel)])
    assert done.returncode == 0, done.stderr
    restart = json.loads(done.stdout)["data"]["restart"]
    assert restart["needed"] is True and "envfix-loader" in restart["reason"]


def test_a_named_colab_machine_does_not_make_this_python_the_notebooks(envfix: Any, tmp_path: Path) -> None:
    """PEP 668: whose interpreter it is follows from where envfix runs, not from `--machine`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "system"], check=True)
    python = tmp_path / "python3"
    managed = 's|"externally_managed": ""|"externally_managed": "/usr/lib/python3/EXTERNALLY-MANAGED"|'
    python.write_text(f"#!/bin/sh\n{tmp_path}/system/bin/python \"$@\" | sed '{managed}'\n")
    python.chmod(0o755)
    done = envfix("install", "--machine", "colab-t4", "--python", str(python), "--tf", TF, "--yes", "--json")
    assert done.returncode == 2, done.stdout
    assert "PEP 668" in json.loads(done.stdout)["errors"][0]["message"]


def test_a_lock_that_cannot_be_written_is_one_sentence(envfix: Any) -> None:
    done = envfix("lock", "--machine", "colab-t4", "--tf", TF, "-o", "absent/pylock.envfix.toml")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        "error: `absent/pylock.envfix.toml` cannot be written: No such file or directory"
    )


def test_a_lock_for_the_cpu_needs_no_gpu_and_no_option(envfix: Any, tmp_path: Path) -> None:
    here = f"python: '{sys.version_info.major}.{sys.version_info.minor}'\n"
    shipped = Path(load.matrix_dir(), "machines/colab-t4.yaml").read_text()
    (tmp_path / "here.yaml").write_text(re.sub("(?m)^python:.*\n", here, shipped))
    assert envfix("lock", "--machine", "here.yaml", "--tf", TF).returncode == 0
    lock = tmp_path / "pylock.envfix.toml"
    lock.write_text(lock.read_text().replace('accelerator = "gpu"', 'accelerator = "cpu"'))
    argv = ["--machine", "no-gpu", "--venv", "cpu", "--lock", lock.name, "--yes", "--no-verify", "--json"]
    done = envfix("install", *argv)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["data"]["accelerator"] == "cpu"


def test_a_release_that_does_not_exist_is_said_with_the_nearest(envfix: Any, tmp_path: Path) -> None:
    done = envfix(*install("--tf", "2.99.0"))
    assert done.returncode == 2, done.stdout
    problem = json.loads(done.stdout)["errors"][0]
    assert "2.99.0" in problem["message"] and "2.21.0" in problem["hint"]
    assert not (tmp_path / "demo").exists()


def test_verify_of_an_environment_that_is_not_there_is_a_usage_error(envfix: Any) -> None:
    done = envfix("verify", "--machine", "colab-t4", "--venv", "absent", "--json")
    assert done.returncode == 2 and "absent" in json.loads(done.stdout)["errors"][0]["message"]


def test_a_companion_without_a_solution_fits_no_release(envfix: Any) -> None:
    done = envfix("report", "--machine", "colab-t4", "--with", "absl-py==99", "--json")
    assert done.returncode == 3, done.stdout
    answer = json.loads(done.stdout)
    assert (answer["data"]["recommended"], answer["data"]["remedies"]) == (None, [])
    assert "`--with` has no solution" in answer["errors"][0]["message"]
