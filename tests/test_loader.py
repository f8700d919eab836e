"""Library discovery in a real environment: a stand-in for TensorFlow that opens libraries as TensorFlow does.

The libraries are tiny but real ones with the sonames of CUDA 12, and each says where it was loaded from.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from envfix.errors import InstallFailed
from envfix.install import loader
from envfix.model.target import Target
from envfix.model.versions import PythonRelease
from envfix.system.outside import RealOutside
from tests.values import TARGET

SONAMES = {
    "libcudart.so.12": "cuda_runtime",
    "libcublasLt.so.12": "cublas",
    "libcublas.so.12": "cublas",
    "libcusolver.so.11": "cusolver",
    "libcudnn_ops.so.9": "cudnn",
    "libcudnn.so.9": "cudnn",
}
TENSORFLOW = """
import ctypes, json, os
found = {}
for soname in SONAMES:
    try:
        ctypes.CDLL(soname)
        paths = [line.split(None, 5)[-1].strip() for line in open("/proc/self/maps")]
        found[soname] = [path for path in paths if path.endswith("/" + soname)][0]
    except OSError:
        found[soname] = None
found["XLA_FLAGS"], found["PATH"] = os.environ.get("XLA_FLAGS"), os.environ.get("PATH")
""".replace("SONAMES", repr(list(SONAMES)))
BUILD_INFO = """\
import collections
build_info = collections.OrderedDict([('cuda_version', '12.5.1'), ('cudnn_version', '9')])
"""
IMPORT = "import json, tensorflow; print(json.dumps(tensorflow.found))"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny libraries, one for each soname, and the driver's."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("libraries")
    (folder / "one.c").write_text("int envfix_test_library;\n")
    for soname in [*SONAMES, "libcuda.so.1"]:
        argv = [compiler, "-shared", "-o", folder / soname, f"-Wl,-soname,{soname}", folder / "one.c"]
        subprocess.run(argv, check=True)
    return folder


class Environment:
    """A virtual environment with a stand-in for TensorFlow and NVIDIA wheels, and a driver beside it."""

    def __init__(self, root: Path, compiled: Path) -> None:
        self.root, self.compiled = root, compiled
        venv.create(root, with_pip=False, symlinks=True)
        package = self.site / "tensorflow"
        (package / "python" / "platform").mkdir(parents=True)
        (package / "__init__.py").write_text(TENSORFLOW)
        (package / "python" / "platform" / "build_info.py").write_text(BUILD_INFO)
        for soname, wheel in SONAMES.items():
            (self.site / "nvidia" / wheel / "lib").mkdir(parents=True, exist_ok=True)
            shutil.copy(compiled / soname, self.site / "nvidia" / wheel / "lib")
        for tool in ("nvvm/libdevice/libdevice.10.bc", "bin/ptxas"):
            path = self.site / "nvidia" / "cuda_nvcc" / tool
            path.parent.mkdir(parents=True)
            path.write_text("")
        self.driver = root / "driver"
        self.driver.mkdir()
        shutil.copy(compiled / "libcuda.so.1", self.driver)

    @property
    def site(self) -> Path:
        return self.root / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    @property
    def python(self) -> str:
        return str(self.root / "bin" / "python")

    @property
    def target(self) -> Target:
        return structs.replace(
            TARGET,
            executable=self.python,
            python=PythonRelease(".".join(map(str, sys.version_info[:3]))),
            purelib=str(self.site),
            platlib=str(self.site),
        )

    def run(self, code: str = IMPORT, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
        env = {"LD_LIBRARY_PATH": str(self.driver), "PATH": "/usr/bin:/bin", **environ}
        argv = [self.python, *options, "-c", code]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)

    def found(self, *options: str, **environ: str) -> dict[str, str | None]:
        ran = self.run(IMPORT, *options, **environ)
        assert ran.returncode == 0, ran.stderr
        answer: dict[str, str | None] = json.loads(ran.stdout)
        return answer

    def files(self) -> dict[str, tuple[int, bytes]]:
        return {
            str(path.relative_to(self.site)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in self.site.rglob("*")
            if path.is_file() and "envfix" in str(path.relative_to(self.site))
        }


@pytest.fixture
def bare(tmp_path: Path, compiled: Path) -> Environment:
    return Environment(tmp_path / "env", compiled)


@pytest.fixture
def ready(bare: Environment) -> Iterator[Environment]:
    loader.install(RealOutside(quiet=True), bare.target)
    yield bare


def in_wheels(environment: Environment, found: dict[str, str | None]) -> bool:
    return all(
        found[soname] == str(environment.site / "nvidia" / wheel / "lib" / soname)
        for soname, wheel in SONAMES.items()
    )


def test_without_it_nothing_is_found(bare: Environment) -> None:
    assert {bare.found()[soname] for soname in SONAMES} == {None}


@pytest.mark.parametrize("options", [(), ("-I",), ("-E", "-s")])
def test_every_library_is_found_in_the_wheels(ready: Environment, options: tuple[str, ...]) -> None:
    assert in_wheels(ready, ready.found(*options))


def test_it_can_be_switched_off(ready: Environment) -> None:
    assert ready.found(ENVFIX_LOADER="0")["libcudart.so.12"] is None


def test_a_moved_environment_goes_on_working(ready: Environment, tmp_path: Path) -> None:
    ready.root.rename(tmp_path / "moved")
    ready.root, ready.driver = tmp_path / "moved", tmp_path / "moved" / "driver"
    assert in_wheels(ready, ready.found())


def test_a_stray_library_on_the_search_path_loses(ready: Environment, tmp_path: Path) -> None:
    stray = tmp_path / "stray"
    stray.mkdir()
    for soname in ("libcudnn.so.9", "libcudnn_ops.so.9"):
        shutil.copy(ready.compiled / soname, stray)
    assert in_wheels(ready, ready.found(LD_LIBRARY_PATH=f"{stray}:{ready.driver}"))


def test_a_library_that_is_loaded_already_stays_the_only_one(ready: Environment) -> None:
    other = str(ready.compiled / "libcudnn.so.9")
    ran = ready.run(f"import ctypes; ctypes.CDLL({other!r}); {IMPORT}; print(open('/proc/self/maps').read())")
    found = json.loads(ran.stdout.splitlines()[0])
    assert found["libcudnn.so.9"] == other
    assert "site-packages/nvidia/cudnn/lib/libcudnn.so.9" not in ran.stdout.partition("\n")[2]


def test_without_a_driver_nothing_is_opened(ready: Environment) -> None:
    found = ready.found(LD_LIBRARY_PATH="")
    assert found["libcudart.so.12"] is None
    assert found["XLA_FLAGS"] is None


def test_asking_whether_tensorflow_is_there_opens_nothing(ready: Environment) -> None:
    code = "import importlib.util as u; print(u.find_spec('tensorflow').origin)"
    ran = ready.run(f"{code}; print(open('/proc/self/maps').read())")
    assert "tensorflow/__init__.py" in ran.stdout
    assert "libcudart" not in ran.stdout


def test_the_loader_of_the_module_is_left_as_it_was(ready: Environment) -> None:
    ran = ready.run(
        "import tensorflow as t; print(vars(t.__spec__.loader)); import importlib; importlib.reload(t)"
    )
    assert ran.returncode == 0, ran.stderr
    assert "exec_module" not in ran.stdout


@pytest.mark.parametrize("text", ["{", "[]", '{"folders": null, "cuda_data_dir": null}'])
def test_a_failure_leaves_the_import_working_and_can_be_seen(ready: Environment, text: str) -> None:
    (ready.site / loader.CONFIG).write_text(text)
    assert ready.found()["libcudart.so.12"] is None
    assert ready.run().stderr == ""
    assert "envfix loader: " in ready.run(ENVFIX_LOADER_DEBUG="1").stderr


def test_an_import_error_of_tensorflow_itself_is_not_swallowed(ready: Environment) -> None:
    (ready.site / "tensorflow" / "__init__.py").write_text("raise ImportError('its own')")
    assert "ImportError: its own" in ready.run().stderr


def test_a_build_without_cuda_is_left_alone(ready: Environment) -> None:
    info = ready.site / "tensorflow" / "python" / "platform" / "build_info.py"
    info.write_text("import collections\nbuild_info = collections.OrderedDict([('is_cuda_build', False)])\n")
    assert ready.found()["libcudart.so.12"] is None


def test_xla_is_shown_the_wheels_tools(ready: Environment) -> None:
    root = str(ready.site / "nvidia" / "cuda_nvcc")
    found = ready.found(XLA_FLAGS="--xla_dump_to=/x")
    assert found["XLA_FLAGS"] == f"--xla_dump_to=/x --xla_gpu_cuda_data_dir={root}"
    assert str(found["PATH"]).split(":")[0] == f"{root}/bin"


def test_what_the_user_told_xla_stays(ready: Environment) -> None:
    found = ready.found(XLA_FLAGS="--xla_gpu_cuda_data_dir=/mine")
    assert found["XLA_FLAGS"] == "--xla_gpu_cuda_data_dir=/mine"
    assert found["PATH"] == "/usr/bin:/bin"


def test_a_folder_of_a_system_cuda_goes_before_the_wheels(bare: Environment, tmp_path: Path) -> None:
    toolkit = tmp_path / "cuda toolkit"
    (toolkit / "nvvm" / "libdevice").mkdir(parents=True)
    (toolkit / loader.LIBDEVICE).write_text("")
    shutil.copytree(bare.compiled, toolkit / "lib64")
    folder = str(toolkit / "lib64")
    assert folder in loader.install(RealOutside(quiet=True), bare.target, [folder])
    found = bare.found()
    assert {found[soname] for soname in SONAMES} == {f"{folder}/{soname}" for soname in SONAMES}
    assert found["XLA_FLAGS"] == f"--xla_gpu_cuda_data_dir='{toolkit}'"
    shutil.rmtree(bare.site / "nvidia")
    assert bare.found() == found


def test_a_python_start_imports_nothing_else(ready: Environment) -> None:
    modules = "import sys; print(*sorted(sys.modules))"
    plain = set(ready.run(modules, "-S").stdout.split())
    pth = ready.site / loader.START
    withit = set(ready.run(modules).stdout.split())
    pth.unlink()
    without = set(ready.run(modules).stdout.split())
    # Python 3.13 and later decode a .pth file with the codec that also accepts a byte order mark.
    assert withit - without <= {"_envfix_loader", "encodings.utf_8_sig"}
    assert "_envfix_loader" in withit
    assert not plain & {"_envfix_loader"}


def test_the_bytecode_is_used(ready: Environment) -> None:
    ran = ready.run("import _envfix_preload", "-v", PYTHONDONTWRITEBYTECODE="1")
    for name in loader.MODULES:
        assert f"matches {ready.site}/{name}" in ran.stderr


def test_the_same_one_twice_writes_nothing(ready: Environment) -> None:
    outside = RealOutside(quiet=True)
    before = ready.files()
    assert loader.is_current(outside, ready.target)
    assert "is there" in loader.install(outside, ready.target)
    assert ready.files() == before


@pytest.mark.parametrize(
    "name", ["_envfix_preload.py", loader.CONFIG, loader.START, f"{loader.DIST_INFO}/RECORD"]
)
def test_a_file_that_was_changed_or_lost_is_put_right(ready: Environment, name: str) -> None:
    outside = RealOutside(quiet=True)
    for spoil in (lambda path: path.write_text("spoiled"), Path.unlink):
        spoil(ready.site / name)
        assert not loader.is_current(outside, ready.target)
        loader.install(outside, ready.target)
        assert loader.is_current(outside, ready.target)
        assert in_wheels(ready, ready.found())


def test_other_folders_make_it_out_of_date(ready: Environment) -> None:
    assert not loader.is_current(RealOutside(quiet=True), ready.target, ["/usr/local/cuda/lib64"])


def test_an_older_version_is_replaced_whole(ready: Environment) -> None:
    old = ready.site / "envfix_loader-0.9.dist-info"
    (ready.site / loader.DIST_INFO).rename(old)
    (ready.site / "_envfix_old.py").write_text("")
    (old / "RECORD").write_text(
        "_envfix_old.py,,\n../../outside.txt,,\nenvfix_loader-0.9.dist-info/RECORD,,\n"
    )
    outsider = ready.root / "lib" / "outside.txt"
    outsider.write_text("not ours")
    loader.install(RealOutside(quiet=True), ready.target)
    assert not old.exists()
    assert not (ready.site / "_envfix_old.py").exists()
    assert outsider.exists()


def test_the_record_holds_every_file_with_its_hash(ready: Environment) -> None:
    rows = list(csv.reader((ready.site / loader.DIST_INFO / "RECORD").read_text().splitlines()))
    assert {row[0] for row in rows} == set(ready.files())
    for name, digest, size in rows:
        data = (ready.site / name).read_bytes()
        if digest:
            wanted = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={wanted}", str(len(data))), name


def test_removal_leaves_nothing(ready: Environment) -> None:
    removed = loader.remove(RealOutside(quiet=True), ready.target)
    assert ready.files() == {}
    assert str(ready.site / loader.START) == removed[0]
    assert ready.run("pass").stderr == ""


def test_another_uninstaller_leaves_nothing(ready: Environment) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    listed = subprocess.run(
        [uv, "pip", "list", "-p", ready.python, "-q"], capture_output=True, text=True, check=True
    )
    assert "envfix-loader" in listed.stdout
    checked = subprocess.run([uv, "pip", "check", "-p", ready.python], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    subprocess.run([uv, "pip", "uninstall", "-q", "-p", ready.python, loader.NAME], check=True)
    assert ready.files() == {}


class FullDisk(RealOutside):
    """Writing fails once `left` files are written."""

    def __init__(self, left: int) -> None:
        super().__init__(quiet=True)
        self.left = left

    def write_bytes(self, path: str, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
        if not self.left:
            raise OSError(28, os.strerror(28), path)
        self.left -= 1
        super().write_bytes(path, data, mode)


@pytest.mark.parametrize("left", range(8))
def test_a_full_disk_leaves_nothing_behind(bare: Environment, left: int) -> None:
    with pytest.raises(InstallFailed, match="No space left on device") as caught:
        loader.install(FullDisk(left), bare.target)
    assert caught.value.exit_code == 4
    assert bare.files() == {}


def test_it_installs_where_eight_files_fit(bare: Environment) -> None:
    loader.install(FullDisk(8), bare.target)
    assert loader.is_current(RealOutside(quiet=True), bare.target)


def test_purelib_and_platlib_may_differ(bare: Environment, tmp_path: Path) -> None:
    platlib = tmp_path / "platlib"
    shutil.move(bare.site / "tensorflow", platlib / "tensorflow")
    (bare.site / "platlib.pth").write_text(str(platlib))
    loader.install(RealOutside(quiet=True), structs.replace(bare.target, platlib=str(platlib)))
    assert in_wheels(bare, bare.found())
