"""A Jupyter kernel of its own: where its environment lies, and the `kernel.json` that registers it.

The format is that of jupyter_client's documentation, "Making kernels for Jupyter"; the folders those of
jupyter_core.paths: `jupyter_data_dir` and `jupyter_path`.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envfix.errors import EnvironmentChanged, InputError
from envfix.model.conflicts import TENSORFLOWS
from envfix.model.outcome import Kernelspec, KernelspecChange, PackageMove
from envfix.ports import Outside

KERNEL = "ipykernel"
LONGEST = 64  # characters of a name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Jupyter always has these: the Python that runs the notebook server.
_NATIVE = ("python", "python2", "python3")
_ELSEWHERE = "name another folder with JUPYTER_DATA_DIR"
_OWN = "envfix"  # the key of `metadata` that says whose it is


def checked_name(name: str) -> str:
    """The name as Jupyter keeps it, in lower case. Raises InputError for one that is none."""
    if len(name) > LONGEST:
        raise InputError(
            f"`--kernel {name[:20]}...` has {len(name)} characters, and a kernel's name {LONGEST} at most",
            f"--kernel {_made_valid(name)}",
        )
    if not _NAME.fullmatch(name) or name.endswith("."):
        shown = name if name.isprintable() else ascii(name)[1:-1]
        raise InputError(
            f"`--kernel {shown}` is no kernel's name: ASCII letters, digits, `.`, `_` and `-`, the first a "
            "letter or digit, the last no `.`",
            f"--kernel {_made_valid(name)}",
        )
    if name.lower() in _NATIVE:
        raise InputError(
            f"`--kernel {name}` is the name of the notebook's own kernel", "name another: --kernel tf"
        )
    return name.lower()


def _made_valid(name: str) -> str:
    """The nearest name that is one; an example where nothing of it can stay."""
    near = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")[:LONGEST].strip("._-").lower()
    return near if near and near not in _NATIVE else "tf-2.16"


def default_folder(name: str) -> str:
    """Where the environment of a kernel lies that no `--venv` names."""
    import platformdirs

    place = platformdirs.user_data_path("envfix", appauthor=False)
    if not place.is_absolute():
        raise InputError("this user has no home folder for the kernel's environment", "name one: --venv DIR")
    return place.joinpath("kernels", name).as_posix()


def folder_of(outside: Outside, name: str) -> str:
    """The folder of the kernelspec in the user's own Jupyter folder."""
    return f"{_data_dir(outside)}/kernels/{name}"


def check_place(outside: Outside, name: str) -> None:
    """Raises InputError where the kernelspec could not be written: better known before the install."""
    folder = folder_of(outside, name)
    there = next((place for place in (folder, *_parents(folder)) if outside.exists(place)), "/")
    if outside.exists(there) and not outside.is_dir(there):
        raise InputError(f"the kernel cannot be registered in `{folder}`: `{there}` is a file", _ELSEWHERE)
    if not outside.writable(folder):
        raise InputError(
            f"the kernel cannot be registered in `{folder}`: no permission to write in `{there}`", _ELSEWHERE
        )


def _parents(path: str) -> tuple[str, ...]:
    return tuple(parent.as_posix() for parent in Path(path).parents)


def refuse_others(outside: Outside, name: str) -> None:
    """Raises InputError where a kernel of that name is there that is not envfix's, or would be hidden."""
    for kernels in dict.fromkeys((f"{_data_dir(outside)}/kernels", *_others(outside))):
        for entry in outside.listdir(kernels):
            spec = f"{kernels}/{entry}/kernel.json"
            if entry.lower() != name or not outside.exists(spec):
                continue
            found = _spec_in(outside, spec)
            if found is None:
                raise InputError(
                    f"the Jupyter kernel `{entry}` is broken: `{spec}` holds no kernelspec",
                    f"remove it: {shlex.join(['rm', '-r', f'{kernels}/{entry}'])}",
                )
            if not _is_own(found):
                raise InputError(
                    f"a Jupyter kernel `{entry}` is there already, and not envfix's: `{spec}`",
                    f"name another: --kernel {name}-tf",
                )


def register(outside: Outside, name: str, python: str, tensorflow: str) -> Kernelspec:
    """Write the kernelspec; the same one twice writes nothing. Raises InputError where another's has come up
    meanwhile, EnvironmentChanged where it cannot be written: the environment is there all the same."""
    refuse_others(outside, name)
    made = described(outside, name, tensorflow)
    try:
        _write(outside, made.path, _spec(python, made.display_name))
    except OSError as problem:
        why = problem.strerror or problem
        raise EnvironmentChanged(
            f"the kernel cannot be registered in `{made.path}`: {why} (its environment is there: `{python}`)",
            f"run it again, it installs nothing anew: envfix install --kernel {name}",
        ) from None
    return made


def registered(outside: Outside, python: str) -> tuple[Kernelspec, ...]:
    """The kernels that envfix has registered for that interpreter, as they stand in the user's own folder."""
    kernels, found = f"{_data_dir(outside)}/kernels", []
    for name in outside.listdir(kernels):
        spec = _spec_in(outside, f"{kernels}/{name}/kernel.json")
        if spec is not None and _is_own(spec) and spec["metadata"][_OWN] == {"python": python}:
            shown = str(spec.get("display_name", name))
            found.append(Kernelspec(name=name, path=f"{kernels}/{name}", display_name=shown))
    return tuple(found)


def follow(outside: Outside, python: str, undone: Sequence[PackageMove]) -> tuple[KernelspecChange, ...]:
    """Bring the kernels of that interpreter to what is there after its packages went back: one that has lost
    TensorFlow or ipykernel is removed, and one that names the release gets its name. Raises OSError."""
    changes = []
    backs = {move.name: move for move in undone}
    tensorflow = next((backs[name] for name in sorted(TENSORFLOWS) if name in backs), None)
    for one in registered(outside, python):
        if any(move is not None and move.before is None for move in (tensorflow, backs.get(KERNEL))):
            outside.remove(f"{one.path}/kernel.json")
            if not outside.listdir(one.path):
                outside.remove_tree(one.path)
            changes.append(KernelspecChange(name=one.name, path=one.path, display_name=None))
        elif tensorflow is not None and one.display_name == _display_name(one.name, tensorflow.after or ""):
            shown = _display_name(one.name, tensorflow.before or "")
            _write(outside, one.path, _spec(python, shown))
            changes.append(KernelspecChange(name=one.name, path=one.path, display_name=shown))
    return tuple(changes)


def rename(outside: Outside, python: str, tensorflow: str) -> tuple[KernelspecChange, ...]:
    """Bring the kernels of that interpreter to the release that is there now; a name that the user has given
    stays. Raises OSError."""
    changes = []
    for one in registered(outside, python):
        shown = _display_name(one.name, tensorflow)
        was = re.fullmatch(rf"TensorFlow \S+ \({re.escape(one.name)}\)", one.display_name)
        if was and one.display_name != shown:
            _write(outside, one.path, _spec(python, shown))
            changes.append(KernelspecChange(name=one.name, path=one.path, display_name=shown))
    return tuple(changes)


def described(outside: Outside, name: str, tensorflow: str) -> Kernelspec:
    """The kernelspec as it is or would be registered."""
    return Kernelspec(name=name, path=folder_of(outside, name), display_name=_display_name(name, tensorflow))


def _display_name(name: str, tensorflow: str) -> str:
    return f"TensorFlow {tensorflow} ({name})"


def _spec(python: str, display_name: str) -> dict[str, Any]:
    return {
        "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        # A notebook server hands its own on, whose modules are another Python's; an empty one is none.
        "env": {"PYTHONPATH": ""},
        "metadata": {"debugger": True, _OWN: {"python": python}},
    }


def _write(outside: Outside, folder: str, spec: Mapping[str, Any]) -> None:
    """The same one twice writes nothing."""
    path, text = f"{folder}/kernel.json", json.dumps(spec, indent=1) + "\n"
    if not outside.exists(path) or outside.read_text(path) != text:
        outside.make_dirs(folder)
        outside.write_text(path, text)


def _spec_in(outside: Outside, path: str) -> dict[str, Any] | None:
    """The JSON object in the file, None where it is not there or holds none."""
    try:
        spec = json.loads(outside.read_text(path, 1 << 20))
    except (OSError, ValueError):
        return None
    return spec if isinstance(spec, dict) else None


def _is_own(spec: Mapping[str, Any]) -> bool:
    metadata = spec.get("metadata")
    return isinstance(metadata, dict) and _OWN in metadata


def _data_dir(outside: Outside) -> str:
    named = outside.environ.get("JUPYTER_DATA_DIR", "")
    if named:
        return Path(named).expanduser().absolute().as_posix()
    home = Path("~").expanduser()
    if sys.platform == "darwin":
        return (home / "Library/Jupyter").as_posix()
    if sys.platform == "win32":
        return (Path(outside.environ.get("APPDATA") or home / "AppData/Roaming") / "jupyter").as_posix()
    data = outside.environ.get("XDG_DATA_HOME", "")
    return (
        Path(data) if data and Path(data).is_absolute() else home / ".local/share"
    ).as_posix() + "/jupyter"


def _others(outside: Outside) -> tuple[str, ...]:
    """Where else Jupyter looks: JUPYTER_PATH, the environment that runs envfix, the system."""
    named = outside.environ.get("JUPYTER_PATH", "").split(":" if sys.platform != "win32" else ";")
    roots = [*filter(None, named), f"{sys.prefix}/share/jupyter"]
    roots += ["/usr/local/share/jupyter", "/usr/share/jupyter"] if sys.platform != "win32" else []
    return tuple(f"{root}/kernels" for root in roots)
