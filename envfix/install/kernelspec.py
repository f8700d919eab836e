"""A Jupyter kernel of its own: where its environment lies, and the `kernel.json` that registers it.

The format is that of jupyter_client's documentation, "Making kernels for Jupyter"; the folders those of
jupyter_core.paths: `jupyter_data_dir` and `jupyter_path`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from envfix.errors import InputError
from envfix.model.outcome import Kernelspec
from envfix.ports import Outside

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Jupyter always has these: the Python that runs the notebook server.
_NATIVE = ("python", "python2", "python3")
_OWN = "envfix"  # the key of `metadata` that says whose it is


def checked_name(name: str) -> str:
    """The name as Jupyter keeps it, in lower case. Raises InputError for one that is none."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise InputError(
            f"`--kernel {name}` is no kernel's name: letters, digits, `.`, `_` and `-`, the first of them "
            "a letter or digit",
            "--kernel tf-2.16",
        )
    if name.lower() in _NATIVE:
        raise InputError(
            f"`--kernel {name}` is the name of the notebook's own kernel", "name another: --kernel tf"
        )
    return name.lower()


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


def refuse_others(outside: Outside, name: str) -> None:
    """Raises InputError where a kernel of that name is there that is not envfix's, or would be hidden."""
    for kernels in dict.fromkeys((f"{_data_dir(outside)}/kernels", *_others(outside))):
        for entry in outside.listdir(kernels):
            spec = f"{kernels}/{entry}/kernel.json"
            if entry.lower() == name and outside.exists(spec) and not _is_own(outside, spec):
                raise InputError(
                    f"a Jupyter kernel `{entry}` is there already, and not envfix's: `{spec}`",
                    f"name another: --kernel {name}-tf",
                )


def register(outside: Outside, name: str, python: str, tensorflow: str) -> Kernelspec:
    """Write the kernelspec; the same one twice writes nothing. Raises InputError where it cannot be."""
    refuse_others(outside, name)
    made = described(outside, name, tensorflow)
    text = json.dumps(_spec(python, made.display_name), indent=1) + "\n"
    path = f"{made.path}/kernel.json"
    try:
        if not outside.exists(path) or outside.read_text(path) != text:
            outside.make_dirs(made.path)
            outside.write_text(path, text)
    except OSError as problem:
        raise InputError(
            f"the kernel cannot be registered in `{made.path}`: {problem.strerror or problem}",
            "the environment is there: name a folder for it with JUPYTER_DATA_DIR",
        ) from None
    return made


def described(outside: Outside, name: str, tensorflow: str) -> Kernelspec:
    """The kernelspec as it is or would be registered."""
    return Kernelspec(
        name=name, path=folder_of(outside, name), display_name=f"TensorFlow {tensorflow} ({name})"
    )


def _spec(python: str, display_name: str) -> dict[str, Any]:
    return {
        "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        # A notebook server hands its own on, whose modules are another Python's; an empty one is none.
        "env": {"PYTHONPATH": ""},
        "metadata": {"debugger": True, _OWN: {"python": python}},
    }


def _is_own(outside: Outside, path: str) -> bool:
    try:
        spec = json.loads(outside.read_text(path, 1 << 20))
        return _OWN in spec["metadata"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
