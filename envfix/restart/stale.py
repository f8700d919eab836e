"""Whether the notebook's kernel still holds what an install replaced, and what to click or type there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from envfix.model.machine import Platform
from envfix.model.outcome import RestartAdvice
from envfix.model.target import Caller, Kernel
from envfix.ports import Outside
from envfix.restart.contents import Contents, contents_of

DELETED = " (deleted)"
HOW = {
    Platform.COLAB: "Runtime → Restart session (Ctrl+M .), then run the cells from the top",
    Platform.KAGGLE: "Run → Restart & clear cell outputs, then run the cells from the top",
    Platform.SAGEMAKER: "Kernel → Restart Kernel, then run the cells from the top",
    Platform.JUPYTER: "Kernel → Restart Kernel, then run the cells from the top",
    Platform.VSCODE: "click Restart above the notebook, then run the cells from the top",
}
# Where a session is a notebook even when its kernel cannot be seen among the parents (another PID namespace).
NOTEBOOKS = (Platform.COLAB, Platform.KAGGLE, Platform.SAGEMAKER, Platform.JUPYTER)
# What TensorFlow looks for when it starts, and never again in that process.
SEARCHED_ONCE = ("nvidia-", "tensorflow", "tf-nightly", "envfix")
# Works through a `.pth` file, which Python reads only when it starts (documentation of `site`).
LOADER = "envfix-loader"
UNSEEN = "what a kernel has imported of plain Python packages cannot be seen from outside"


class Mapped(NamedTuple):
    """A file that a process has in memory; `deleted` when it was replaced or removed since."""

    path: str
    deleted: bool


def advise(
    outside: Outside,
    kernel: Kernel | None,
    platform: Platform | object,
    changed: Sequence[str],
    site_packages: Sequence[str],
    added: Collection[str] = (),
    caller: Caller | None = None,
) -> RestartAdvice:
    """Whether `kernel` must be restarted after the distributions `changed` in `site_packages`.

    Those of them that are `added` were not there before, so nothing can have imported them. A kernel that
    cannot be looked into is advised to restart: stale libraries crash, a restart only costs. A `caller` has
    said what it has imported, so that nothing has to be guessed of it.
    """
    if kernel is None and caller is not None:
        kernel = Kernel(pid=caller.pid, python=caller.python, command=())
    if not changed:
        return RestartAdvice(
            needed=False, reason="nothing was changed", kernel_pid=kernel.pid if kernel else None
        )
    if kernel is None:
        if platform in NOTEBOOKS:
            return _needed(
                "the notebook's kernel was not found, so it may hold what was changed", platform, None
            )
        return RestartAdvice(needed=False, reason="envfix was not started from a notebook's kernel")
    try:
        maps = outside.read_text(f"/proc/{kernel.pid}/maps", 64 << 20)
    except (FileNotFoundError, ProcessLookupError):
        return RestartAdvice(
            needed=False, reason=f"the kernel (process {kernel.pid}) has ended", kernel_pid=kernel.pid
        )
    except OSError as problem:
        why = f"/proc/{kernel.pid}/maps cannot be read ({problem.strerror or problem})"
        return _needed(f"{why}, so the kernel may hold what was changed", platform, kernel)
    imported = caller.imported if caller is not None and caller.pid == kernel.pid else None
    return _judge(outside, kernel, platform, changed, added, site_packages, parse_maps(maps), imported)


def still_holds(
    outside: Outside, kernel: Kernel, platform: Platform | object, site_packages: Sequence[str]
) -> RestartAdvice | None:
    """The advice where the kernel holds libraries of `site_packages` that were replaced since it loaded them;
    None where it holds none, or cannot be looked into."""
    try:
        maps = outside.read_text(f"/proc/{kernel.pid}/maps", 64 << 20)
    except OSError:
        return None
    folders = _with_real_paths(outside, site_packages)
    replaced = [
        one.path for one in parse_maps(maps) if one.deleted and _relative(one.path, folders) is not None
    ]
    if not replaced:
        return None
    return _needed(_count(replaced, "replaced since the kernel started", folders), platform, kernel, replaced)


def runs_in(outside: Outside, kernel: Kernel, site_packages: Sequence[str]) -> bool:
    """Whether the kernel's interpreter is that of the folders."""
    return _runs_in(kernel.python, _with_real_paths(outside, site_packages))


def _judge(
    outside: Outside,
    kernel: Kernel,
    platform: Platform | object,
    changed: Sequence[str],
    added: Collection[str],
    site_packages: Sequence[str],
    mapped: Sequence[Mapped],
    imported: Collection[str] | None,
) -> RestartAdvice:
    folders = _with_real_paths(outside, site_packages)
    inside = [one for one in mapped if _relative(one.path, folders) is not None]
    if not inside and not _runs_in(kernel.python, folders):
        reason = f"the kernel runs `{kernel.python}`, which is not the environment that was changed"
        return RestartAdvice(needed=False, reason=reason, kernel_pid=kernel.pid)
    replaced = [one.path for one in inside if one.deleted]
    if replaced:
        return _needed(
            _count(replaced, "replaced since the kernel started", folders), platform, kernel, replaced
        )
    contents = contents_of(outside, changed, folders)
    files = {path for one in contents.values() for path in one.libraries}
    touched = [one.path for one in inside if _relative(one.path, folders) in files]
    if touched:
        return _needed(
            _count(touched, "loaded in the kernel and changed", folders), platform, kernel, touched
        )
    started = [one.path for one in inside if (_relative(one.path, folders) or "").startswith("tensorflow/")]
    if started and any(name.startswith(SEARCHED_ONCE) for name in changed):
        reason = "TensorFlow is loaded in the kernel and looks for its libraries only when it starts"
        return _needed(reason, platform, kernel, started)
    if imported is not None:
        return _exact(contents, added, LOADER in changed, imported, platform, kernel)
    if LOADER in changed:
        return _needed(f"the kernel started before {LOADER} was installed", platform, kernel)
    return _guessed(contents, added, platform, kernel)


def _guessed(
    contents: Mapping[str, Contents], added: Collection[str], platform: Platform | object, kernel: Kernel
) -> RestartAdvice:
    """The advice for a kernel that holds no changed library, as far as that is seen from outside."""
    unseen = _unseen(contents, added)
    return RestartAdvice(
        needed=None if unseen else False,
        reason=UNSEEN if unseen else "the kernel has loaded none of the changed libraries",
        how=how(platform) if unseen else "",
        kernel_pid=kernel.pid,
        if_imported=unseen,
    )


def _exact(
    contents: Mapping[str, Contents],
    added: Collection[str],
    hook: bool,
    imported: Collection[str],
    platform: Platform | object,
    kernel: Kernel,
) -> RestartAdvice:
    """The advice for a process that has said what it has imported, and sees none of it replaced in /proc.

    It imports a new `hook` itself after the change, which is in time before TensorFlow is imported.
    """
    held = sorted(
        {
            name
            for distribution, one in contents.items()
            if distribution not in added and distribution != LOADER
            for name in one.imports
            if name in imported
        }
    )
    if held:
        named = ", ".join(held[:4]) + (f" and {len(held) - 4} more" if len(held) > 4 else "")
        return _needed(f"imported in the kernel and changed: {named}", platform, kernel)
    if hook and "tensorflow" in imported:
        return _needed(f"TensorFlow was imported before {LOADER} was installed", platform, kernel)
    return RestartAdvice(
        needed=False, reason="the kernel has imported nothing that was changed", kernel_pid=kernel.pid
    )


def _unseen(contents: Mapping[str, Contents], added: Collection[str]) -> tuple[str, ...]:
    """What can be imported of the replaced distributions that have no shared object, which would be seen."""
    return tuple(
        sorted(
            name
            for distribution, one in contents.items()
            if distribution not in added and distribution != LOADER and not one.libraries
            for name in one.imports
        )
    )


def parse_maps(text: str) -> tuple[Mapped, ...]:
    """The files of /proc/PID/maps, each once, in the order of the first mapping (see proc_pid_maps(5))."""
    found: dict[str, bool] = {}
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith("/"):
            path = fields[5].replace("\\012", "\n")
            deleted = path.endswith(DELETED)
            name = path.removesuffix(DELETED)
            found[name] = found.get(name, False) or deleted
    return tuple(Mapped(path, deleted) for path, deleted in found.items())


def _needed(
    reason: str, platform: Platform | object, kernel: Kernel | None, loaded: Iterable[str] = ()
) -> RestartAdvice:
    return RestartAdvice(
        needed=True,
        reason=reason,
        how=how(platform),
        kernel_pid=kernel.pid if kernel else None,
        loaded=tuple(loaded),
    )


def how(platform: Platform | object) -> str:
    """What to click or type to restart a kernel there."""
    found = HOW.get(platform) if isinstance(platform, Platform) else None
    return found or "leave this Python session and start a new one"


def _count(paths: Sequence[str], what: str, folders: Sequence[str]) -> str:
    """`3 libraries (numpy, tensorflow) were replaced since the kernel loaded them`."""
    owners = sorted(
        {"/".join((_relative(path, folders) or path).split("/")[:2][: _depth(path)]) for path in paths}
    )
    number = "1 library" if len(paths) == 1 else f"{len(paths)} libraries"
    more = ", ..." if len(owners) > 4 else ""
    return f"{number} ({', '.join(owners[:4])}{more}) {'was' if len(paths) == 1 else 'were'} {what}"


def _depth(path: str) -> int:
    """How many parts of a path name its package: `nvidia/cudnn`, but `numpy`."""
    return 2 if "/nvidia/" in path else 1


def _with_real_paths(outside: Outside, folders: Sequence[str]) -> tuple[str, ...]:
    """The folders as named and as they really lie: /proc knows only real paths."""
    both = [path.rstrip("/") for folder in folders for path in (folder, outside.realpath(folder))]
    return tuple(dict.fromkeys(both))


def _relative(path: str, folders: Sequence[str]) -> str | None:
    return next((path[len(folder) + 1 :] for folder in folders if path.startswith(folder + "/")), None)


def _runs_in(python: str, folders: Sequence[str]) -> bool:
    """Whether the interpreter's prefix (`/env` of `/env/bin/python`) holds the folders."""
    prefix = python.rpartition("/")[0].rpartition("/")[0]
    return any(folder.startswith(prefix + "/") for folder in folders)
