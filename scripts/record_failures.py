"""Let real TensorFlow wheels print their errors under the driver stub, and keep what they print as test data.

    python scripts/record_failures.py --python PATH ... [GENERATION ...] [--only PATTERN] [--output DIR]

What is recorded, and how each case is made, stands in `tests/data/failures/real/recordings.yaml`. For each
generation envfix installs one environment (up to 7 GB), which is removed again. The kernel module's version
and the device nodes, which TensorFlow's diagnosis reads, are put into a mount namespace, so that nothing of
this machine changes: that needs root, or user namespaces.

Times, process ids, the host's name and every path of this machine are replaced, so that a second recording
differs only where TensorFlow does (and in the line that names the CPU's instructions).
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uv
from failure_cases import CASES, DATA, RELEASE, Case, Generation, Recordings, file_name, pairs, read
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from envfix.errors import EnvfixError
from envfix.system.outside import RealOutside
from envfix.verify.stub import build

# As on Colab, where the driver comes from the host.
DRIVER_FOLDER = "/usr/lib64-nvidia"
FRONT_FOLDER = "/usr/local/cuda/lib64"
MODULE = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {release}  Tue Mar  5 22:23:56 UTC 2024\n"
    "GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n"
)
# $1 holds `version`, $2 is the new /dev, the rest is run. The stub's first GPU is at bus 4; a NUMA node of -1
# is what a machine without NUMA says.
NAMESPACE = """
set -e
mount -t tmpfs none /proc/driver
mkdir /proc/driver/nvidia
cp "$1/version" /proc/driver/nvidia/version
mount -t tmpfs none /sys/bus/pci/devices
mkdir /sys/bus/pci/devices/0000:04:00.0
echo -1 > /sys/bus/pci/devices/0000:04:00.0/numa_node
for node in null zero full random urandom; do touch "$2/$node"; mount --bind /dev/$node "$2/$node"; done
mkdir -p "$2/shm"
mount -t tmpfs none "$2/shm"
touch "$2/nvidia0" "$2/nvidiactl"
mount --rbind "$2" /dev
shift 2
exec "$@"
"""
TOGETHER: dict[str, Any] = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "errors": "replace",
    "timeout": 600.0,
}
# The installers as they are without anybody's configuration.
INSTALLER = {"PIP_CONFIG_FILE": os.devnull, "PIP_PROGRESS_BAR": "off", "UV_NO_CONFIG": "1", "LANG": "C.UTF-8"}
INSTALLS = "installs"
Interpreters = Mapping[str, str]


class Place(NamedTuple):
    """What was made for recording: an environment of the interpreter, and the driver's folder."""

    venv: Path
    driver: Path
    interpreter: str


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    recordings = read(options.cases)
    interpreters = {_feature(path): path for path in options.python}
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.generations or (*recordings.generations, INSTALLS):
        with tempfile.TemporaryDirectory(prefix="failures-", dir=options.work) as folder:
            if name == INSTALLS:
                texts = refused(Path(folder), recordings, options.only, interpreters)
            else:
                texts = printed(Path(folder), recordings, name, options.only, interpreters)
            started = time.monotonic()
            for file, text in texts:
                (options.output / file).write_text(text)
                print(f"{file} ({time.monotonic() - started:.0f} s)", flush=True)
                started = time.monotonic()
    return 0


def printed(
    folder: Path, recordings: Recordings, generation: str, only: Sequence[str], interpreters: Interpreters
) -> Iterator[tuple[str, str]]:
    """File name and text of each recording of one generation whose case's name matches one of `only`.

    Raises EnvfixError as `make` does, and for a generation that is not there.
    """
    if generation not in recordings.generations:
        raise EnvfixError(f"no generation `{generation}`, found {', '.join(recordings.generations)}")
    wanted = [(case, program) for case, program in pairs(recordings, generation) if _matches(case.name, only)]
    if wanted:
        place = make(folder, recordings.generations[generation], interpreters)
    for case, program in wanted:
        yield file_name(generation, case, program), record(place, case, recordings.programs[program])


def refused(
    folder: Path, recordings: Recordings, only: Sequence[str], interpreters: Interpreters
) -> Iterator[tuple[str, str]]:
    """File name and what the installer says of each install whose name matches one of `only`."""
    for case in recordings.installs:
        if _matches(case.name, only):
            place = Place(folder / case.name, folder / "no-driver", _interpreter(case.python, interpreters))
            subprocess.run([place.interpreter, "-m", "venv", str(place.venv)], check=True)
            programs = {"pip": [place.venv / "bin" / "pip"], "uv": [uv.find_uv_bin()]}
            command = [*map(str, programs[case.argv[0]]), *case.argv[1:]]
            env = {"PATH": os.environ["PATH"], "VIRTUAL_ENV": str(place.venv), **INSTALLER}
            text = subprocess.run(command, **TOGETHER, env={**_certificates(), **env}).stdout
            yield f"{case.name}.log", scrubbed(text, place, str(folder))


def make(folder: Path, generation: Generation, interpreters: Mapping[str, str]) -> Place:
    """The environment as `envfix install` makes it, and the driver stub named as a driver's library is.

    Raises EnvfixError where an interpreter is missing or the stub cannot be compiled.
    """
    interpreter = _interpreter(generation.python, interpreters)
    driver, venv = folder / "driver", folder / "venv"
    driver.mkdir()
    stub = Path(build.build(RealOutside(quiet=True)))
    shutil.copy(stub / "libcuda.so.1", driver / f"libcuda.so.{RELEASE}")
    (driver / "libcuda.so.1").symlink_to(f"libcuda.so.{RELEASE}")
    shutil.copy(stub / "libnvidia-ml.so.1", driver)
    asked = ["--tf", generation.tf, "--accelerator", generation.accelerator, "--machine", "colab-t4"]
    where = ["--venv", str(venv), "--python", interpreter]
    subprocess.run(
        [sys.executable, "-m", "envfix", "install", *asked, *where, "--yes", "--no-verify"], check=True
    )
    return Place(venv, driver, interpreter)


def record(place: Place, case: Case, program: str) -> str:
    """What a user sees of the program, standard output and error as they come, without what is private."""
    kept = _pip(place, "freeze").stdout.splitlines() if case.install or case.uninstall else []
    try:
        _change(place, case, kept)
        with tempfile.TemporaryDirectory(dir=place.venv.parent) as folder:
            return scrubbed(_run(place, case, program, Path(folder)), place, folder)
    finally:
        if kept:
            _restore(place, kept)


def _run(place: Place, case: Case, program: str, folder: Path) -> str:
    command = [str(place.venv / "bin" / "python"), "-u", "-c", program.strip("\n")]
    if case.kernel is not None:
        (folder / "version").write_text(MODULE.format(release=case.kernel))
        (folder / "dev").mkdir()
        unshare = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
        command = [*unshare, "sh", "-c", NAMESPACE, "sh", str(folder), str(folder / "dev"), *command]
    ran = subprocess.run(command, **TOGETHER, env=_environment(place, case, folder), cwd=folder)
    if ran.returncode < 0:
        return f"{ran.stdout}{'Segmentation fault' if ran.returncode == -11 else 'Aborted'} (core dumped)\n"
    return ran.stdout


def _environment(place: Place, case: Case, folder: Path) -> dict[str, str]:
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    path = [str(place.driver)] if case.driver else []
    if case.broken:
        (folder / "front").mkdir()
        for name in case.broken:
            (folder / "front" / name).touch()
        path.insert(0, str(folder / "front"))
    if path:
        env["LD_LIBRARY_PATH"] = ":".join(path)
    env["ENVFIX_STUB_GPUS"] = "Tesla T4|7.5|15360"
    env["ENVFIX_STUB_DRIVER_RELEASE"] = RELEASE
    env.update({f"ENVFIX_STUB_{name}": value for name, value in case.stub.items()})
    return {**env, **case.environment}


def _change(place: Place, case: Case, kept: Sequence[str]) -> None:
    names = [re.split(r"[=@ ]", line)[0] for line in kept]
    leaving = [name for pattern in case.uninstall for name in fnmatch.filter(names, pattern)]
    if leaving:
        _pip(place, "uninstall", *leaving)
    if case.install:
        _pip(place, "install", "--no-deps", *case.install)


def _restore(place: Place, kept: Sequence[str]) -> None:
    # envfix's own distribution is on no index, and nothing here takes it away.
    _pip(place, "install", "--no-deps", *(line for line in kept if not line.startswith("envfix")))


def _pip(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    command = [uv.find_uv_bin(), "pip", words[0], "-q", "-p", str(place.venv / "bin" / "python"), *words[1:]]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)


def scrubbed(text: str, place: Place, folder: str) -> str:
    """The text with this machine's paths, host, times and process ids replaced by those of nobody."""
    base = Path(place.interpreter).parents[1]
    for path, instead in (
        (f"{folder}/front", FRONT_FOLDER),
        (str(place.driver), DRIVER_FOLDER),
        (str(place.venv), "/home/user/venv"),
        (folder, "/home/user"),
        (os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")), "/home/user/.cache/uv"),
        (str(base), "/usr"),
        (str(base.resolve()), "/usr"),
    ):
        text = text.replace(path, instead)
    text = text.replace(urlsplit(PYPI_SIMPLE_ENDPOINT).netloc, "index.example")
    text = re.sub(r"(/tmp/pip-build-env-|/builds-v0/\.tmp)\w+", r"\1Abcd12", text)
    text = re.sub(rf"(?<![\w.-]){re.escape(socket.gethostname())}(?![\w.-])", "host", text)
    text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", "2026-01-01 00:00:00.000000", text, flags=re.M)
    return re.sub(
        r"^([IWEF])\d{4} [\d:.]+ +\d+ ", r"\g<1>0000 00:00:1767225600.000000    4242 ", text, flags=re.M
    )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _certificates() -> dict[str, str]:
    names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "UV_CACHE_DIR", "HOME")
    return {name: os.environ[name] for name in names if name in os.environ}


def _interpreter(feature: str, interpreters: Interpreters) -> str:
    if feature not in interpreters:
        raise EnvfixError(
            f"needs Python {feature}, found {', '.join(interpreters) or 'none'}", "--python PATH"
        )
    return interpreters[feature]


def _feature(path: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([path, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "generations", nargs="*", metavar="GENERATION", help="such as 2.18, or `installs`; default: all"
    )
    parser.add_argument("--python", nargs="+", metavar="PATH", default=[sys.executable], help="interpreters")
    parser.add_argument("--only", nargs="+", metavar="PATTERN", default=["*"], help="names of cases")
    parser.add_argument("--cases", type=Path, default=DATA / CASES)
    parser.add_argument("--output", type=Path, default=DATA, help="where the logs go")
    parser.add_argument("--work", type=Path, default=None, help="where the environments are made")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EnvfixError as problem:
        print(f"error: {problem.message}", file=sys.stderr)
        sys.exit(problem.exit_code)
