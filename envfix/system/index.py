"""The real package index: simple pages, core metadata and wheel members over HTTP ranges, or from disk.

`requests` and `remotezip` are imported with this module, so import it only in the commands that read an
index; `pypi_simple` with the first page (`envfix.system.pages`), for the wheels of a lock are read without.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import remotezip  # type: ignore[import-untyped]
import requests
from urllib3.exceptions import HTTPError

from envfix.errors import IndexUnreachable, InputError
from envfix.model.target import PipConfig
from envfix.model.urls import redact, without_credentials
from envfix.pep751 import is_fetchable
from envfix.ports import Index, IndexFile
from envfix.resolve.unavailable import unanswered
from envfix.system.answers import read_at_most
from envfix.system.session import host_of, new_session
from envfix.system.wheel_ends import LARGEST_METADATA, Fetcher, TailFetcher, metadata_at_start, metadata_name

T = TypeVar("T")
# pip's own default (`pip --timeout`), in seconds; it bounds each wait for bytes, not a whole transfer.
TIMEOUT = 15.0
# An index that serves no ranges makes every member cost the whole file: more than this is not fetched.
WHOLE_FILE_LIMIT = 64 << 20
# packaging.python.org, "Names and normalization".
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
LARGEST_MEMBER = 256 << 20  # bytes, unpacked, of one that is held whole
_CHUNK = 4 << 20
# What `zipfile` and `zlib` raise, an encrypted member (RuntimeError) and an unknown method included.
_NO_WHEEL = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError)


class RealIndex(Index):
    """The indexes that the user's pip configuration names, in its order; threads may share one object.

    User information in an index URL is sent to that host alone and is never part of a message.
    """

    def __init__(
        self, config: PipConfig | None = None, on_response: Callable[[requests.Response], None] | None = None
    ) -> None:
        """`on_response` is shown every answer before its body is read."""
        config = config or PipConfig()
        self._config = config
        self._timeout = config.timeout or TIMEOUT
        named = (config.index_url, *config.extra_index_urls)
        self._session = new_session(config, () if config.no_index else tuple(filter(None, named)))
        if on_response is not None:
            self._session.hooks["response"].append(lambda answer, *_, **__: on_response(answer))

    def files(self, project: str) -> tuple[IndexFile, ...]:
        if not _NAME.fullmatch(project):
            raise InputError(f"`{redact(project)}` is no name of a package")
        if self._config.no_index:
            return ()
        from envfix.system import pages

        found: list[IndexFile] = []
        for named in (self._config.index_url or pages.DEFAULT_INDEX, *self._config.extra_index_urls):
            url = without_credentials(named)
            # A page on the network must not lead to files of this machine.
            found += [file for file in self._page(url, project) if is_fetchable(file.url, disk=_is_file(url))]
        return tuple(found)

    def _page(self, url: str, project: str) -> tuple[IndexFile, ...]:
        from envfix.system import pages

        if not _is_file(url):
            return self._guard(url, lambda: pages.from_network(url, project, self._session, self._timeout))
        root = _path(url)
        if not root.is_dir():
            raise IndexUnreachable(f"the package index {url} is not there")
        page = root / project / "index.html"
        base = f"{url.rstrip('/')}/{project}/"
        return self._guard(url, lambda: pages.from_disk(page, project, base)) if page.is_file() else ()

    def metadata(self, file: IndexFile) -> str:
        beside = self._metadata_beside(file.url)
        if beside is not None:
            return beside
        # It stands at one end of a wheel: the whole directory is read only where it does not.
        if not _is_file(file.url):
            first = self._guard(file.url, lambda: metadata_at_start(self._session, file.url, self._timeout))
            if first is not None:
                return first.decode("utf-8", "replace")
        for fetcher in (TailFetcher, Fetcher):
            inside = self._metadata_inside(file, fetcher)
            if inside is not None:
                return inside.decode("utf-8", "replace")
        raise IndexUnreachable(f"{file.filename} holds no METADATA: not a wheel")

    def members(self, file: IndexFile) -> Mapping[str, int]:
        with self._open(file) as archive:
            return {entry.filename: entry.file_size for entry in archive.infolist()}

    def member(self, file: IndexFile, name: str) -> bytes:
        with self._open(file) as archive:
            archive.getinfo(name)
            return self._guard(file.url, lambda: _unpacked(archive, name, LARGEST_MEMBER))

    def stream(self, file: IndexFile, name: str) -> Iterator[bytes]:
        with self._open(file) as archive:
            archive.getinfo(name)
            with self._guard(file.url, lambda: archive.open(name)) as member:
                while chunk := self._guard(file.url, lambda: member.read(_CHUNK)):
                    yield chunk

    def provenance(self, file: IndexFile) -> bytes:
        url = file.provenance
        if url is None:
            raise KeyError(file.filename)
        answer = self._guard(url, lambda: self._session.get(url, timeout=self._timeout))
        self._guard(url, answer.raise_for_status)
        return answer.content

    def _metadata_inside(self, file: IndexFile, fetcher: type[Fetcher]) -> bytes | None:
        with self._open(file, fetcher) as archive:
            name = metadata_name(archive)
            return self._guard(file.url, lambda: _unpacked(archive, name, LARGEST_METADATA)) if name else None

    def _metadata_beside(self, url: str) -> str | None:
        """The `.metadata` beside the wheel (PEP 658), None where the index serves none."""
        if _is_file(url):
            path = Path(f"{_path(url)}.metadata")
            return path.read_text("utf-8", "replace") if path.is_file() else None
        answer = self._guard(url, lambda: self._session.get(f"{url}.metadata", timeout=self._timeout))
        if answer.status_code in (403, 404, 410):
            return None
        self._guard(url, answer.raise_for_status)
        return answer.content.decode("utf-8", "replace")

    def _open(
        self, file: IndexFile, fetcher: type[Fetcher] = Fetcher
    ) -> AbstractContextManager[zipfile.ZipFile]:
        if _is_file(file.url):
            return self._guard(file.url, lambda: zipfile.ZipFile(_path(file.url)))
        return self._guard(file.url, lambda: self._open_by_ranges(file, fetcher))

    def _open_by_ranges(self, file: IndexFile, fetcher: type[Fetcher]) -> zipfile.ZipFile:
        archive: zipfile.ZipFile
        options = {"session": self._session, "timeout": self._timeout, "fetcher": fetcher}
        try:
            archive = remotezip.RemoteZip(file.url, **options)
            return archive
        except (remotezip.RangeNotSupported, remotezip.RemoteIOError) as problem:
            if not (isinstance(problem, remotezip.RangeNotSupported) or _refuses_suffix(problem)):
                raise
        try:
            # Some servers answer `bytes=5-9` but not `bytes=-5`, the last five.
            archive = remotezip.RemoteZip(file.url, support_suffix_range=False, **options)
            return archive
        except remotezip.RangeNotSupported:
            return self._open_whole(file)

    def _open_whole(self, file: IndexFile) -> zipfile.ZipFile:
        if file.size is None or file.size > WHOLE_FILE_LIMIT:
            size = "of unknown size" if file.size is None else f"of {file.size} bytes"
            raise IndexUnreachable(
                f"`{host_of(file.url)}` serves no ranges, and {file.filename} {size} is not fetched whole",
                "name an index that does: `--index-url` in pip's configuration",
            )
        with self._session.get(file.url, timeout=self._timeout, stream=True) as answer:
            answer.raise_for_status()
            return zipfile.ZipFile(BytesIO(read_at_most(answer, WHOLE_FILE_LIMIT)))

    def _guard(self, url: str, action: Callable[[], T]) -> T:
        """`action()`, or IndexUnreachable that names the host and what went wrong."""
        try:
            return action()
        except (requests.RequestException, remotezip.RemoteZipError, HTTPError, OSError) as problem:
            raise unanswered(url, _reason(problem)) from None
        except _NO_WHEEL as problem:
            raise IndexUnreachable(
                f"{redact(url)} is not what the index says: {redact(str(problem))}"
            ) from None


def _unpacked(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """The member, whatever the directory says of its size. Raises ValueError for more than `limit` bytes."""
    with archive.open(name) as member:
        data = member.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"`{name}` unpacks to more than {limit >> 20} MiB")
    return data


def _is_file(url: str) -> bool:
    return url.startswith("file:")


def _path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _refuses_suffix(problem: Exception) -> bool:
    return any(f"{status} " in str(problem) for status in (400, 416, 501))


def _reason(problem: Exception) -> str:
    """The innermost cause in few words: requests wraps urllib3, which wraps the socket's error."""
    if isinstance(problem, requests.HTTPError) and problem.response is not None:
        return f"HTTP {problem.response.status_code}"
    reason: object = problem
    while True:
        inner = getattr(reason, "reason", None) or next(
            (arg for arg in getattr(reason, "args", ()) if isinstance(arg, Exception)), None
        )
        if inner is None or inner is reason or isinstance(inner, str):
            break
        reason = inner
    by = " (by way of the proxy)" if isinstance(problem, requests.exceptions.ProxyError) else ""
    if isinstance(reason, OSError) and reason.strerror:
        return f"{reason.strerror}{by}"
    # urllib3 puts the connection object in front: `HTTPConnection(host=..., port=...): Failed to ...`.
    text = re.sub(r"^[\w.]+\([^()]*\): ", "", redact(str(reason)))
    text = re.sub(r"^Failed to establish a new connection: \[Errno -?\d+\] ", "", text)
    return (text.split("(Caused by")[0].strip() or type(reason).__name__) + by
