"""Platform, WSL, container, kernel, processor and variables, from transcripts of the places that tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from envfix.model.machine import Outcome, Platform
from envfix.model.target import Kernel
from envfix.probe import cpu, kernel, session
from tests.fakes import FakeOutside

DATA = Path(__file__).parent / "data" / "probe"
KERNEL = Kernel(pid=7, python="/usr/bin/python3", command=())
_ARGV = ("/usr/bin/python3", "-m", "ipykernel_launcher", "--f=/run/jupyter/kernel-v2-28141kSC9njpUbH1b.json")
OF_VSCODE = Kernel(pid=7, python="/usr/bin/python3", command=_ARGV)


def transcript(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


# -- platform


@pytest.mark.parametrize(
    ("environ", "found", "platform"),
    [
        ({"COLAB_RELEASE_TAG": "release-colab_20260819"}, KERNEL, Platform.COLAB),
        ({"COLAB_BACKEND_VERSION": "next"}, None, Platform.COLAB),
        # Kaggle's image is made from Colab's and keeps its variables.
        ({"COLAB_RELEASE_TAG": "x", "KAGGLE_KERNEL_RUN_TYPE": "Batch"}, KERNEL, Platform.KAGGLE),
        ({"SAGEMAKER_APP_TYPE": "JupyterLab"}, KERNEL, Platform.SAGEMAKER),
        ({"VSCODE_PID": "12", "JPY_PARENT_PID": "12"}, KERNEL, Platform.VSCODE),
        # VS Code that works on another machine, in WSL or a container.
        ({"VSCODE_CWD": "/"}, OF_VSCODE, Platform.VSCODE),
        # Jupyter that was started from a terminal of VS Code.
        ({"TERM_PROGRAM": "vscode", "JPY_PARENT_PID": "12"}, KERNEL, Platform.JUPYTER),
        ({"JPY_PARENT_PID": "12"}, None, Platform.JUPYTER),
        ({}, KERNEL, Platform.JUPYTER),
        ({"TERM_PROGRAM": "vscode"}, None, Platform.VSCODE),
        ({"CI": "true"}, None, Platform.CI),
        ({"CI": "true"}, KERNEL, Platform.JUPYTER),
        ({"CI": "false", "COLAB_RELEASE_TAG": ""}, None, Platform.TERMINAL),
        ({}, None, Platform.TERMINAL),
    ],
)
def test_platform(environ: dict[str, str], found: Kernel | None, platform: Platform) -> None:
    answer, [piece] = session.read_platform(FakeOutside(environ=environ), found)
    assert answer is platform and piece.detail == platform.value


def test_sagemaker_is_told_by_its_file() -> None:
    outside = FakeOutside(files={session.SAGEMAKER_FILE: "{}"})
    assert session.read_platform(outside, KERNEL)[0] is Platform.SAGEMAKER


# -- WSL and containers


@pytest.mark.parametrize(
    ("files", "wsl"),
    [
        ({"/proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}, True),
        ({"/proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft\n"}, True),
        ({"/proc/sys/kernel/osrelease": "6.8.0-45-generic\n"}, False),
        ({"/proc/sys/kernel/osrelease": "6.6.0-custom\n", "/dev/dxg": ""}, True),
        ({}, False),
    ],
)
def test_wsl(files: dict[str, str], wsl: bool) -> None:
    assert session.read_wsl(FakeOutside(files=files))[0] is wsl


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("cgroup_docker_v1.txt", "docker"),
        ("cgroup_kubernetes_v2.txt", "kubepods"),
        ("cgroup_host_v2.txt", ""),
        ("cgroup_docker_service.txt", ""),
    ],
)
def test_container_in_cgroup(name: str, engine: str) -> None:
    assert session.parse_cgroup(transcript(name)) == engine
    [piece] = session.read_container(FakeOutside(files={"/proc/1/cgroup": transcript(name)}))
    assert piece.outcome is (Outcome.FOUND if engine else Outcome.ABSENT)


@pytest.mark.parametrize(
    ("files", "environ"),
    [
        ({"/.dockerenv": ""}, {}),
        ({"/run/.containerenv": ""}, {}),
        ({}, {"container": "oci"}),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
    ],
)
def test_container_by_file_or_variable(files: dict[str, str], environ: dict[str, str]) -> None:
    assert session.read_container(FakeOutside(files=files, environ=environ))[0].outcome is Outcome.FOUND


# -- variables


def test_relevant_variables_are_kept_and_others_are_not() -> None:
    environ = {"LD_LIBRARY_PATH": "/x", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": "/root", "PATH": "/bin"}
    assert session.read_environment(FakeOutside(environ=environ)) == {
        "LD_LIBRARY_PATH": "/x",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


@pytest.mark.parametrize(
    "name",
    [
        "TF_VAR_password",
        "TF_GPU_AUTH_TOKEN",
        "TF_TOKEN_app",
        "TF_CLI_CONFIG_FILE",
        "UV_PUBLISH_TOKEN",
        "UV_INDEX_INTERNAL_PASSWORD",
    ],
)
def test_credentials_are_never_kept(name: str) -> None:
    assert session.read_environment(FakeOutside(environ={name: "hunter2"})) == {}


@pytest.mark.parametrize(
    "value",
    [
        "https://user:hunter2@index.example/simple",
        "https://hunter2@index.example/simple",
        "https://user:p@hunter2@index.example/simple",
        "https://index.example/simple?token=hunter2",
        "mine=https://user:hunter2@index.example/simple https://other:hunter2@index.example",
    ],
)
@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX"])
def test_credentials_in_an_address_are_taken_out(name: str, value: str) -> None:
    kept = session.read_environment(FakeOutside(environ={name: value}))[name]
    assert "hunter2" not in kept and "index.example" in kept


@given(st.text(), st.text(alphabet="abc:@/.", min_size=1))
def test_what_stands_before_an_at_sign_never_survives(before: str, user: str) -> None:
    value = f"https://SECRET{user.replace('/', '')}@index.example/simple"
    assert "SECRET" not in session.read_environment(FakeOutside(environ={"UV_INDEX": value}))["UV_INDEX"]
    session.read_environment(FakeOutside(environ={"UV_INDEX": before}))


# -- the kernel

JUPYTER = ("/env/bin/python", "-m", "ipykernel_launcher", "-f", "/run/kernel-1.json")
COLAB = (
    "/usr/bin/python3",
    "-m",
    "colab_kernel_launcher",
    "-f",
    "/home/you/.local/share/jupyter/runtime/kernel-2.json",
)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (JUPYTER, True),
        (COLAB, True),
        (("python3.12", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "--f=/x"), True),
        (("/x/python", "-m", "ipykernel", "-f", "x"), True),
        (("/x/python", "/x/site-packages/ipykernel_launcher.py", "-f", "x"), True),
        (("/bin/bash", "-c", "python -m ipykernel_launcher"), False),
        (("/x/python", "-X", "frozen_modules=off", "-m", "ipykernel_launcher"), True),
        (("/x/python", "-m"), False),
        (("/x/python", "-c", "import ipykernel_launcher"), False),
        (("/x/python", "-m", "pytest", "ipykernel_launcher"), False),
        (("/x/python", "train.py", "ipykernel"), False),
        (("/x/jupyter-lab",), False),
        (("/x/python",), False),
        ((), False),
    ],
)
def test_which_command_is_a_kernel(command: tuple[str, ...], answer: bool) -> None:
    assert kernel.is_kernel(command) is answer


def process(pid: int, parent: int, command: tuple[str, ...], name: str = "x") -> dict[str, str]:
    return {
        f"/proc/{pid}/stat": f"{pid} ({name}) S {parent} 1 1 0 -1 4194560",
        f"/proc/{pid}/cmdline": "".join(f"{word}\0" for word in command),
    }


def family(*commands: tuple[str, ...], server: str = "") -> FakeOutside:
    """A chain of processes from envfix (the first, also /proc/self) up to init."""
    files: dict[str, str] = {}
    for place, command in enumerate(commands):
        pid = 100 - place
        parent = pid - 1 if place + 1 < len(commands) else 1
        files |= process(pid, parent, command, name="a) S 1 (b")
    files["/proc/self/stat"] = files["/proc/100/stat"]
    return FakeOutside(files=files, environ={"JPY_PARENT_PID": server} if server else {})


ENVFIX = ("/env/bin/python", "/env/bin/envfix", "install")
SHELL = ("/bin/bash", "-c", "envfix install")


def test_the_kernel_is_found_above_its_shell() -> None:
    found = kernel.find_kernel(family(ENVFIX, SHELL, JUPYTER, ("/env/bin/jupyter-lab",)))
    assert found == Kernel(pid=98, python="/env/bin/python", command=JUPYTER)


def test_colabs_kernel_is_found() -> None:
    found = kernel.find_kernel(
        family(ENVFIX, SHELL, COLAB, ("/usr/bin/python3", "/usr/local/bin/colab-server"))
    )
    assert found is not None and (found.pid, found.python) == (98, "/usr/bin/python3")


def test_a_kernel_of_an_unknown_launcher_is_the_python_below_the_server() -> None:
    own = ("/env/bin/python3", "/srv/own_launcher.py")
    outside = family(ENVFIX, SHELL, own, ("/env/bin/python3", "jupyter-lab"), server="97")
    found = kernel.find_kernel(outside)
    assert found is not None and found.pid == 98


def test_the_shell_below_the_server_is_no_kernel() -> None:
    """A terminal of JupyterLab."""
    outside = family(ENVFIX, ("/bin/bash", "-l"), ("/env/bin/python3", "jupyter-lab"), server="98")
    assert kernel.find_kernel(outside) is None


def test_envfix_that_runs_in_the_kernel_itself_finds_it() -> None:
    found = kernel.find_kernel(family(JUPYTER, ("/env/bin/jupyter-lab",)))
    assert found is not None and found.pid == 100


def test_a_relative_interpreter_is_looked_up() -> None:
    outside = family(ENVFIX, ("python3", "-m", "ipykernel_launcher"))
    outside.programs["python3"] = "/usr/bin/python3"
    found = kernel.find_kernel(outside)
    assert found is not None and found.python == "/usr/bin/python3"


def test_no_kernel_in_a_terminal_without_proc_or_in_a_circle() -> None:
    assert kernel.find_kernel(family(ENVFIX, ("/bin/bash",), ("/usr/sbin/sshd",))) is None
    assert kernel.find_kernel(FakeOutside()) is None
    loop = process(5, 6, ("bash",)) | process(6, 5, ("bash",))
    assert kernel.find_kernel(FakeOutside(files=loop | {"/proc/self/stat": loop["/proc/5/stat"]})) is None


@given(st.text(), st.text())
def test_no_text_makes_the_process_parsers_raise(stat: str, command: str) -> None:
    kernel.parse_stat(stat)
    kernel.is_kernel(kernel.parse_cmdline(command))
    session.parse_cgroup(stat)
    assert set(cpu.parse_flags(stat) or ()) <= set(cpu.RELEVANT)


# -- the processor


@pytest.mark.parametrize(
    ("name", "has_avx", "flags"),
    [
        ("cpuinfo_skylake.txt", True, {"sse4_2", "avx", "avx2", "fma", "avx512f"}),
        ("cpuinfo_no_avx.txt", False, {"sse4_1", "sse4_2"}),
        ("cpuinfo_grace.txt", False, {"asimd", "sve", "bf16", "i8mm"}),
    ],
)
def test_cpu_flags(name: str, has_avx: bool, flags: set[str]) -> None:
    found, [piece] = cpu.read_cpu(FakeOutside(files={cpu.CPUINFO: transcript(name)}))
    assert found is not UNSET and flags <= set(found) and ("avx" in found) is has_avx
    assert piece.outcome is Outcome.FOUND and "fpu" not in found


def test_a_flag_is_a_whole_word() -> None:
    assert cpu.parse_flags("flags : sse4_2x avx512f\n") == ("avx512f",)


@pytest.mark.parametrize("files", [{}, {cpu.CPUINFO: "processor : 0\n"}, {cpu.CPUINFO: ""}])
def test_unknown_flags_are_unknown_and_not_none(files: dict[str, str]) -> None:
    found, [piece] = cpu.read_cpu(FakeOutside(files=files))
    assert found is UNSET and piece.outcome is not Outcome.FOUND


def test_the_kernel_of_a_real_notebook_cell_is_found(tmp_path: Path) -> None:
    """Real processes, nested as `!envfix` is: a kernel, its shell, and envfix below it."""
    asks = tmp_path / "ask.py"
    asks.write_text(
        "from envfix.probe.kernel import find_kernel\n"
        "from envfix.system.outside import RealOutside\n"
        "found = find_kernel(RealOutside())\n"
        "print(found.pid, found.python)\n"
    )
    launcher = tmp_path / "ipykernel_launcher.py"
    launcher.write_text(
        "import os, subprocess, sys\n"
        "print(os.getpid(), sys.executable, flush=True)\n"
        f"subprocess.run(f'true; {{sys.executable}} {asks}', shell=True, check=True)\n"
    )
    command = [sys.executable, str(launcher), "-f", "/run/kernel.json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert told[0] == told[1]
