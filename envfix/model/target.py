"""The interpreter that an install changes, and the notebook session envfix was started from."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from envfix.model.machine import Arch, Os
from envfix.model.versions import GlibcRelease, PythonRelease


class Distribution(Struct, frozen=True, kw_only=True):
    """An installed distribution: normalised name, version as written, and its Requires-Dist lines.

    `unread` says why these are not known, where that is so.
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    unread: str = ""
    location: str = ""
    installer: str = ""


class Target(Struct, frozen=True, kw_only=True):
    """One Python interpreter as it says of itself.

    `python` is its whole release (3.12.1). `externally_managed` is the path of the PEP 668 marker, empty
    when there is none or the interpreter is a virtual environment. `virtual` says that it is one. `scripts`,
    `data` and `headers` are the folders that wheels' other files go to, empty where they are not known.
    """

    executable: str
    python: PythonRelease
    implementation: str
    os: Os
    arch: Arch
    glibc: GlibcRelease | None
    prefix: str
    base_prefix: str
    purelib: str
    platlib: str
    virtual: bool
    externally_managed: str
    installed: tuple[Distribution, ...]
    scripts: str = ""
    data: str = ""
    headers: str = ""

    @property
    def feature(self) -> PythonRelease:
        """The feature release, such as 3.12."""
        return self.python.cut(2)

    def version_of(self, name: str) -> str | None:
        """The installed version of the normalised name, or None."""
        return next((dist.version for dist in self.installed if dist.name == name), None)


class Stale(NamedTuple):
    """A distribution whose version in memory is not the one on disk (None: it is gone)."""

    name: str
    loaded: str
    installed: str | None

    def __str__(self) -> str:
        disk = f"{self.installed} is installed" if self.installed else "no longer installed"
        return f"{self.name} {self.loaded} ({disk})"


class Caller(Struct, frozen=True, kw_only=True):
    """The Python process that asked envfix from within, such as a notebook's kernel: `imported` are the names
    of all its modules, dotted, and `stale` the distributions that it holds as they no longer are."""

    pid: int
    python: str
    imported: frozenset[str]
    stale: tuple[Stale, ...] = ()


class Kernel(Struct, frozen=True, kw_only=True):
    """A notebook kernel that envfix was started from; `python` is the interpreter that runs it."""

    pid: int
    python: str
    command: tuple[str, ...]


class PipConfig(Struct, frozen=True, kw_only=True):
    """What the user's pip configuration says about indexes; empty where pip's defaults hold.

    Both resolvers are handed the same values. `index_url` is None where none is configured.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    no_index: bool = False
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout: float | None = None
