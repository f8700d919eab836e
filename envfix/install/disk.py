"""Whether the disks can take what an install downloads and unpacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from msgspec import Struct

from envfix.errors import InputError, InstallFailed
from envfix.installers import uv_binary, uv_environment, uv_folder
from envfix.model.plan import Plan
from envfix.model.target import PipConfig
from envfix.ports import Outside

# Where anything is written: filesystems keep some blocks for themselves and round files up to whole ones.
MARGIN = 64 << 20
_OFF = frozenset({"", "0", "false", "no", "off", "n", "f"})


class _Need(Struct, frozen=True, kw_only=True):
    """Bytes that one disk takes; `places` are the folders on it, as the user knows them."""

    places: tuple[str, ...]
    size: int
    hint: str


def check_space(
    outside: Outside,
    plan: Plan,
    site_packages: str,
    *,
    installer: str = "uv",
    cache: str | None = None,
    uncached: Callable[[], frozenset[str] | None] | None = None,
    kept: int = 0,
) -> None:
    """Raises InstallFailed when a disk has less room than the install certainly takes; InputError for a cache
    of uv's that this user cannot write, without which uv does nothing.

    What is certain, measured with uv 0.13.9 and pip 23 on filesystems of their own (numpy: 19.5 MB to
    download, 72 MB unpacked):

    - uv unpacks while it downloads, so that the wheel itself is nowhere: its cache takes the unpacked files,
      nothing where it has them already.
    - The environment takes nothing on the cache's own filesystem, where uv links (or clones) its files, and
      the unpacked files on another one or with UV_LINK_MODE=copy (uv's documentation, "Link mode").
    - pip keeps every download in the temporary folder until all are unpacked; its own cache spares the
      network, not that.

    `cache` is uv's where that is known already. `uncached` names what uv's cache lacks (None where uv
    cannot tell), asked only where the disks would not take everything, for it costs a run of uv; of a
    part that is lacking only the size of its download is known, the least that its files take. `kept` is
    copied so that it can be put back.
    """
    if not plan.changes:
        return
    if installer == "pip":
        short = _shortage(outside, _needs_of_pip(outside, plan, site_packages, kept))
    else:
        cache = cache or uv_cache_folder(outside)
        everything = frozenset(package.name for package in plan.changes)
        short = _shortage(outside, _needs_of_uv(outside, plan, site_packages, cache, everything, kept))
        if short is not None and uncached is not None:
            lacks = everything & (uncached() or frozenset())
            short = _shortage(outside, _needs_of_uv(outside, plan, site_packages, cache, lacks, kept))
    if short is not None:
        _refuse(outside, plan, short)


def _needs_of_uv(
    outside: Outside, plan: Plan, site_packages: str, cache: str, lacks: frozenset[str], kept: int
) -> list[_Need]:
    sizes = {package.name: package.size for package in plan.changes}
    if lacks == sizes.keys():
        fetched = _unpacked(plan)
    else:
        fetched = sum(size or 0 for name, size in sizes.items() if name in lacks)
    mode = outside.environ.get("UV_LINK_MODE", "")
    together = outside.device(cache) == outside.device(site_packages)
    placed = kept + (0 if mode == "symlink" or (together and mode != "copy") else _unpacked(plan))
    if together:
        elsewhere = "free some space, or install elsewhere: --venv /path/on/another/disk"
        return [_Need(places=(site_packages, cache), size=fetched + placed, hint=elsewhere)]
    return [
        _Need(
            places=(site_packages,),
            size=placed,
            hint="free some space, or install elsewhere: --venv /path/on/another/disk",
        ),
        _Need(
            places=(cache,),
            size=fetched,
            hint="name another folder: export UV_CACHE_DIR=/path/on/another/disk",
        ),
    ]


def _needs_of_pip(outside: Outside, plan: Plan, site_packages: str, kept: int) -> list[_Need]:
    temporary = outside.temporary_dir()
    download = plan.download_bytes or 0
    placed = _unpacked(plan) + kept
    elsewhere = "free some space, or install elsewhere: --venv /path/on/another/disk"
    if outside.device(temporary) == outside.device(site_packages):
        return [_Need(places=(site_packages, temporary), size=placed + download, hint=elsewhere)]
    return [
        _Need(places=(site_packages,), size=placed, hint=elsewhere),
        _Need(
            places=(os.path.dirname(temporary),),  # noqa: PTH120
            size=download,
            hint="name another folder: export TMPDIR=/path/on/another/disk",
        ),
    ]


def _unpacked(plan: Plan) -> int:
    """Bytes of the unpacked files; where that is not known, of the download, which is no more."""
    return plan.installed_bytes if plan.installed_bytes is not None else plan.download_bytes or 0


def _shortage(outside: Outside, needs: list[_Need]) -> _Need | None:
    for need in needs:
        if need.size and outside.free_bytes(need.places[0]) < need.size + MARGIN:
            return need
    return None


def _refuse(outside: Outside, plan: Plan, need: _Need) -> None:
    places = " and ".join(f"`{place}`" for place in need.places)
    raise InstallFailed(
        f"needs {spoken_size(need.size + MARGIN)} free for {places} "
        f"({spoken_size(plan.download_bytes or 0)} to download, "
        f"{spoken_size(plan.installed_bytes or 0)} unpacked), "
        f"found {spoken_size(outside.free_bytes(need.places[0]))}",
        need.hint,
    )


def uv_cache_folder(outside: Outside) -> str:
    """The folder that uv unpacks into; a temporary one where the user wants no cache.

    Raises InputError where this user cannot write it.
    """
    return uv_kept_cache(outside) or outside.temporary_dir()


def uv_kept_cache(outside: Outside) -> str | None:
    """The cache that uv itself names; None where UV_NO_CACHE or a `uv.toml` of the user's tells it to keep
    none. Raises InputError where this user cannot write it."""
    env = uv_environment(outside.environ, PipConfig())
    if env.get("UV_NO_CACHE", "").lower() not in _OFF:
        return None
    try:
        away = uv_folder(outside)
    except OSError as problem:
        raise InstallFailed(
            f"`{problem.filename}` cannot be written: {problem.strerror}; the environment is as it was",
            "name another folder: export TMPDIR=/path/on/another/disk",
        ) from None

    def named() -> str:
        ran = outside.run([uv_binary(outside), "cache", "dir"], timeout=30, env=env, cwd=away)
        return ran.out.strip() if ran.ok and ran.out.strip() else uv_cache(env)

    folder = named()
    # One that it keeps only while it runs has another name each time (uv 0.13.9).
    if not outside.exists(folder) and named() != folder:
        return None
    if not outside.writable(folder):
        raise InputError(
            f"uv's cache `{folder}` cannot be written by this user",
            "name another folder: export UV_CACHE_DIR=/path/to/folder",
        )
    return folder


def uv_cache(environ: Mapping[str, str]) -> str:
    """Where uv keeps what it downloads (uv's documentation, "Caching", "Cache directory")."""
    own = environ.get("UV_CACHE_DIR")
    if own:
        return os.path.abspath(own)  # noqa: PTH100
    if os.name == "nt":
        return f"{environ.get('LOCALAPPDATA', 'C:')}/uv/cache"
    return f"{environ.get('XDG_CACHE_HOME') or environ.get('HOME', '') + '/.cache'}/uv"


def spoken_size(size: int) -> str:
    """Bytes as people say them: `3.4 GB`, `512 MB`, `12 kB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
