"""What the cases teach: facts decide between candidates, the first cause wins, nothing is set up in vain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envfix import diagnosing
from envfix.diagnose.explain import explain
from envfix.diagnose.remedy import INSTALL, NO_GPU
from envfix.matrix.load import matrix_dir
from envfix.model.diagnosis import Explained, Finding
from envfix.render import json as json_render
from envfix.render import text as text_render
from envfix.situation import Parts, Where
from tests import shipped
from tests.fakes import FakeOutside
from tests.test_diagnose_cases import whole

NOT_INITIALIZED = "E cuda_dnn.cc:389] Could not create cudnn handle: CUDNN_STATUS_NOT_INITIALIZED\n"
DLOPEN = "W gpu_device.cc:1956] Cannot dlopen some GPU libraries. Please make sure the missing libraries\n"
CUINIT_100 = (
    "E cuda_driver.cc:267] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n"
)
T4 = {
    "os": "linux",
    "driver": {"release": "550.54.15", "cuda": "12.4"},
    "gpus": [{"name": "Tesla T4", "compute_capability": "7.5"}],
}
NO_GPU_HERE = {"os": "linux", "driver": None, "gpus": []}


def found(text: str, **facts: Any) -> list[Finding]:
    return list(explain([text.encode()], shipped.machine(facts) if facts else None, whole()))


def families(text: str, **facts: Any) -> list[str]:
    return [finding.family.value for finding in found(text, **facts)]


def causes(text: str, **facts: Any) -> list[str]:
    return [finding.cause for finding in found(text, **facts)]


def test_without_a_machine_an_ambiguous_text_gives_its_candidates_in_order() -> None:
    candidates = found(NOT_INITIALIZED)
    assert [each.family.value for each in candidates][:1] == ["memory"]
    assert "cudnn-mismatch" in [each.family.value for each in candidates]
    assert all(each.confidence < 0.85 for each in candidates)
    assert [each.confidence for each in candidates if not each.follows] == sorted(
        (each.confidence for each in candidates if not each.follows), reverse=True
    )


@pytest.mark.parametrize(
    ("text", "facts", "family"),
    [
        (CUINIT_100, {"os": "linux", "wsl": True}, "driver-state"),
        (CUINIT_100, {**T4, "environment": {"CUDA_VISIBLE_DEVICES": "-1"}}, "visibility"),
        (CUINIT_100, {"platform": "colab", "os": "linux", "gpus": []}, "no-gpu-assigned"),
        (DLOPEN, T4, "cuda-libs-not-found"),
        (DLOPEN, NO_GPU_HERE, "no-gpu-assigned"),
        (DLOPEN, {"os": "macos"}, "wrong-build-for-platform"),
        (NOT_INITIALIZED, {"gpus": [{"name": "Tesla K80", "compute_capability": "3.7"}]}, "driver-too-old"),
        (
            "Num GPUs Available:  0\n",
            {"os": "windows", "wsl": False, "installed": {"tensorflow": "2.12.0"}},
            "wrong-build-for-platform",
        ),
        (
            "Blas GEMM launch failed\n",
            {"gpus": [{"compute_capability": "8.6"}], "installed": {"tensorflow": "1.15.0"}},
            "gpu-architecture",
        ),
        (
            "Blas GEMM launch failed\n",
            {"gpus": [{"compute_capability": "6.1"}], "installed": {"tensorflow": "1.15.0"}},
            "memory",
        ),
    ],
)
def test_the_machine_decides(text: str, facts: dict[str, Any], family: str) -> None:
    assert families(text, **facts)[0] == family


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"platform": "colab", "os": "linux", "gpus": []}, "no-gpu-in-session"),
        ({"os": "macos"}, "macos-has-no-cuda"),
        ({"os": "linux", "arch": "x86_64", "cpu_flags": ["sse4_2"]}, "cpu-without-avx"),
        ({"driver": None, "gpus": [{"name": "Tesla T4"}]}, "driver-library-missing"),
        ({"environment": {"CUDA_VISIBLE_DEVICES": ""}}, "hidden-device"),
        ({"environment": {"LD_LIBRARY_PATH": "/usr/local/cuda/lib64/stubs"}}, "driver-library-is-stub"),
        ({"environment": {"LD_LIBRARY_PATH": "/usr/local/cuda/compat:/x"}}, "compat-in-use"),
        ({"installed": {"tensorflow": "2.10.1", "numpy": "2.1.0"}}, "numpy-abi"),
        ({"installed": {"tensorflow": "2.10.1", "protobuf": "5.28.0"}}, "protobuf-generated-code"),
        ({"installed": {"tensorflow-gpu": "2.12.0"}}, "tensorflow-gpu-removed"),
        ({"os": "windows", "wsl": False, "installed": {"tensorflow": "2.16.1"}}, "windows-without-cuda"),
        (
            {
                "os": "linux",
                "wsl": False,
                "driver": {"release": "470.82.01"},
                "installed": {"tensorflow": "2.18.0"},
            },
            "driver-older-than-runtime",
        ),
        (
            {"gpus": [{"compute_capability": "6.1"}], "installed": {"nvidia-cudnn-cu12": "9.12.0.46"}},
            "cudnn-dropped-this-gpu",
        ),
        (
            {**T4, "installed": {"tensorflow": "2.21.0", "nvidia-cudnn-cu12": "9.3.0.75"}},
            "loader-of-this-release",
        ),
        (
            {"installed": {"tensorflow": "2.18.0", "torch": "2.4.1", "nvidia-cudnn-cu12": "9.1.0.70"}},
            "shared-nvidia-wheels",
        ),
    ],
)
def test_facts_speak_without_a_log(facts: dict[str, Any], cause: str) -> None:
    assert causes("", **facts)[0] == cause


def test_a_machine_in_order_says_nothing() -> None:
    assert found("", **T4) == []


def test_what_is_unknown_is_neither_yes_nor_no() -> None:
    assert causes("", gpus=[{"name": "Some GPU"}], installed={"nvidia-cudnn-cu12": "9.12.0.46"}) == []


def test_803_and_804_are_told_apart() -> None:
    older = "failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: system has unsupported display driver / cuda driver combination"
    newer = "failed call to cuInit: CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE: forward compatibility was attempted on non supported HW"
    assert causes(older)[0] == "driver-mismatch-803"
    assert causes(newer)[0] == "compat-not-supported"


def test_the_reason_after_dlerror_counts_not_the_quoted_name() -> None:
    text = "Could not load library libcudnn_cnn_infer.so.8. Error: libcuda.so: cannot open shared object file: No such file\n"
    assert causes(text)[0] == "wsl-unversioned-libcuda"
    own = "Could not load library libcudnn_cnn_infer.so.8. Error: libcudnn_cnn_infer.so.8: cannot open shared object file\n"
    assert causes(own)[0] == "cudnn-library-not-found"


def test_the_first_cause_wins() -> None:
    text = (
        "'cuModuleLoadData(&module, data)' failed with 'CUDA_ERROR_UNSUPPORTED_PTX_VERSION'\n"
        "'cuModuleGetFunction(&function, module, kernel_name)' failed with 'CUDA_ERROR_INVALID_HANDLE'\n"
    )
    first, second = found(text)[:2]
    assert (first.cause, first.follows) == ("ptx-newer-than-driver", None)
    assert (second.cause, second.follows) == ("no-kernel-for-this-gpu", "ptx-newer-than-driver")


def test_a_numa_line_is_harmless_and_speaks_for_the_driver() -> None:
    numa = "successful NUMA node read from SysFS had negative value (-1), but there must be at least one NUMA node\n"
    lone = found(DLOPEN)[0]
    with_numa = found(numa + DLOPEN)
    assert with_numa[0].cause == lone.cause and with_numa[0].confidence > lone.confidence
    assert with_numa[-1].benign and with_numa[-1].evidence[0].startswith("successful NUMA")


def test_nvidia_smi_names_a_ceiling_and_its_table_is_read() -> None:
    table = (
        "| NVIDIA-SMI 470.161.03   Driver Version: 470.161.03   CUDA Version: 11.8     |\n"
        "|   0  Tesla V100-SXM2  Off  | 00000000:06:00.0 Off |                  N/A |\n"
        "| N/A   44C    P0    66W / 300W |  15900MiB / 16160MiB |      0%      Default |\n"
        "|    0   N/A  N/A      4321      C   /usr/bin/python3                15890MiB |\n"
    )
    assert causes(table)[:2] == ["compat-in-use", "gpu-memory-held"]
    plain = table.replace("CUDA Version: 11.8", "CUDA Version: 11.4").replace("15900MiB", "  100MiB")
    assert causes(plain) == []


def test_a_soname_is_said_to_belong_to_its_libraries() -> None:
    text = "Could not load dynamic library 'libcudart.so.11.0'; dlerror: libcudart.so.11.0: cannot open shared object file\n"
    assert "every CUDA 11 release" in found(text)[0].explanation


def test_severity_letters_say_nothing() -> None:
    error = found(
        "E external/cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting to register factory for plugin cuDNN\n"
    )
    info = found(
        "I tensorflow/tsl/cuda/cudart_stub.cc:28] Could not find cuda drivers on your machine, GPU will not be used.\n"
    )
    assert error[0].benign and not info[0].benign


@pytest.mark.parametrize(
    "facts", [NO_GPU_HERE, {"os": "macos"}, {"platform": "kaggle", "os": "linux", "gpus": []}]
)
@pytest.mark.parametrize(
    "text", [DLOPEN, CUINIT_100, "Could not load dynamic library 'libcudnn.so.8'; dlerror: x\n", ""]
)
def test_no_install_for_a_machine_that_can_have_no_gpu(text: str, facts: dict[str, Any]) -> None:
    for finding in found(text, **facts):
        assert [
            step for step in finding.fix if INSTALL.search(step) and not step.startswith(NO_GPU[:12])
        ] == []


def test_a_package_can_still_be_mended_where_there_is_no_gpu() -> None:
    fix = next(
        each.fix
        for each in found("AttributeError: _ARRAY_API not found\n", **NO_GPU_HERE)
        if each.cause == "numpy-abi"
    )
    assert any("numpy<2" in step for step in fix)


def test_commands_are_written_for_the_platform() -> None:
    colab = found(DLOPEN, platform="colab", **T4)[0].fix
    linux = found(DLOPEN, platform="terminal", **T4)[0].fix
    windows = found(DLOPEN, os="windows", wsl=False)[0].fix
    assert "!envfix install" in colab and "envfix install" in linux
    assert any("WSL2" in step for step in windows) and not any("LD_LIBRARY_PATH" in step for step in windows)


def parts(**files: str) -> Parts:
    data = {
        f"{matrix_dir()}/{name}": (Path(matrix_dir()) / name).read_text()
        for name in ("failures.yaml", "log_facts.yaml")
    }
    outside = FakeOutside(files={**data, **{f"/{name}.log": text for name, text in files.items()}})
    return Parts(outside=outside, matrix_dir=matrix_dir(), index=None, resolver=None)  # type: ignore[arg-type]


def test_a_log_is_judged_alone_unless_it_is_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    here = parts(log=DLOPEN, own='File "/env/lib/python3.12/site-packages/tensorflow/x.py"\n' + DLOPEN)
    here.outside.files["/env/lib/python3.12/site-packages/tensorflow/__init__.py"] = ""  # type: ignore[attr-defined]
    monkeypatch.setattr(diagnosing, "_machine", lambda parts, where: shipped.machine(NO_GPU_HERE))
    assert diagnosing.explain(here, Where(), "/log.log").judged_by == diagnosing.ALONE
    assert diagnosing.explain(here, Where(), "/own.log").judged_by == diagnosing.HERE
    assert (
        diagnosing.explain(here, Where(machine="this"), "/log.log").findings[0].cause == "no-gpu-in-session"
    )


def test_where_nothing_is_recognised_it_says_what_to_collect() -> None:
    told = diagnosing.explain(parts(log="all is well\n"), Where(), "/log.log")
    assert told.findings == () and "nvidia-smi" in told.collect
    shown = text_render.result(told)
    assert "nothing that envfix knows was recognised" in shown and "collect  nvidia-smi" in shown


def test_the_json_is_the_contract() -> None:
    told = diagnosing.explain(parts(log=DLOPEN + CUINIT_100), Where(), "/log.log")
    content = json.loads(json_render.success("explain", told, 0))
    assert content["exit_code"] == 0 and content["errors"] == []
    for finding in content["data"]["findings"]:
        assert {"cause", "family", "confidence", "benign", "evidence", "explanation", "fix"} <= set(finding)
        assert 0 < finding["confidence"] < 1 and isinstance(finding["benign"], bool) and finding["fix"]


def test_the_text_puts_the_cause_first_and_harmless_lines_last() -> None:
    numa = "successful NUMA node read from SysFS had negative value (-1)\n"
    lines = text_render.result(Explained(findings=tuple(found(numa + DLOPEN)))).splitlines()
    assert lines[0].startswith("cause    gpu-libraries-not-found (cuda-libs-not-found): ")
    assert [line for line in lines if line.startswith(("cause", "harmless"))][-1].startswith("harmless")
    assert any(line == "         | " + DLOPEN.strip() for line in lines)


def run(*argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "envfix", "explain", *argv],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_reads_standard_input_and_ends_with_0() -> None:
    done = run("-", "--json", "--machine", "colab-t4", text=DLOPEN)
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["data"]["findings"][0]["family"] == "cuda-libs-not-found"
    assert run("-", text="nothing\n").returncode == 0


def test_an_unreadable_file_is_bad_input(tmp_path: Path) -> None:
    for path in (tmp_path / "none.log", tmp_path):
        done = run(str(path))
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith(f"error: `{path}` cannot be read: ")
    done = run(str(tmp_path), "--json")
    assert json.loads(done.stdout)["errors"][0]["code"] == "bad-input"
