"""`install --kernel`: an environment of its own with TensorFlow and a kernel in it, beside the notebook's."""

from __future__ import annotations

import json

from msgspec import structs
from packaging.requirements import Requirement

from envfix.deciding import ranked, settled
from envfix.errors import EnvfixError, InputError, NothingFits
from envfix.install import kernelspec
from envfix.installers import uv_binary, uv_environment, uv_folder
from envfix.installing import install
from envfix.matrix import load
from envfix.mending import look
from envfix.model.decision import Fit
from envfix.model.request import InstallOptions, Request
from envfix.model.results import Installed
from envfix.model.target import PipConfig
from envfix.situation import Parts, Where, venv_python

KERNEL = Requirement(f"{kernelspec.KERNEL}>=6")
NEEDED = "the Jupyter kernel needs it"


def install_kernel(
    parts: Parts, request: Request, where: Where, options: InstallOptions, name: str
) -> Installed:
    """`install` into the kernel's own environment, and the kernel registered where that is right and proven.

    Raises InputError for a name that is none or another's, or that cannot be registered; an install that
    fails registers nothing, and one whose verification fails nothing new.
    """
    outside, name = parts.outside, kernelspec.checked_name(name)
    kernelspec.refuse_others(outside, name)
    kernelspec.check_place(outside, name)
    where = structs.replace(where, venv=where.venv or kernelspec.default_folder(name))
    if where.python is None and where.venv is not None and venv_python(outside, where.venv) is None:
        where = structs.replace(where, python=_python(parts, request, where))
    done = install(parts, _with_kernel(request), where, options)
    if options.dry_run:
        made = kernelspec.described(outside, name, done.tensorflow)
        return structs.replace(done, kernelspec=made)
    if done.exit_code == 0:
        made = kernelspec.register(outside, name, done.python, done.tensorflow)
        return structs.replace(done, kernelspec=made)
    said = f"the kernel `{name}` was not registered"
    if any(one.name == name for one in kernelspec.registered(outside, done.python)):
        # Its name must not tell of a release that is gone.
        kernelspec.register(outside, name, done.python, done.tensorflow)
        said = f"the kernel `{name}` stays registered from before, and its environment is not proven now"
    return structs.replace(done, notes=(*done.notes, said))


def _with_kernel(request: Request) -> Request:
    """ipykernel is in the same solution, and so pinned by hash as everything else."""
    if any(one.name.lower() == KERNEL.name for one in request.companions):
        return request
    return structs.replace(request, companions=(*request.companions, KERNEL), because={KERNEL.name: NEEDED})


def _python(parts: Parts, request: Request, where: Where) -> str | None:
    """The interpreter to make the environment with: envfix's own where a release fits it, else one that is
    there and does; None for envfix's own, whose refusal says why nothing fits."""
    if _fits(parts, request, where, None):
        return None
    for path in _there(parts):
        if _fits(parts, request, where, path):
            parts.outside.say(f"`{path}` is taken: no release that is asked for fits this Python")
            return path
    return None


def _fits(parts: Parts, request: Request, where: Where, python: str | None) -> bool:
    """Whether some release that is asked for fits an empty environment of that interpreter."""
    matrix = load.load(parts.outside, parts.matrix_dir)
    try:
        here = look(parts, structs.replace(where, python=python), matrix, to_install=True)
        decision = ranked(here, matrix, settled(request, here, matrix))
    except (InputError, NothingFits):
        return False  # this one does not run, or no release has wheels for it
    return decision.recommended is not None and decision.recommended.fit is not Fit.NO


def _there(parts: Parts) -> tuple[str, ...]:
    """One interpreter of each Python release that is here, newest first: uv's and PATH's, and pyenv's."""
    outside = parts.outside
    argv = [uv_binary(outside), "python", "list", "--only-installed", "--offline", "--output-format", "json"]
    env = uv_environment(outside.environ, PipConfig())
    ran = outside.run(argv, timeout=60, env=env, cwd=uv_folder(outside))
    found: dict[tuple[int, int], str] = {}
    try:
        rows = json.loads(ran.out) if ran.ok else []
        for row in rows:
            parts_of = row["version_parts"]
            if row["implementation"] == "cpython" and row["variant"] == "default":
                found.setdefault((int(parts_of["major"]), int(parts_of["minor"])), str(row["path"]))
    except (ValueError, KeyError, TypeError) as problem:
        raise EnvfixError(f"`uv python list` has not answered as it does: {problem}") from None
    root = outside.environ.get("PYENV_ROOT") or f"{outside.environ.get('HOME', '')}/.pyenv"
    for path in reversed(outside.glob(root, "versions/*/bin/python")):
        numbers = path.split("/")[-3].split(".")
        if len(numbers) == 3 and all(one.isdigit() for one in numbers):
            found.setdefault((int(numbers[0]), int(numbers[1])), path)
    return tuple(path for _, path in sorted(found.items(), reverse=True))
