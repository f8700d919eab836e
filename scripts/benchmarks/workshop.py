"""Where a bench works: a folder of its own that is removed, commands that are timed, words on the way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import ratios

SHIM = Path(__file__).with_name("shim.py")
PATIENCE = 30.0  # seconds in which what is interrupted puts things back
NEVER = 24 * 3600.0
T4 = """\
driver: {{release: 550.54.15, cuda: 12.4}}
gpus: [{{name: Tesla T4, compute_capability: 7.5, memory_mib: 15360}}]
os: linux
arch: x86_64
glibc: 2.35
python: {feature}
cpu_flags: [avx]
"""


class Failed(Exception):
    """A command of the bench ended otherwise than it should."""


class Run(NamedTuple):
    """What one command took: seconds, and the peak memory in bytes of the largest of its processes.

    `over` says that it was ended at its time limit.
    """

    wall: float
    cpu: float
    peak: int
    code: int
    out: str
    err: str
    over: bool = False


class Workshop:
    """`python` is the interpreter of every environment that is made. Nothing outside `folder` is written but
    the cache of uv's that the variables name."""

    def __init__(self, folder: Path, python: str) -> None:
        from envfix.installers import uv_environment
        from envfix.resolve.pip_config import read_pip_config
        from envfix.system.outside import RealOutside

        self.folder, self.python = folder, python
        outside = RealOutside()
        own = {
            "ENVFIX_STATE_DIR": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or self._uv_cache(),
        }
        # Installed packages have their byte code; a setting that keeps it back would time the compiler.
        kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        # uv reads no configuration of pip's: it is given the indexes that envfix and pip take from there.
        self.env = {**kept, **uv_environment(outside.environ, read_pip_config(outside, None)), **own}

    def _uv_cache(self) -> str:
        asked = subprocess.run([uv_program(), "cache", "dir"], capture_output=True, text=True)
        if asked.returncode:
            raise Failed(f"`uv cache dir` ended with {asked.returncode}: {asked.stderr.strip()}")
        return asked.stdout.strip()

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] | None = (0,),
        limit: float = NEVER,
    ) -> Run:
        """Run it to its end, or to `limit` seconds. Raises Failed for a code that is not `ok` (None: any)."""
        answer = self.folder / "took.json"
        answer.unlink(missing_ok=True)
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SHIM), str(answer), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**self.env, **(env or {})},
            cwd=self.folder,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _end(child)
            return Run(time.perf_counter() - start, 0.0, 0, -1, "", "", over=True)
        except BaseException:
            _end(child)
            raise
        if not answer.exists():
            raise Failed(f"`{' '.join(argv)}` could not be run: {err.strip()}")
        run = Run(out=out, err=err, **json.loads(answer.read_text()))
        if ok is not None and run.code not in ok:
            raise Failed(f"`{' '.join(argv)}` ended with {run.code}:\n{run.err[-2000:]}")
        return run

    def alternately(
        self,
        commands: Sequence[Sequence[str]],
        rounds: int,
        *,
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] | None = (0,),
    ) -> list[list[Run]]:
        """The runs of each command, side by side. Raises Failed."""
        return ratios.alternately([partial(self.run, argv, env=env, ok=ok) for argv in commands], rounds)

    def say(self, text: str) -> None:
        """One line of progress: over the last one on a terminal."""
        ends = "\r" if sys.stderr.isatty() else "\n"
        width = shutil.get_terminal_size().columns - 1
        print(f"{text[:width]:<{width}}" if ends == "\r" else text, end=ends, file=sys.stderr, flush=True)

    def venv(self, name: str, *packages: str, seed: bool = False) -> Path:
        """The `bin` folder of a new environment with these packages, their byte code compiled."""
        folder = self.folder / name
        seeded = ["--seed"] if seed else []
        self.run([uv_program(), "venv", "--quiet", *seeded, "--python", self.python, str(folder)])
        if packages:
            self.say(f"installing {', '.join(packages)} ...")
            into = ["--python", str(folder / "bin" / "python")]
            self.run([uv_program(), "pip", "install", "--quiet", "--compile-bytecode", *into, *packages])
        return folder / "bin"

    def remove(self, *names: str) -> None:
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def machine(self) -> str:
        """The file of a machine with a Tesla T4 around this Python."""
        path = self.folder / "t4.yaml"
        if not path.exists():
            asked = "import sys; print('%d.%d' % sys.version_info[:2])"
            path.write_text(T4.format(feature=self.run([self.python, "-c", asked]).out.strip()))
        return str(path)


@contextlib.contextmanager
def workshop(python: str, parent: str | None) -> Iterator[Workshop]:
    """A folder below `parent` that is removed at the end, also when the bench is interrupted or ended."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="envfix-bench-", dir=parent))
    try:
        yield Workshop(folder.resolve(), python)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(child: subprocess.Popen[str]) -> None:
    """End it with all that it started: first so that it can put things back."""
    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=patience)
            return


def uv_program() -> str:
    import uv

    return str(uv.find_uv_bin())


def envfix_command() -> tuple[str, ...]:
    """The installed command, as a user starts it; the module where there is none beside this Python."""
    script = Path(sys.executable).with_name("envfix")
    return (str(script),) if script.exists() else (sys.executable, "-m", "envfix")
