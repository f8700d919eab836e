"""`--attestations`: whether what the index attests of the files that are taken really verifies.

A page of every package is read for it, which takes seconds of computing: uv and pip have read them for
themselves and keep what they say of attestations to themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from envfix.errors import AttestationFailed, IndexUnreachable
from envfix.model.attestation import Attestations, Attested, Standing
from envfix.model.plan import LockedFile, LockedPackage
from envfix.model.request import Request
from envfix.ports import Attester, Index, IndexFile
from envfix.situation import Parts, Situation, config_of

_AT_ONCE = 12
_FEW = 3
MISSING = "`pypi-attestations` is not installed: `pip install 'envfix-tf[attestations]'`"
OFFLINE = "`--offline` reads no index page"


def attestations_of(
    parts: Parts, here: Situation, request: Request, packages: Sequence[LockedPackage]
) -> Attestations | None:
    """What is attested of the first file of each package; None where it was not asked for.

    Raises AttestationFailed where an attestation does not verify. That there is none, or that it could not be
    checked, is a value.
    """
    if not request.attestations:
        return None
    files = {
        package.name: file
        for package in packages
        if (file := package.wheels[0] if package.wheels else package.sdist)
    }
    if request.offline:
        return Attestations(looked_up=len(files), unread=OFFLINE if files else "")
    look = partial(_look, parts.index(config_of(parts, here.target)), parts.attester())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = tuple(pool.map(lambda pair: look(*pair), files.items()))
    found = Attestations(
        looked_up=len(files),
        published=tuple(answer for answer in answers if isinstance(answer, Attested)),
        unread="; ".join(dict.fromkeys(answer for answer in answers if isinstance(answer, str))),
    )
    failed = found.those(Standing.FAILED)
    if failed:
        raise _refusal(failed)
    return found


def _look(index: Index, attester: Attester | None, project: str, file: LockedFile) -> Attested | str | None:
    """What is attested of the file; None where nothing is, and the reason where that is not known."""
    try:
        listed = next((row for row in index.files(project) if _is(row, file) and row.provenance), None)
        if listed is None:
            return None
        if attester is None:
            return Attested(filename=file.filename, standing=Standing.NOT_CHECKED, reason=MISSING)
        return attester.verify(file, index.provenance(listed))
    except IndexUnreachable as problem:
        return problem.message


def _is(row: IndexFile, file: LockedFile) -> bool:
    """Two indexes may have different files of one name; what one attests says nothing of the other's."""
    return row.filename == file.filename and row.sha256 in (None, file.sha256)


def _refusal(failed: Sequence[Attested]) -> AttestationFailed:
    told = [f"`{file.filename}`: {file.reason}" for file in failed[:_FEW]]
    more = f" (and {len(failed) - _FEW} more)" if len(failed) > _FEW else ""
    return AttestationFailed(
        f"what the index attests does not verify, so the file may not be its publisher's: "
        f"{'; '.join(told)}{more}",
        "ask who publishes the package or runs the index; without `--attestations` the hashes alone decide",
    )
