"""Attestations checked by `pypi-attestations` and `sigstore`, which the extra `attestations` brings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envfix.model.attestation import Attested, Standing
from envfix.model.plan import LockedFile
from envfix.ports import Attester

if TYPE_CHECKING:
    from pypi_attestations import Attestation, Distribution, Publisher

_SAYS = "Verification failed: "  # how pypi-attestations begins what it says
_MOST = 100  # characters of a reason that may quote the index


def attester() -> Attester | None:
    """What checks attestations; None where the extra is not installed."""
    try:
        import pypi_attestations  # noqa: F401
    except ImportError:
        return None
    # It warns of every look at the trust root without the network, which is meant here.
    logging.getLogger("sigstore").setLevel(logging.CRITICAL)
    return SigstoreAttester()


class SigstoreAttester(Attester):
    """Sigstore's public instance. Its trust root is the one at hand, and only where that says no a new one.

    The root changes once in a while, and an old one does not know a new log: a no counts when it holds with
    the newest root that can be had.
    """

    def verify(self, file: LockedFile, provenance: bytes) -> Attested:
        from pydantic import ValidationError
        from pypi_attestations import Distribution, Provenance

        try:
            made = Provenance.model_validate_json(provenance)
            subject = Distribution(name=file.filename, digest=file.sha256)
        except ValidationError as problem:
            where = ".".join(str(part) for part in problem.errors()[0]["loc"])
            reason = f"this pypi-attestations does not know such an attestation ({where or 'no JSON object'})"
            return Attested(filename=file.filename, standing=Standing.NOT_CHECKED, reason=reason)
        pairs = [
            (bundle.publisher, each) for bundle in made.attestation_bundles for each in bundle.attestations
        ]
        standing, reason = _outcome(pairs, subject)
        publisher = ", ".join(dict.fromkeys(_named(publisher) for publisher, _ in pairs))
        return Attested(filename=file.filename, standing=standing, publisher=publisher, reason=reason)


def _outcome(pairs: Sequence[tuple[Publisher, Attestation]], subject: Distribution) -> tuple[Standing, str]:
    """All must verify; with the reason where not."""
    from pypi_attestations import AttestationError
    from sigstore.errors import Error

    if not pairs:
        return Standing.NOT_CHECKED, "the index's page names attestations and there are none"
    try:
        for publisher, attestation in pairs:
            _verify(attestation, publisher, subject)
    except AttestationError as problem:
        return Standing.FAILED, str(problem).removeprefix(_SAYS)
    except Error as problem:  # pypi-attestations 0.0.30 hands on what sigstore says of a form that it lacks
        said = str(problem)[:_MOST]
        return Standing.NOT_CHECKED, f"this sigstore cannot read such an attestation ({said})"
    except OSError as problem:
        return Standing.NOT_CHECKED, f"sigstore cannot keep its trust root: {problem.strerror or problem}"
    return Standing.VERIFIED, ""


def _verify(attestation: Attestation, publisher: Publisher, subject: Distribution) -> None:
    """Returns where it verifies. Raises AttestationError, and OSError where the trust root has no place."""
    from pypi_attestations import VerificationError
    from sigstore.errors import TUFError

    try:
        attestation.verify(publisher, subject, offline=True)
        return
    except VerificationError as problem:
        refused = problem
    try:
        attestation.verify(publisher, subject)
    except TUFError as problem:
        raise VerificationError(
            f"{str(refused).removeprefix(_SAYS)} (by the trust root that is here; a newer "
            f"one cannot be had: {problem.__cause__ or problem})"
        ) from None


def _named(publisher: Publisher) -> str:
    """In few words, such as `GitHub tensorflow/tensorflow`."""
    what = publisher.model_dump()
    keys = ("repository", "email", "vcs_origin", "project_id")
    who = next((what[key] for key in keys if what.get(key)), "")
    return f"{publisher.kind} {who}".strip()
