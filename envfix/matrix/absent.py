"""What to say of a release that was asked for and is not in the matrix, nor perhaps anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from packaging.version import Version

from envfix.matrix.tf_request import nearest_releases
from envfix.model.matrix import Matrix
from envfix.model.request import Request, TensorFlowRequest


class Absent(Struct, frozen=True, kw_only=True):
    """A sentence, and what can be done."""

    message: str
    hints: tuple[str, ...]


def absent(matrix: Matrix, request: Request) -> Absent:
    """Why nothing is what `request.tf` names: no release is, or nobody could look beyond the matrix."""
    return Absent(message=_message(matrix, request), hints=tuple(_hints(matrix, request)))


def _message(matrix: Matrix, request: Request) -> str:
    asked, package = f"`{request.tf.text}`", request.tf.package
    if not any(row.package == package for row in matrix.releases):
        return f"the matrix of {matrix.date} has no release of {package}"
    if matrix.listed is not None:
        both = f"neither the matrix of {matrix.date} nor the package index"
        return f"{both} has a TensorFlow release that {asked} names"
    here = f"the matrix of {matrix.date} has no stable TensorFlow release that {asked} names"
    if request.offline:
        return f"{here}, and with `--offline` the package index is not asked for one"
    return f"{here}, and the package index could not be asked for one"


def _hints(matrix: Matrix, request: Request) -> Iterator[str]:
    if not any(row.package == request.tf.package for row in matrix.releases):
        yield "`envfix matrix check` says whether the index has one; without it: --tf tensorflow"
    elif request.offline:
        yield "without `--offline` it is asked, and a release that it has is read from its wheels"
    listed = matrix.listed or ()
    meant = [version for version in listed if _is_meant(version, request.tf)]
    for version in meant:
        what = "a pre-release" if version.is_prerelease else "yanked"
        yield f"{version} is on the package index, {what}: `envfix report --tf {version}` judges it"
    known = [*(row.version for row in matrix.releases if row.package == request.tf.package), *listed]
    near = nearest_releases(request.tf, [version for version in known if version not in meant])
    if near:
        yield f"the nearest are {', '.join(map(str, near))}"


def _is_meant(version: Version, tf: TensorFlowRequest) -> bool:
    """Whether the request allows it, or the release that it is a candidate for."""
    return any(
        tf.specifier.contains(one, prereleases=True) for one in (version, Version(version.base_version))
    )
