"""Library discovery: makes a plain `import tensorflow` find the CUDA libraries of its environment.

What runs in the target is in `payload/`; this puts it there as a small distribution, `envfix-loader`, with
its own RECORD, so that any uninstaller takes all of it away again.

Measured against relative links beside TensorFlow: links do not reach 2.21.0 (no `$ORIGIN` on the RUNPATH that
counts), lose to a stray library on LD_LIBRARY_PATH, and leave a toolkit's ptxas in front of the wheel's. A
Python start that does not import TensorFlow costs 0.3 to 0.4 ms more (3.7 to 3.12); on 3.13 0.6 to 1.1 ms,
half of which any first `.pth` file costs there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from envfix.errors import InstallFailed
from envfix.model.target import Target
from envfix.ports import Outside
from envfix.record import recorded

NAME = "envfix-loader"
VERSION = "1.0"
# Named as packaging.python.org, "Recording installed projects", wants it.
DIST_INFO = f"envfix_loader-{VERSION}.dist-info"
START = "_envfix_loader.pth"
MODULES = ("_envfix_loader.py", "_envfix_preload.py")
CONFIG = "_envfix_loader.json"
LIBDEVICE = "nvvm/libdevice/libdevice.10.bc"

METADATA = f"""\
Metadata-Version: 2.1
Name: {NAME}
Version: {VERSION}
Summary: Lets TensorFlow find the CUDA libraries of this environment; installed by envfix
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: envfix
Root-Is-Purelib: true
Tag: py3-none-any
"""
# Without its bytecode the module is compiled anew at every start where PYTHONDONTWRITEBYTECODE is set: 2 ms.
COMPILE = """\
import py_compile, sys
for source, compiled in zip(sys.argv[1::2], sys.argv[2::2]):
    py_compile.compile(source, compiled, doraise=True)
"""


class Distribution(Struct, frozen=True, kw_only=True):
    """The files of the distribution below `site`, in the order in which they may appear: the `.pth` comes
    last, so that no Python start sees half of it. `compiled` maps sources to their bytecode."""

    site: str
    files: Mapping[str, str]
    compiled: Mapping[str, str]


def describe(outside: Outside, target: Target, folders: Sequence[str] = ()) -> Distribution:
    """What an install puts into the target. `folders` are absolute library folders of a system CUDA."""
    tag = f"{target.implementation}-{target.feature}".replace(".", "")
    compiled = {name: f"__pycache__/{name.removesuffix('.py')}.{tag}.pyc" for name in MODULES}
    config = {"folders": list(folders), "cuda_data_dir": _cuda_data_dir(outside, folders)}
    files = {name: _payload(outside, name) for name in MODULES}
    files[CONFIG] = json.dumps(config, indent=1) + "\n"
    files[f"{DIST_INFO}/METADATA"] = METADATA
    files[f"{DIST_INFO}/WHEEL"] = WHEEL
    files[f"{DIST_INFO}/INSTALLER"] = "envfix\n"
    start = f"import {MODULES[0].removesuffix('.py')}\n"
    files[f"{DIST_INFO}/RECORD"] = _record({**files, START: start}, tuple(compiled.values()))
    files[START] = start
    return Distribution(site=target.purelib, files=files, compiled=compiled)


def is_there(outside: Outside, target: Target) -> bool:
    """Whether any version of the distribution is installed, so that a running kernel may have its hook."""
    return bool(_installed(outside, target))


def is_current(outside: Outside, target: Target, folders: Sequence[str] = ()) -> bool:
    """Whether `install` with the same folders would change nothing. Reads only."""
    wanted = describe(outside, target, folders)
    if _installed(outside, target) != (f"{wanted.site}/{DIST_INFO}",):
        return False
    if not all(outside.exists(f"{wanted.site}/{path}") for path in wanted.compiled.values()):
        return False
    return all(_read(outside, f"{wanted.site}/{name}") == text for name, text in wanted.files.items())


def install(outside: Outside, target: Target, folders: Sequence[str] = ()) -> str:
    """Install the distribution, and say what was done in one line; the same one twice writes nothing.

    Raises InstallFailed, with what was written taken away again.
    """
    if is_current(outside, target, folders):
        return f"{NAME} {VERSION} is there"
    wanted = describe(outside, target, folders)
    try:
        remove(outside, target)
        outside.make_dirs(f"{wanted.site}/{DIST_INFO}")
        for name, text in wanted.files.items():
            if name == START:
                _compile(outside, target, wanted)
            # On the disk when all else that the change writes is (`Change.lasts`).
            outside.write_text(f"{wanted.site}/{name}", text, lasting=False)
    except OSError as problem:
        _take_away(outside, wanted)
        raise InstallFailed(
            f"{NAME} cannot be written to `{wanted.site}`: {problem.strerror or problem}",
            "make room or writable, then run the same command again",
        ) from problem
    except BaseException:
        _take_away(outside, wanted)
        raise
    where = f", and the CUDA libraries of {', '.join(folders)}" if folders else ""
    return f"{NAME} {VERSION} installed: `import tensorflow` finds the CUDA wheels of its environment{where}"


def remove(outside: Outside, target: Target) -> tuple[str, ...]:
    """Take away every version of the distribution; the paths that were removed."""
    removed = []
    for folder in _installed(outside, target):
        names = recorded(outside, folder) or ()
        # A start between two removals must not find the .pth without its module.
        for name in sorted(names, key=lambda name: not name.endswith(".pth")):
            path = f"{target.purelib}/{name}"
            if ".." not in name.split("/") and outside.exists(path):
                outside.remove(path)
                removed.append(path)
        outside.remove_tree(folder)
    return tuple(removed)


def _payload(outside: Outside, name: str) -> str:
    return outside.read_text(str(Path(__file__).parent / "payload" / name))


def _cuda_data_dir(outside: Outside, folders: Sequence[str]) -> str | None:
    """The root of the toolkit that one of the folders belongs to: what holds libdevice for XLA."""
    for folder in folders:
        for root in list(Path(folder).parents)[:3]:
            if outside.exists(f"{root}/{LIBDEVICE}"):
                return str(root)
    return None


def _record(files: Mapping[str, str], compiled: Sequence[str]) -> str:
    lines = []
    for name, text in files.items():
        data = text.encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    lines += [f"{name},," for name in (*compiled, f"{DIST_INFO}/RECORD")]
    return "\n".join(lines) + "\n"


def _installed(outside: Outside, target: Target) -> tuple[str, ...]:
    return outside.glob(target.purelib, "envfix_loader-*.dist-info")


def _read(outside: Outside, path: str) -> str | None:
    try:
        return outside.read_text(path)
    except OSError:
        return None


def _compile(outside: Outside, target: Target, wanted: Distribution) -> None:
    pairs = [f"{wanted.site}/{path}" for pair in wanted.compiled.items() for path in pair]
    outside.make_dirs(f"{wanted.site}/__pycache__")
    ran = outside.run([target.executable, "-I", "-S", "-c", COMPILE, *pairs], timeout=60)
    if not ran.ok:
        last = (ran.err.strip().splitlines() or [ran.error or f"exit status {ran.code}"])[-1]
        raise InstallFailed(f"`{target.executable}` cannot compile {NAME}: {last}")


def _take_away(outside: Outside, wanted: Distribution) -> None:
    for name in (START, *(name for name in wanted.files if name != START), *wanted.compiled.values()):
        outside.remove(f"{wanted.site}/{name}")
    outside.remove_tree(f"{wanted.site}/{DIST_INFO}")
