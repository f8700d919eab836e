"""Put the same eight questions to envfix and to what people use instead, and print what each answers.

    python scripts/peers.py [--only SITUATION]

env-doctor, rigsolve and cuda-doctor are installed from the index into an environment of their own. No machine
of the list is here: rigsolve and envfix take it by name, and for the two others, which ask `nvidia-smi` alone
of it, one is on PATH that answers for that machine. Nothing judges here; the README's table was written from
what this prints.
"""

from __future__ import annotations

import argparse
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import uv

from envfix.matrix import load
from envfix.model.machine import Machine, known
from envfix.probe.machine_file import load_machine
from envfix.system.outside import RealOutside

PEERS = ("env-doctor", "rigsolve", "cuda-doctor")
LOG = (
    "W0000 Cannot dlopen some GPU libraries. Please make sure the missing libraries mentioned above are ...\n"
)
SHOWN = 14  # lines of an answer
WORDS = (
    "tensorflow",
    "cudnn",
    "driver",
    "gpu",
    "conflict",
    "status",
    "best",
    "note",
    "cause",
    "torch",
    "error",
    "manual",
)


class Situation(NamedTuple):
    """A machine that envfix ships, what stands beside TensorFlow there, and rigsolve's word for the GPU."""

    name: str
    machine: str
    card: str
    beside: tuple[str, ...] = ()


SITUATIONS = (
    Situation("Colab T4", "colab-t4", "T4"),
    Situation("Kaggle P100", "kaggle-p100", "P100"),
    Situation("H100, driver R535", "h100-535", "H100"),
    Situation("K80, driver R470", "k80-470", "K80"),
    Situation("RTX 5090", "rtx-5090", "RTX5090"),
    Situation("torch 2.9.1 beside it", "colab-t4", "T4", ("torch==2.9.1",)),
    Situation("no GPU", "no-gpu", ""),
)

SMI = """#!{python}
import sys
query = next((word for word in sys.argv if word.startswith("--query-gpu=")), "")
row = {row!r}
if query:
    print(", ".join(row.get(field, "[N/A]") for field in query.split("=")[1].split(",")))
else:
    print("| NVIDIA-SMI {{0}}    Driver Version: {{0}}    CUDA Version: {{1}}  |".format(*{driver!r}))
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Put the same questions to envfix and its peers.")
    parser.add_argument("--only", metavar="SITUATION", help="one of them, by the beginning of its name")
    only = parser.parse_args(argv).only or ""
    with tempfile.TemporaryDirectory(prefix="envfix-peers-") as folder:
        bin_dir = peers(Path(folder))
        for situation in SITUATIONS:
            if situation.name.startswith(only):
                print(f"\n# {situation.name}")
                for command, path in questions(situation, bin_dir, Path(folder)):
                    answer(command, path)
        if "a log".startswith(only):
            print("\n# a log")
            log = Path(folder) / "tf.log"
            log.write_text(LOG)
            answer((sys.executable, "-m", "envfix", "explain", str(log)), "")
    return 0


def peers(folder: Path) -> Path:
    """The commands of an environment with nothing but the peers."""
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "--python", sys.executable, folder / "peers"], check=True)
    python = folder / "peers/bin/python"
    subprocess.run([uv.find_uv_bin(), "pip", "install", "-q", "--python", python, *PEERS], check=True)
    freeze = [uv.find_uv_bin(), "pip", "freeze", "--python", python]
    listed = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout.splitlines()
    print("  ".join(line for line in listed if line.startswith(PEERS)))
    return folder / "peers/bin"


def questions(situation: Situation, commands: Path, folder: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command with the folder that comes first on its PATH."""
    machine = load_machine(RealOutside(), situation.machine, f"{load.matrix_dir()}/machines")
    python = str(known(machine.python, "3.12"))
    smi = nvidia_smi(machine, folder / situation.machine)
    beside = [word for requirement in situation.beside for word in ("--with", requirement)]
    report = (sys.executable, "-m", "envfix", "report", "--machine", situation.machine, *beside)
    yield report, ""
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(("tensorflow[and-cuda]", *situation.beside)))
    resolve = (uv.find_uv_bin(), "pip", "compile", "-q", "--no-annotate", "--python-version", python)
    yield (*resolve, str(wanted)), ""
    yield (str(commands / "env-doctor"), "install", "tensorflow"), smi
    yield (str(commands / "cuda-doctor"), "diagnose", "--format", "markdown"), smi
    driver = known(machine.driver, None)
    target = [situation.card, f"driver={driver.release}" if driver else "", f"python={python}", "linux"]
    named = ("--target", ",".join(filter(None, target))) if situation.card else ()
    yield (str(commands / "rigsolve"), "solve", "--want", "tensorflow", *situation.beside, *named), ""


def nvidia_smi(machine: Machine, folder: Path) -> str:
    """A folder whose `nvidia-smi` answers for the first GPU of a machine; empty where there is no driver."""
    driver = known(machine.driver, None)
    if not driver:
        return ""
    gpu = known(machine.gpus, ())[0]
    row = {
        "index": "0",
        "name": str(gpu.name),
        "uuid": "GPU-00000000-0000-0000-0000-000000000000",
        "memory.total": f"{gpu.memory_mib} MiB",
        "compute_cap": str(gpu.compute_capability),
        "driver_version": str(driver.release),
    }
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    text = SMI.format(python=sys.executable, row=row, driver=(str(driver.release), str(driver.cuda)))
    program.write_text(text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def answer(command: Sequence[str], first: str) -> None:
    """Print the command, how it ended, and the lines that say something of TensorFlow or a GPU."""
    path = os.pathsep.join(filter(None, (first, os.environ.get("PATH", ""))))
    env = {**os.environ, "PATH": path, "COLUMNS": "160"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    print(f"$ {Path(command[0]).name} {' '.join(command[1:])}   -> {done.returncode}")
    said = (done.stdout + done.stderr).splitlines()
    lines = [line for line in said if any(word in line.lower() for word in WORDS)]
    print("\n".join(f"    {line.strip()[:150]}" for line in lines[:SHOWN]))


if __name__ == "__main__":
    sys.exit(main())
