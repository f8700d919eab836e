"""Why a CUDA library did not open, or another copy of it did: which copies there are, and which one wins."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from posixpath import normpath

from msgspec import Struct

from envfix import record
from envfix.model.target import Target
from envfix.ports import Outside
from envfix.verify.loader_log import Place
from envfix.verify.transcript import Transcript

# glibc's words (elf/dl-load.c); the first names the file that is missing, which may be one that the file
# asked for needs.
_ABSENT = re.compile(r"^(\S+): cannot open shared object file: No such file")
_DAMAGED = re.compile(
    r"^(/\S+): (file too short|invalid ELF header|cannot read file data.*|ELF load command .*|"
    r"wrong ELF class.*)"
)
_UNFIT = re.compile(
    r"^(/\S+): (version .* not found \(required by (/\S+)\)|(?:undefined symbol|symbol lookup error).*)"
)

SWITCH_ON = "run `unset ENVFIX_LOADER`"


class Copy(Struct, frozen=True):
    """A file of a soname. `owner` is the distribution that brought it, as `name version`; `damage` says what
    is wrong with it, empty where nothing is."""

    path: str
    owner: str = ""
    damage: str = ""


class Why(Struct, frozen=True):
    """A cause, and what to do: a command line that can be pasted, or a sentence with one in backticks."""

    cause: str
    hint: str = ""


def why_not_opened(
    outside: Outside, heard: Transcript, target: Target | None, soname: str, reason: str, repair: str
) -> Why:
    """Why the library did not open, from the loader's `reason` and what is there of it."""
    if damaged := _DAMAGED.match(reason):
        return _damaged(outside, heard, target, damaged[1], damaged[2], repair)
    if unfit := _UNFIT.match(reason):
        where = why_that_one(heard, unfit[1])
        return Why(f"`{unfit[1]}` ({where}) does not fit what opens it: {unfit[2]}", running(repair))
    absent = _ABSENT.match(reason)
    missing = absent[1].rpartition("/")[2] if absent else soname
    needed = f", which `{soname}` needs," if missing != soname else ""
    said = f"`{missing}`{needed} was not opened ({reason.removeprefix(f'{missing}: ')})"
    copies = copies_of(outside, target, missing)
    gone = next((copy for copy in copies if copy.damage), None)
    if gone:
        return Why(f"{said}: it is part of {gone.owner}, but {gone.damage}", running(repair))
    looked = _looked(heard, missing)
    if not copies:
        return Why(
            f"{said}: no NVIDIA wheel of this environment has it; the loader {looked}",
            running(repair),
        )
    there = f"{said}: it is at `{copies[0].path}`" + (f" ({copies[0].owner})" * bool(copies[0].owner))
    if loader_is_off(outside, target):
        return Why(f"{there}, and ENVFIX_LOADER=0 keeps envfix from opening it there", SWITCH_ON)
    return Why(f"{there}, where the loader does not look; it {looked}", running(repair))


def _damaged(
    outside: Outside, heard: Transcript, target: Target | None, path: str, what: str, repair: str
) -> Why:
    path = normpath(path)
    copies = copies_of(outside, target, path.rpartition("/")[2])
    real = outside.realpath(path)
    own = next((copy for copy in copies if copy.owner and outside.realpath(copy.path) == real), None)
    if own:
        return Why(f"`{path}` ({own.owner}) is damaged: {what}", running(repair))
    behind = f", in front of `{copies[0].path}`" if copies else ""
    return Why(
        f"`{path}` ({why_that_one(heard, path)}) is damaged: {what}{behind}",
        out_of_the_way(outside, heard, target, path),
    )


def shadowed(outside: Outside, heard: Transcript, target: Target | None) -> tuple[tuple[str, Copy], ...]:
    """The paths of the loaded libraries that stand in front of a copy from the environment's own wheels."""
    found = []
    for soname, path in heard.answer.get("libraries", {}).items():
        copies = [copy for copy in copies_of(outside, target, soname) if copy.owner and not copy.damage]
        real = outside.realpath(path)
        if copies and not any(outside.realpath(copy.path) == real for copy in copies):
            found.append((path, copies[0]))
    return tuple(found)


def why_that_one(heard: Transcript, path: str) -> str:
    """What made the loader take this file, in words: `from LD_LIBRARY_PATH`."""
    place = place_of(heard, path)
    if place is not None:
        return f"from {place}"
    if heard.answer.get("loader") and "/nvidia/" in path:
        return "opened by envfix-loader"
    return "opened by its path"


def place_of(heard: Transcript, path: str) -> Place | None:
    """Where the loader came upon the file; None where it was opened by its path."""
    return next((place for search in heard.searches if (place := search.place_of(path))), None)


def out_of_library_path(outside: Outside, path: str) -> str:
    """The command that takes the file's folder out of LD_LIBRARY_PATH."""
    folder = path.rpartition("/")[0]
    parts = outside.environ.get("LD_LIBRARY_PATH", "").split(":")
    kept = [part for part in parts if part and outside.realpath(part) != outside.realpath(folder)]
    return f"`export LD_LIBRARY_PATH={shlex.quote(':'.join(kept))}`" if kept else "`unset LD_LIBRARY_PATH`"


def out_of_the_way(outside: Outside, heard: Transcript, target: Target | None, path: str) -> str:
    """What lets the environment's own copy win over this file."""
    place = place_of(heard, path)
    if loader_is_off(outside, target):
        return SWITCH_ON
    if place is not None and place.kind == "LD_LIBRARY_PATH":
        return f"take its folder out of LD_LIBRARY_PATH: {out_of_library_path(outside, path)}"
    if place is not None and place.kind == "cache":
        folder = path.rpartition("/")[0]
        where = f"/etc/ld.so.conf.d (`grep -rl {shlex.quote(folder)} /etc/ld.so.conf.d`)"
        return f"take `{folder}` out of {where}, then `sudo ldconfig`"
    return f"take it away: `{shlex.join(['mv', path, f'{path}.off'])}`"


def loader_is_off(outside: Outside, target: Target | None) -> bool:
    """Whether envfix's library discovery is installed and switched off by a variable."""
    installed = target is not None and target.version_of("envfix-loader") is not None
    return installed and outside.environ.get("ENVFIX_LOADER") == "0"


def copies_of(outside: Outside, target: Target | None, soname: str) -> tuple[Copy, ...]:
    """The copies of the environment's NVIDIA wheels, those that their RECORD names and that are gone too,
    then those of toolkits."""
    return (*_of_wheels(outside, target, soname), *_of_toolkits(outside, soname))


def _of_wheels(outside: Outside, target: Target | None, soname: str) -> Sequence[Copy]:
    found = []
    for dist in target.installed if target else ():
        place = record.place_of(outside, dist, target) if target and dist.name.startswith("nvidia-") else None
        files = record.recorded_files(outside, place.info) if place else None
        for name, file in (files or {}).items():
            if place and name.rpartition("/")[2] == soname:
                path = f"{place.base}/{name}"
                found.append(Copy(path, f"{dist.name} {dist.version}", _damage(outside, path, file.size)))
    return found


def _damage(outside: Outside, path: str, size: int | None) -> str:
    found = outside.size(path)
    if found is None:
        return f"`{path}` is gone"
    if size is not None and found != size:
        return f"`{path}` has {found} bytes, not the {size} of its wheel (cut short, or from another wheel)"
    return ""


def _of_toolkits(outside: Outside, soname: str) -> Sequence[Copy]:
    paths = (
        path for folder in ("lib64", "lib") for path in outside.glob("/usr/local", f"cuda*/{folder}/{soname}")
    )
    return [Copy(path) for path in dict.fromkeys(paths)]


def _looked(heard: Transcript, soname: str) -> str:
    """Where the loader looked for the soname, each list of folders once: `looked in LD_LIBRARY_PATH, ...`."""
    searches = [search for search in heard.searches if search.soname == soname]
    places = dict.fromkeys(str(place) for search in searches for place in search.places)
    return f"looked in {', '.join(places)}" if places else "looked in places that are not known"


def running(repair: str) -> str:
    """The hint that says to run it, where there is one."""
    return f"run `{repair}`" if repair else ""
