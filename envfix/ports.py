"""What the stages ask of the outside, and what a resolver is.

The real ones are in `envfix.system`; tests hand in subclasses that answer from recorded transcripts.
"""

from __future__ import annotations

import abc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from envfix.tree import Tree

if TYPE_CHECKING:
    from envfix.model.attestation import Attested
    from envfix.model.plan import LockedFile, Resolution
    from envfix.model.target import PipConfig, Target


class Ran(NamedTuple):
    """How a child process ended.

    `code` is the exit status, negative for the number of the signal that ended it, and None when it was
    killed because its time was up or it could not be started (`error` says why).
    """

    argv: tuple[str, ...]
    code: int | None
    out: str
    err: str
    timed_out: bool = False
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0


class Outside(Tree):
    """Processes, files and messages. Every path is absolute; text is UTF-8 with replacement."""

    # -- processes
    @abc.abstractmethod
    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        cwd: str | None = None,
        show: bool = False,
        keep: Callable[[str], str] | None = None,
    ) -> Ran:
        """Run `argv` to its end, at most `timeout` seconds, and never raise for how it ended.

        `env` replaces the whole environment when given. With `show` the child's standard error goes to
        the user's as it comes (progress bars), and `err` holds what could be kept of it. Where it is no
        terminal that draws them, `keep` is asked for each line: what it returns is shown, nothing for "".
        The child keeps the locks that envfix holds, for as long as it lives.
        """

    @abc.abstractmethod
    def end_children(self) -> None:
        """End those that other threads wait for: nobody wants their answers any more."""

    @abc.abstractmethod
    def follow(self, argv: Sequence[str], *, patience: float, each: Callable[[str], None]) -> Ran:
        """Run `argv` and hand `each` line of its standard output over as it comes, without its end.

        The child is killed when nothing came for `patience` seconds (`timed_out`), and when `each` raises or
        envfix is interrupted. `out` of the result is empty: it has been handed over.
        """

    @abc.abstractmethod
    def which(self, name: str) -> str | None:
        """The absolute path of the program that PATH finds, or None."""

    @property
    @abc.abstractmethod
    def environ(self) -> Mapping[str, str]:
        """The environment envfix was started with."""

    # -- reading
    @abc.abstractmethod
    def read_bytes(self, path: str, limit: int = 16 << 20) -> bytes:
        """At most `limit` bytes of the file; OSError as `open` raises it, also for a named pipe, and for a
        nameless one that nobody writes into."""

    def read_text(self, path: str, limit: int = 16 << 20) -> str:
        """`read_bytes` decoded as UTF-8, undecodable bytes replaced."""
        return self.read_bytes(path, limit).decode("utf-8", "replace")

    def pieces(self, path: str | None, size: int = 1 << 20) -> Iterator[bytes]:
        """The file in pieces, for what is too large to hold; None is standard input. OSError as `open`."""
        if path is not None:
            yield self.read_bytes(path, sys.maxsize)

    @abc.abstractmethod
    def exists(self, path: str) -> bool:
        """Whether the path is there, following links."""

    @abc.abstractmethod
    def size(self, path: str) -> int | None:
        """The file's size in bytes, following links; None where it is not there."""

    @abc.abstractmethod
    def trusted(self, path: str) -> bool:
        """Whether it is there and only this user, or the administrator, can have written it: file or folder
        and the folder above it are theirs, and others may not write there."""

    @abc.abstractmethod
    def is_dir(self, path: str) -> bool: ...

    @abc.abstractmethod
    def listdir(self, path: str) -> tuple[str, ...]:
        """The names in the folder, sorted; empty when it is not there or not readable."""

    @abc.abstractmethod
    def glob(self, folder: str, pattern: str) -> tuple[str, ...]:
        """The paths below the folder that match, sorted; in `folder` no character is a wildcard."""

    @abc.abstractmethod
    def realpath(self, path: str) -> str: ...

    @abc.abstractmethod
    def writable(self, path: str) -> bool:
        """Whether this process may create files in the folder (or its nearest parent that exists)."""

    @abc.abstractmethod
    def free_bytes(self, path: str) -> int:
        """Bytes free for this user on the filesystem of the path or its nearest existing parent."""

    @abc.abstractmethod
    def device(self, path: str) -> int:
        """The number of the filesystem of the path or its nearest existing parent; links stay within one."""

    # -- writing
    @abc.abstractmethod
    def write_bytes(self, path: str, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
        """Write the whole file or leave the old one: a temporary file beside it, then a rename.

        It is on the disk when this returns, so that a loss of power leaves one or the other, unless it need
        not be `lasting`: waiting for the disk takes up to 50 ms while an install is being written.

        A link stays, and what it leads to is replaced. A device or a pipe is written into, for it must not
        be taken away from others, and so may hold a part when writing fails. Raises OSError, also for links
        that lead round in a circle.
        """

    def write_text(self, path: str, text: str, mode: int = 0o644, *, lasting: bool = True) -> None:
        self.write_bytes(path, text.encode("utf-8"), mode, lasting=lasting)

    @abc.abstractmethod
    def make_dirs(self, path: str) -> None: ...

    @abc.abstractmethod
    def claim_dir(self, path: str) -> bool:
        """Make the folder, with its parents; False where it is there already: somebody else has made it."""

    @abc.abstractmethod
    def temporary_dir(self) -> str:
        """A new empty folder that is removed when envfix ends."""

    @abc.abstractmethod
    def remove(self, path: str) -> None:
        """Remove one file or link; nothing happens when it is not there."""

    @abc.abstractmethod
    def remove_tree(self, path: str) -> None: ...

    # -- saying
    @abc.abstractmethod
    def say(self, text: str) -> None:
        """One line of progress or warning for the user, on standard error."""


class Process(NamedTuple):
    """A running process and its command line."""

    pid: int
    command: tuple[str, ...]


class Server(NamedTuple):
    """A Jupyter server on this machine, as its own file says. The token is shown nowhere, also not by `repr`.

    `password` says that it wants one and has no token; `socket` is the path it listens on instead of a port.
    """

    pid: int
    host: str
    port: int
    base_url: str
    secure: bool
    socket: str
    token: str
    password: bool

    def __repr__(self) -> str:
        return f"Server(pid={self.pid}, host={self.host!r}, port={self.port}, base_url={self.base_url!r})"


class KernelHost(abc.ABC):
    """What starts a notebook's kernel anew. Each method returns why it did not work, empty where it did."""

    @abc.abstractmethod
    def has(self, server: Server, kernel: str) -> str:
        """Whether the server answers here and runs the kernel of that id; nothing is changed."""

    @abc.abstractmethod
    def restart(self, server: Server, kernel: str, pid: int) -> str:
        """End the kernel's process `pid`, which runs no further cell, and see that the server starts it anew.
        What the kernel has started, envfix included, may end by it."""

    @abc.abstractmethod
    def end(self, pid: int) -> str:
        """End the kernel's process, first asking it to."""


class IndexFile(NamedTuple):
    """One file of a project on the package index."""

    filename: str
    url: str
    sha256: str | None
    size: int | None
    requires_python: str | None
    upload_time: str | None
    yanked: bool
    provenance: str | None = None  # the URL of what is attested of it (PEP 740)


class Index(abc.ABC):
    """A package index (PEP 503/691) with files that answer range requests.

    Every method raises `envfix.errors.IndexUnreachable` when no answer comes.
    """

    @abc.abstractmethod
    def files(self, project: str) -> tuple[IndexFile, ...]:
        """Every file of the project, in the order of the page; empty when there is no such project."""

    @abc.abstractmethod
    def metadata(self, file: IndexFile) -> str:
        """The wheel's core metadata: the `.metadata` beside it, or read from the wheel by ranges."""

    @abc.abstractmethod
    def members(self, file: IndexFile) -> Mapping[str, int]:
        """Names in the wheel with their unpacked sizes in bytes, from its central directory alone."""

    @abc.abstractmethod
    def member(self, file: IndexFile, name: str) -> bytes:
        """One member of the wheel, by range requests; KeyError when it is not in it."""

    def stream(self, file: IndexFile, name: str) -> Iterator[bytes]:
        """The member piece by piece, for what is too large to hold; who stops early reads no more of it."""
        yield self.member(file, name)

    def provenance(self, file: IndexFile) -> bytes:
        """The object at the file's `provenance`, whatever it holds; KeyError where the file has none."""
        raise KeyError(file.filename)


class Attester(abc.ABC):
    """What checks attestations of files (PEP 740)."""

    @abc.abstractmethod
    def verify(self, file: LockedFile, provenance: bytes) -> Attested:
        """Whether everything in the provenance object holds for the file of this name and SHA-256."""


class Resolver(abc.ABC):
    """What turns requirements into pins with hashed files; envfix has none of its own."""

    @abc.abstractmethod
    def resolve(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        target: Target,
        config: PipConfig,
        *,
        offline: bool,
    ) -> Resolution:
        """The whole solution for `target`, sorted by name, wheels best first.

        Raises ResolutionFailed with the resolver's own explanation, shortened; IndexUnreachable when the
        index (or, with `offline`, the cache) does not answer; InputError for a requirement that does not
        parse or a resolver that is not there.
        """
