"""Roots like those of Colab and Kaggle: Debian's Python with `dist-packages`, the image's packages and pins,
its folders and variables, and a kernel in it.

What they are like is read from googlecolab/backend-info (the packages), googlecolab/colabtools issues 5237
(the constraints that uv is told) and 5552 (a kernel that ends), and Kaggle/docker-python (made from Colab's).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import uv

from tests.environments import user, wheels
from tests.index_server import Wheel, build_wheel, serving
from tests.notebook.hosts import run_cells
from tests.pythons import copied, debian

ROOT = Path(__file__).parents[2]
IMAGE_TF = "2.19.1"
LAUNCHER = "from ipykernel import kernelapp\n\nkernelapp.launch_new_instance()\n"
# Stands for Google's, which is on no index: the module that starts Colab's kernels, and what it needs.
GOOGLE = build_wheel(
    "google-colab",
    "1.0.0",
    ["ipykernel", "tornado", "requests"],
    modules={"google/colab/__init__.py": "", "colab_kernel_launcher.py": LAUNCHER},
)
SECRET = "eyJhbGciOiJkaXIi-of-this-test"
# What the kernel's process sees; folders are named from the root.
COLAB = {
    "COLAB_RELEASE_TAG": "release-colab_20260819-060052_RC00",
    "COLAB_BACKEND_VERSION": "next",
    "COLAB_GPU": "1",
    "COLAB_JUPYTER_TOKEN": "",
    "COLAB_JUPYTER_TRANSPORT": "ipc",
    "UV_SYSTEM_PYTHON": "true",
    "UV_PRERELEASE": "if-necessary-or-explicit",
}
# Its image is made from Colab's, and keeps variables of it.
KAGGLE = {
    "COLAB_RELEASE_TAG": "release-colab-external-images_20260514-060047_RC00",
    "KAGGLE_DATA_PROXY_PROJECT": "kaggle-161607",
    "KAGGLE_DATA_PROXY_TOKEN": SECRET,
    "KAGGLE_USER_SECRETS_TOKEN": SECRET,
    "KAGGLE_KERNEL_INTEGRATIONS": "",
    "KAGGLE_WORKING_DIR": "/kaggle/working",
    "UV_SYSTEM_PYTHON": "true",
}
FOLDERS = {"colab": ("content",), "kaggle": ("kaggle/working", "kaggle/input")}


def image() -> list[Wheel]:
    """What the image has beside TensorFlow, and newer releases of it that an install must not take."""
    versions = {"absl-py": ("1.4.0", "2.3.0"), "gast": ("0.6.0", "0.7.0"), "pandas": ("2.2.2", "2.3.3")}
    return [
        *(build_wheel(name, version) for name, both in versions.items() for version in both),
        build_wheel("astunparse", "1.6.3", ["gast>=0.4"]),
        build_wheel("autograph", "1.0", ["gast>=0.7"]),
    ]


INSTALLED = {"absl-py": "1.4.0", "pandas": "2.2.2", "tensorflow": IMAGE_TF}
# As an image pins what its own packages were tested with.
CONSTRAINTS = {"absl-py": "1.4.0", "gast": "0.6.0", "pandas": "2.2.2"}


@dataclass
class Image:
    """`python` runs the kernel; `work` is the folder of the notebook."""

    folder: Path
    python: Path
    work: Path
    env: dict[str, str] = field(repr=False)

    @property
    def packages(self) -> Path:
        return next((self.folder / "usr/local/lib").glob("python*/dist-packages"))

    def install(self, env: Mapping[str, str], *what: str) -> None:
        """What the image has from the start; `env` says from which index."""
        argv = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", self.python]
        subprocess.run([*argv, "--break-system-packages", *what], check=True, env=env, timeout=300)

    def run(self, host: str, *cells: str | None, **env: str) -> list[dict[str, Any]]:
        """The cells' answers, in the kernel under a host of that name."""
        return run_cells(self.work, host, self.python, cells, self.env | env)

    def installed(self) -> dict[str, str]:
        """Every distribution that pip sees."""
        found = metadata.distributions(path=[str(self.packages)])
        return {one.name.lower(): one.version for one in found if one.name != "envfix-loader"}

    def constrain(self, **pins: str) -> Path:
        """The image's constraints file, with more or other pins."""
        file = self.folder / "backend-container/containers/requirements.constraints"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = (f"{name}=={version}" for name, version in (CONSTRAINTS | pins).items())
        file.write_text("\n".join(lines) + "\n")
        return file


@contextmanager
def hosted(folder: Path, kind: str, byte_code: Path) -> Iterator[Image]:
    """The root of a service at the folder; gone when the block ends."""
    with serving(*wheels(), *image()) as index:
        try:
            made = bare(folder, kind, user(folder, index, byte_code))
            small = made.env | {"UV_INDEX_URL": index.simple}
            made.install(small, "--no-deps", *(f"{name}=={version}" for name, version in INSTALLED.items()))
            yield made
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def bare(folder: Path, kind: str, env: Mapping[str, str]) -> Image:
    """The root with a real kernel, pip, and envfix with all that they need, and no other package."""
    for name in (*FOLDERS[kind], "root"):
        (folder / name).mkdir(parents=True)
    if kind == "kaggle":
        (folder / "kaggle/input").chmod(0o555)
    python = copied(debian(), folder / "usr")
    if not list((folder / "usr/lib").glob("python3.[1-9][0-9]")):
        pytest.skip("Debian's Python is too old for envfix, which runs in these kernels")
    made = Image(folder, python, folder / FOLDERS[kind][0], {
        **env,
        **(COLAB if kind == "colab" else KAGGLE),
        "HOME": str(folder / "root"),
        "PATH": f"{folder}/usr/local/bin:{env['PATH']}",
        "LD_LIBRARY_PATH": "/usr/lib64-nvidia" if kind == "colab" else "/usr/local/nvidia/lib64",
        "ENVFIX_STATE_DIR": str(folder / "root/state"),
    })  # fmt: skip
    google = folder / GOOGLE.filename
    google.write_bytes(GOOGLE.data)
    made.install(os.environ, "ipykernel", "pip", str(google), "--editable", str(ROOT))
    if kind == "colab":
        made.env |= dict.fromkeys(("UV_CONSTRAINT", "PIP_CONSTRAINT"), str(made.constrain()))
    return made
