"""What the cases teach: facts decide between candidates, the first cause wins, nothing is set up in vain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envfix import diagnosing
from envfix.diagnose import told as telling
from envfix.diagnose.document import Document
from envfix.diagnose.explain import explain
from envfix.diagnose.remedy import INSTALL
from envfix.matrix.load import matrix_dir
from envfix.model.diagnosis import Explained, Finding
from envfix.reading import parse_yaml
from envfix.render import json as json_render
from envfix.render import text as text_render
from envfix.situation import Parts, Where
from tests import shipped
from tests.fakes import FakeOutside
from tests.test_diagnose_cases import DATA, whole

FACTS: dict[str, Any] = parse_yaml((DATA / "facts.yaml").read_text(), "facts.yaml")
TEXTS: dict[str, str] = FACTS["texts"]
NOT_INITIALIZED, DLOPEN, CUINIT_100 = TEXTS["cudnn-not-initialized"], TEXTS["dlopen"], TEXTS["cuinit-100"]
T4 = {
    "os": "linux",
    "driver": {"release": "550.54.15", "cuda": "12.4"},
    "gpus": [{"name": "Tesla T4", "compute_capability": "7.5"}],
}
NO_GPU_HERE = FACTS["without_gpu"][0]
SHIPPED = ("failures.yaml", "log_facts.yaml")


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


@pytest.mark.parametrize("case", FACTS["together"], ids=lambda case: f"{case['text']} {case['family']}")
def test_the_machine_decides(case: dict[str, Any]) -> None:
    assert families(TEXTS[case["text"]], **case["machine"])[0] == case["family"]


@pytest.mark.parametrize("case", FACTS["alone"], ids=lambda case: str(case["cause"]))
def test_facts_speak_without_a_log(case: dict[str, Any]) -> None:
    """What is in order, or unknown, says nothing."""
    assert next(iter(causes("", **case["machine"])), None) == case["cause"]


def test_803_and_804_are_told_apart() -> None:
    assert causes("failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH")[0] == "driver-mismatch-803"
    assert causes("cuInit: CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE")[0] == "compat-not-supported"


def test_the_reason_after_dlerror_counts_not_the_quoted_name() -> None:
    head = "Could not load library libcudnn_cnn_infer.so.8. Error: "
    tail = ": cannot open shared object file: No such file or directory\n"
    assert causes(f"{head}libcuda.so{tail}")[0] == "wsl-unversioned-libcuda"
    assert causes(f"{head}libcudnn_cnn_infer.so.8{tail}")[0] == "cudnn-library-not-found"


def test_the_first_cause_wins() -> None:
    text = (
        "'cuModuleLoadData(&module, data)' failed with 'CUDA_ERROR_UNSUPPORTED_PTX_VERSION'\n"
        "'cuModuleGetFunction(&function, module, kernel_name)' failed with 'CUDA_ERROR_INVALID_HANDLE'\n"
    )
    first, second = found(text)[:2]
    assert (first.cause, first.follows) == ("ptx-newer-than-driver", None)
    assert (second.cause, second.follows) == ("no-kernel-for-this-gpu", "ptx-newer-than-driver")


def test_a_numa_line_is_harmless_and_speaks_for_the_driver() -> None:
    numa = "successful NUMA node read from SysFS had negative value (-1), but there must be one\n"
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
    assert any("/usr/bin/python3 (pid 4321) 15890 MiB" in line for line in found(table)[1].evidence)
    plain = table.replace("CUDA Version: 11.8", "CUDA Version: 11.4").replace("15900MiB", "  100MiB")
    assert causes(plain) == []


MISSING = "ImportError: {}: cannot open shared object file: No such file or directory\n"


@pytest.mark.parametrize(
    ("soname", "named", "family"),
    [
        ("libcudart.so.11.0", "CUDA 11.2", "cuda-libs-not-found"),
        ("libcudart.so.11.0", "CUDA 10.2", "cuda-major-mismatch"),
        ("libcublas.so.10.0", "Cuda version: 10.0", "cuda-libs-not-found"),
        ("libcublas.so.10.0", "Cuda version: 10.1", "cuda-major-mismatch"),
        ("libcublas.so.12", "cuda 12 installed", "cuda-libs-not-found"),
        ("libcudart.so.11.0", "Driver Version: 535.129.03   CUDA Version: 12.2", "cuda-major-mismatch"),
    ],
)
def test_the_named_cuda_is_compared_with_that_of_the_library(soname: str, named: str, family: str) -> None:
    text = MISSING.format(soname) + named
    assert families(text)[0] == family
    # What nvidia-smi calls CUDA Version is the driver's, which says nothing of a toolkit.
    markers = telling.read(Document(text), whole()).markers
    assert ("toolkit-not-of-the-missing" in markers) == (
        family.endswith("mismatch") and "Driver" not in named
    )


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\njson.decoder.JSONDecodeError: Expecting value: line 1",
        "docker run -it ubuntu bash\nConnectionRefusedError: [Errno 111] Connection refused",
        "npm ERR! ERESOLVE unable to resolve dependency tree",
        "on the host it is fine and in the container it is not",
        "CUDA 12.4, tensorflow 2.18, an RTX 3090: all works, also after a suspend",
        "ssh: connect to host 10.0.0.5 port 802: Connection refused",
        "1875/1875 [==============================] - 8s 4ms/step - loss: 0.2927 - accuracy: 0.9157",
    ],
)
def test_what_is_no_such_failure_is_recognised_as_nothing(text: str) -> None:
    assert causes(text) == []


def test_a_soname_is_said_to_belong_to_its_libraries() -> None:
    text = "Could not load dynamic library 'libcudart.so.11.0'; dlerror: libcudart.so.11.0: cannot open\n"
    assert "every CUDA 11 release" in found(text)[0].explanation


def test_severity_letters_say_nothing() -> None:
    error = found("E external/cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting to register\n")
    info = found("I cudart_stub.cc:28] Could not find cuda drivers on your machine, GPU will not be used.\n")
    assert error[0].benign and not info[0].benign


@pytest.mark.parametrize("facts", FACTS["without_gpu"], ids=str)
@pytest.mark.parametrize("text", ["dlopen", "cuinit-100", "no-cudnn", "nothing"])
def test_no_install_for_a_machine_that_can_have_no_gpu(text: str, facts: dict[str, Any]) -> None:
    told = [step for finding in found(TEXTS[text], **facts) for step in finding.fix]
    assert [step for step in told if INSTALL.search(step)] == []


def test_a_package_can_still_be_mended_where_there_is_no_gpu() -> None:
    told = found("AttributeError: _ARRAY_API not found\n", **NO_GPU_HERE)
    fix = next(each.fix for each in told if each.cause == "numpy-abi")
    assert any("numpy<2" in step for step in fix)


def test_commands_are_written_for_the_platform() -> None:
    colab = found(DLOPEN, platform="colab", **T4)[0].fix
    linux = found(DLOPEN, platform="terminal", **T4)[0].fix
    windows = found(DLOPEN, os="windows", wsl=False)[0].fix
    assert "!envfix install" in colab and "envfix install" in linux
    assert any("WSL2" in step for step in windows) and not any("LD_LIBRARY_PATH" in step for step in windows)


def parts(**files: str) -> Parts:
    data = {f"{matrix_dir()}/{name}": (Path(matrix_dir()) / name).read_text() for name in SHIPPED}
    outside = FakeOutside(files={**data, **{f"/{name}.log": text for name, text in files.items()}})
    return Parts(outside=outside, matrix_dir=matrix_dir(), index=None, resolver=None)  # type: ignore[arg-type]


def test_a_log_is_judged_alone_unless_it_is_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    here = parts(log=DLOPEN, own='File "/env/lib/python3.12/site-packages/tensorflow/x.py"\n' + DLOPEN)
    here.outside.files["/env/lib/python3.12/site-packages/tensorflow/__init__.py"] = ""  # type: ignore[attr-defined]
    monkeypatch.setattr(diagnosing, "_machine", lambda parts, where: shipped.machine(NO_GPU_HERE))
    assert diagnosing.explain(here, Where(), "/log.log").judged_by == diagnosing.ALONE
    assert diagnosing.explain(here, Where(), "/own.log").judged_by == diagnosing.HERE
    told = diagnosing.explain(here, Where(machine="this"), "/log.log")
    assert told.findings[0].cause == "no-gpu-in-session"


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
    command = [sys.executable, "-m", "envfix", "explain", *argv]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


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
