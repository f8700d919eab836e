"""Write down the machine this runs on: a file for `--machine`, and the transcripts it was read from.

    python scripts/record_machine.py my-machine.yaml
    python scripts/record_machine.py my-machine.yaml --transcripts tests/data/probe/my-machine

The file holds no evidence, no packages and no variables unless asked for, and both hold nothing private: host
name, user, home folder, UUIDs, serials and MAC addresses are taken out.
"""

from __future__ import annotations

import argparse
import getpass
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from envfix.errors import EnvfixError
from envfix.ports import Outside
from envfix.probe.interpreter import read_target, running_python
from envfix.probe.nvidia_smi import FIELDS, find_nvidia_smi
from envfix.probe.survey import survey
from envfix.reading import to_plain
from envfix.system.outside import RealOutside

COMMANDS = {
    "nvidia-smi.txt": ["{smi}"],
    "nvidia-smi-query.csv": ["{smi}", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"],
    "ldconfig.txt": ["ldconfig", "-p"],
    "nvcc.txt": ["nvcc", "--version"],
}
FILES = (
    "/proc/driver/nvidia/version",
    "/sys/module/nvidia/version",
    "/proc/driver/nvidia/gpus/*/information",
    "/proc/sys/kernel/osrelease",
    "/proc/self/cgroup",
    "/proc/cpuinfo",
    "/etc/os-release",
)
OPTIONAL = {"evidence": "--evidence", "installed": "--installed", "environment": "--environment"}
TIMEOUT = 20.0
PRIVATE = (
    (re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I), r"\1-" + "0" * 8),
    (
        re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I),
        "00000000-0000-0000-0000-000000000000",
    ),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.I), "00:00:00:00:00:00"),
    (re.compile(r"(?i)(\bserial(?: number)?[ \t]*:[ \t]*)\S+"), r"\1(removed)"),
    (re.compile(r"\b[0-9a-f]{32,64}\b", re.I), "(removed)"),
)


def main(argv: Sequence[str]) -> int:
    """The exit code: 0, or 2 with one sentence for a path that cannot be written."""
    options = _parser().parse_args(argv)
    outside = RealOutside()
    try:
        text = record(outside, options.name or Path(options.output).stem, _dropped(options))
        outside.write_text(str(Path(options.output).absolute()), text)
        if options.transcripts:
            for name, content in transcripts(outside).items():
                path = Path(options.transcripts).absolute() / name
                outside.make_dirs(str(path.parent))
                outside.write_text(str(path), content)
                print(f"wrote {path}", file=sys.stderr)
    except OSError as problem:
        print(f"error: `{problem.filename}` cannot be written: {problem.strerror}", file=sys.stderr)
        return 2
    except EnvfixError as problem:
        print(f"error: {problem.message}", file=sys.stderr)
        return problem.exit_code
    print(f"wrote {options.output}", file=sys.stderr)
    return 0


def record(outside: Outside, name: str, dropped: Sequence[str]) -> str:
    """The machine as YAML that `--machine` takes, without the keys `dropped`."""
    machine = survey(outside, read_target(outside, running_python()), budget=TIMEOUT)
    plain = {"name": name, **{key: value for key, value in to_plain(machine).items() if key not in dropped}}
    head = f"# Recorded by scripts/record_machine.py on a machine with {_described(plain)}.\n"
    return head + redacted(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110))


def transcripts(outside: Outside) -> dict[str, str]:
    """File name and redacted text of every source that answered; a refusal is a transcript too."""
    found = {}
    smi = find_nvidia_smi(outside) or "nvidia-smi"
    for name, argv in COMMANDS.items():
        ran = outside.run([word.format(smi=smi) for word in argv], timeout=TIMEOUT)
        if ran.code is not None:
            found[name] = ran.out + ran.err
    for pattern in FILES:
        for path in outside.glob("/", pattern.lstrip("/")):
            try:
                found[path.strip("/").replace("/", "_") + ".txt"] = outside.read_text(path, 1 << 20)
            except OSError as problem:
                print(f"warning: `{path}` cannot be read: {problem.strerror}", file=sys.stderr)
    return {name: redacted(text) for name, text in found.items()}


def redacted(text: str) -> str:
    """The text without what is private: identifiers by their shape, names by what this machine is called."""
    for pattern, instead in PRIVATE:
        text = pattern.sub(instead, text)
    for word, instead in _names():
        text = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", instead, text)
    return text


def _names() -> list[tuple[str, str]]:
    """Host, user and home folder. `root` and `localhost` are everybody's."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    home = str(Path.home())
    words = [(socket.gethostname(), "host"), (user, "user")]
    kept = [(word, instead) for word, instead in words if len(word) > 2 and word not in ("root", "localhost")]
    return ([(home, "/home/user")] if home.count("/") > 1 else []) + kept


def _described(plain: dict[str, object]) -> str:
    gpus = plain.get("gpus")
    names = [str(gpu.get("name", "a GPU")) for gpu in gpus] if isinstance(gpus, list) else []
    return ", ".join(names) or "no known GPU"


def _dropped(options: argparse.Namespace) -> list[str]:
    return [key for key in OPTIONAL if not getattr(options, key)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Record this machine as a file for --machine.")
    parser.add_argument("output", metavar="FILE.yaml", help="where to write the machine")
    parser.add_argument("--name", help="its name (default: the file's)")
    parser.add_argument(
        "--transcripts", metavar="DIR", help="also write the raw transcripts there, as test data"
    )
    for key, flag in OPTIONAL.items():
        parser.add_argument(flag, action="store_true", help=f"keep `{key}`")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
