"""A result as HTML for a notebook's cell: it fetches nothing, runs no script, and follows the theme."""

from __future__ import annotations

from envfix.errors import InputError
from envfix.model.diagnosis import Explained
from envfix.model.outcome import RestartAdvice, Status, Verification
from envfix.model.results import Installed, Report, RolledBack, Verified
from envfix.render import html, outcome
from envfix.render.findings import how_sure

MARKS = {Status.PASSED: ("yes", "passed"), Status.FAILED: ("no", "failed"), Status.SKIPPED: ("", "not run")}


def cell(result: object, text: str) -> str:
    """The element; empty for what has no form but its text, and where jinja2 is not installed."""
    try:
        if isinstance(result, Report):
            return html.fragment(result)
        if isinstance(result, (Installed, Verified, Explained, RolledBack)):
            return html.element("cell.html.jinja", _view(result, text))
    except InputError:
        pass  # the text says the same, and the page's own error names what is missing
    return ""


def _view(result: Installed | Verified | Explained | RolledBack, text: str) -> dict[str, object]:
    proof = result.verification if isinstance(result, (Installed, Verified)) else None
    restart = result.restart if isinstance(result, (Installed, RolledBack)) else None
    good, sentence = _headline(result)
    return {
        "good": good,
        "sentence": sentence,
        "restart": _restart(restart),
        "how": restart.how if restart and restart.needed is not False and restart.by is None else "",
        "proof": _proof(proof),
        "checks": [(*MARKS[one.status], one) for one in proof.checks] if proof else [],
        "findings": result.findings if isinstance(result, Explained) else (),
        "notes": result.notes if isinstance(result, Installed) else (),
        "text": text,
    }


def _headline(result: Installed | Verified | Explained | RolledBack) -> tuple[bool | None, str]:
    if isinstance(result, Installed):
        if result.dry_run:
            return None, f"A dry run for {result.package} {result.tensorflow}: nothing was changed"
        line = next(line for line in reversed(outcome.installed(result)) if line[:8].strip() in OUTCOMES)
        return result.exit_code == 0, f"{OUTCOMES[line[:8].strip()]}: {line[9:]}"
    if isinstance(result, Verified):
        which = f"TensorFlow {result.verification.tensorflow or ''}".strip()
        return (
            result.verification.passed,
            f"{which} is {'' if result.verification.passed else 'not '}verified",
        )
    if isinstance(result, RolledBack):
        return True, f"Transaction {result.transaction.id} is put back in {result.python}"
    causes = [one for one in result.findings if not one.benign]
    if not causes:
        return None, "No known cause was found"
    return None, f"{causes[0].cause}: {how_sure(causes[0].confidence)}"


OUTCOMES = {"done": "Done", "keep": "Kept", "failed": "Failed"}


def _restart(advice: RestartAdvice | None) -> str:
    return outcome.restart(advice)[0].removeprefix("restart").strip() if advice else ""


def _proof(proof: Verification | None) -> str:
    if proof is None:
        return ""
    return outcome.PROVEN[proof.proof] if proof.passed and proof.proof else "none: verification failed"
