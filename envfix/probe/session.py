"""Where the session runs: platform, WSL, container, and the variables that change what TensorFlow finds."""

from __future__ import annotations

import re
from collections.abc import Mapping

from envfix.model.machine import Evidence, Outcome, Platform
from envfix.model.target import Kernel
from envfix.ports import Outside
from envfix.probe.evidence import piece, read_file

SAGEMAKER_FILE = "/opt/ml/metadata/resource-metadata.json"
# In the order of trust: Kaggle's image is made from Colab's and keeps its variables. VSCODE_PID is set for
# the kernels that VS Code starts and taken out of its terminals, which set TERM_PROGRAM.
_BY_VARIABLE = (
    (Platform.KAGGLE, ("KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_USER_SECRETS_TOKEN")),
    (Platform.COLAB, ("COLAB_RELEASE_TAG", "COLAB_BACKEND_VERSION")),
    (Platform.SAGEMAKER, ("SAGEMAKER_INTERNAL_IMAGE_URI", "SAGEMAKER_APP_TYPE", "SM_TRAINING_ENV")),
)
_CI = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE", "CIRCLECI", "TF_BUILD")
# vscode-jupyter names the connection file of a kernel that it starts itself so (its KernelProcess). Where it
# works elsewhere than it shows, as in WSL, there is no VSCODE_PID (github.com/holoviz/panel/issues/5200).
_OF_VSCODE = re.compile(r"(?:--?f=)?(?:.*[/\\])?kernel-v2-[^/\\]*\.json", re.S)
_CONTAINER = re.compile(r"docker|kubepods|containerd|libpod|lxc|garden|buildkit", re.I)

# Names that change what is loaded or installed: whole names and stems. Not TF_*, because TF_VAR_* and
# TF_TOKEN_* are another program's (Terraform) and may be secrets.
# fmt: off
_VARIABLES = frozenset((
    "LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME",
    "CUDA_PATH", "CUDA_MODULE_LOADING", "CUDA_CACHE_PATH", "CUDA_CACHE_DISABLE",
    "CUDA_CACHE_MAXSIZE", "CUDA_FORCE_PTX_JIT", "CUDA_DISABLE_PTX_JIT", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_REQUIRE_CUDA", "NVIDIA_DISABLE_REQUIRE", "XLA_FLAGS",
    "KERAS_BACKEND", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "VIRTUAL_ENV", "CONDA_PREFIX",
    "PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "COLAB_RELEASE_TAG", "COLAB_BACKEND_VERSION",
    "COLAB_GPU", "KAGGLE_KERNEL_RUN_TYPE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONSTRAINT", "PIP_CONFIG_FILE", "PIP_CERT", "PIP_USER",
    "PIP_TARGET", "PIP_PREFIX", "PIP_PRE", "PIP_ONLY_BINARY", "PIP_NO_BINARY",
    "PIP_REQUIRE_VIRTUALENV", "PIP_BREAK_SYSTEM_PACKAGES", "UV_INDEX", "UV_DEFAULT_INDEX",
    "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY", "UV_FIND_LINKS", "UV_NO_INDEX",
    "UV_CONSTRAINT", "UV_OVERRIDE", "UV_CONFIG_FILE", "UV_SYSTEM_PYTHON", "UV_PYTHON",
    "UV_OFFLINE", "UV_CACHE_DIR", "UV_LINK_MODE", "UV_EXCLUDE_NEWER", "UV_BREAK_SYSTEM_PACKAGES",
))
# fmt: on
_STEMS = (
    "TF_CPP_",
    "TF_GPU_",
    "TF_CUDNN_",
    "TF_CUDA_",
    "TF_XLA_",
    "TF_ENABLE_",
    "TF_DISABLE_",
    "TF_FORCE_",
    "TF_USE_",
)
_NEVER = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|AUTH", re.I)
_USERINFO = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"(://[^\s?]*)\?\S*")


def read_platform(outside: Outside, kernel: Kernel | None) -> tuple[Platform, tuple[Evidence, ...]]:
    """The platform, with the variable or process that told it."""
    environ = outside.environ
    for platform, names in _BY_VARIABLE:
        for name in names:
            if environ.get(name):
                return platform, (piece("platform", name, Outcome.FOUND, platform.value),)
    if outside.exists(SAGEMAKER_FILE):
        return Platform.SAGEMAKER, (piece("platform", SAGEMAKER_FILE, Outcome.FOUND, "sagemaker"),)
    platform, source = _local(environ, kernel)
    return platform, (piece("platform", source, Outcome.FOUND, platform.value),)


def _local(environ: Mapping[str, str], kernel: Kernel | None) -> tuple[Platform, str]:
    """The platform on a machine of the user's own, and what told it."""
    if environ.get("VSCODE_PID"):
        return Platform.VSCODE, "VSCODE_PID"
    if kernel is not None:
        of_vscode = any(_OF_VSCODE.fullmatch(word) for word in kernel.command)
        return Platform.VSCODE if of_vscode else Platform.JUPYTER, f"process {kernel.pid}"
    if environ.get("JPY_PARENT_PID"):
        return Platform.JUPYTER, "JPY_PARENT_PID"
    if environ.get("TERM_PROGRAM") == "vscode":
        return Platform.VSCODE, "TERM_PROGRAM"
    for name in _CI:
        if environ.get(name, "").lower() not in ("", "0", "false"):
            return Platform.CI, name
    return Platform.TERMINAL, "no notebook or CI variable"


def read_wsl(outside: Outside) -> tuple[bool, tuple[Evidence, ...]]:
    """Whether this is Linux under WSL: Microsoft's kernel, or its GPU device."""
    release = read_file(outside, "/proc/sys/kernel/osrelease", 256).text.strip()
    if "microsoft" in release.lower():
        return True, (piece("wsl", "/proc/sys/kernel/osrelease", Outcome.FOUND, release),)
    if outside.exists("/dev/dxg"):
        return True, (piece("wsl", "/dev/dxg", Outcome.FOUND, "the device of a Windows host's GPU"),)
    return False, (piece("wsl", "/proc/sys/kernel/osrelease", Outcome.ABSENT, release),)


def read_container(outside: Outside) -> tuple[Evidence, ...]:
    """Evidence that this runs in a container, or that nothing says so."""
    for path in ("/.dockerenv", "/run/.containerenv"):
        if outside.exists(path):
            return (piece("container", path, Outcome.FOUND, "docker" if "docker" in path else "podman"),)
    for path in ("/proc/1/cgroup", "/proc/self/cgroup"):
        engine = parse_cgroup(read_file(outside, path).text)
        if engine:
            return (piece("container", path, Outcome.FOUND, engine),)
    for name in ("container", "KUBERNETES_SERVICE_HOST"):
        if outside.environ.get(name):
            return (piece("container", name, Outcome.FOUND, "kubernetes" if name.isupper() else "container"),)
    return (piece("container", "/.dockerenv, /run/.containerenv, cgroup", Outcome.ABSENT),)


def parse_cgroup(text: str) -> str:
    """The engine that a path of /proc/PID/cgroup names, empty where none does."""
    for line in text.splitlines():
        # A controller of that name says nothing; a host's own docker.service is not a container.
        path = line.split(":", 2)[-1] if line.count(":") >= 2 else ""
        found = _CONTAINER.search(re.sub(r"[^/]*\.service(?=/|$)", "", path))
        if found:
            return found[0].lower()
    return ""


def read_environment(outside: Outside) -> dict[str, str]:
    """The variables that change what is loaded or installed; credentials in addresses are taken out."""
    return {
        name: _without_credentials(value)
        for name, value in sorted(outside.environ.items())
        if _is_relevant(name)
    }


def _is_relevant(name: str) -> bool:
    return (name in _VARIABLES or name.startswith(_STEMS)) and not _NEVER.search(name)


def _without_credentials(value: str) -> str:
    return _QUERY.sub(r"\1?***", _USERINFO.sub("***@", value))
