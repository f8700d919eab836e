"""The pages of a package index, one for each project (PEP 503, PEP 691)."""

from __future__ import annotations

from pathlib import Path

import requests
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DistributionPackage,
    NoSuchProjectError,
    ProjectPage,
    PyPISimple,
    UnsupportedContentTypeError,
    UnsupportedRepoVersionError,
)

from envfix.pep751 import is_fetchable
from envfix.ports import IndexFile
from envfix.resolve.unavailable import not_an_index

DEFAULT_INDEX = PYPI_SIMPLE_ENDPOINT


def from_network(url: str, project: str, session: requests.Session, timeout: float) -> tuple[IndexFile, ...]:
    """The files on the project's page of the index at `url`; none where it has no such project.

    `timeout`, in seconds, bounds each wait for bytes. Raises IndexUnreachable for a page that is none, and
    requests.RequestException for one that does not come.
    """
    client = PyPISimple(url, session=session)
    try:
        return _files(client.get_project_page(project, timeout=timeout))
    except NoSuchProjectError:
        return ()
    except (
        UnsupportedContentTypeError, UnsupportedRepoVersionError, requests.exceptions.JSONDecodeError
    ) as problem:  # fmt: skip
        raise not_an_index(url, str(problem)) from None


def from_disk(page: Path, project: str, base: str) -> tuple[IndexFile, ...]:
    """The files on a page in a folder, whose relative links start from the URL `base`. Raises OSError, and
    IndexUnreachable for a page that is none."""
    try:
        return _files(ProjectPage.from_html(project, page.read_bytes(), base))
    except (UnsupportedContentTypeError, UnsupportedRepoVersionError) as problem:
        raise not_an_index(base, str(problem)) from None


def _files(page: ProjectPage) -> tuple[IndexFile, ...]:
    return tuple(map(_index_file, page.packages))


def _index_file(package: DistributionPackage) -> IndexFile:
    uploaded = package.upload_time
    return IndexFile(
        filename=package.filename,
        url=package.url,
        sha256=package.digests.get("sha256"),
        size=package.size,
        requires_python=package.requires_python,
        upload_time=uploaded.strftime("%Y-%m-%dT%H:%M:%SZ") if uploaded else None,
        yanked=package.is_yanked,
        # No page leads to a file of this machine by it, one on the disk neither.
        provenance=url if (url := package.provenance_url) and is_fetchable(url, disk=False) else None,
    )
