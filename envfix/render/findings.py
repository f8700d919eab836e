"""What `envfix explain` found: the primary cause first, then the others, then what is harmless."""

from __future__ import annotations

from envfix.model.diagnosis import Explained, Finding

MOST_SHOWN = 4
_SURE = ((0.85, "almost certain"), (0.6, "likely"), (0.4, "possible"), (0.0, "a guess"))


def findings(value: Explained) -> list[str]:
    """The causes with their lines and fixes, the first one first, then what is harmless."""
    causes = [finding for finding in value.findings if not finding.benign]
    harmless = [finding for finding in value.findings if finding.benign]
    lines: list[str] = []
    for number, finding in enumerate(causes):
        lines += [*([""] if number else []), *_finding(finding, first=number == 0)]
    if harmless:
        lines += [""] if lines else []
        for finding in harmless:
            lines += [
                f"harmless {finding.explanation}",
                *(f"         | {line}" for line in finding.evidence[:2]),
            ]
    if not causes:
        lines += _nothing(value, bool(harmless))
    return [*lines, "", f"judged   by {value.judged_by}"]


def _finding(finding: Finding, *, first: bool) -> list[str]:
    if finding.follows is not None:
        return [f"follows  {finding.cause}: a consequence of {finding.follows}"]
    head = "cause" if first else "or"
    lines = [f"{head:<8} {finding.cause} ({finding.family.value}): {how_sure(finding.confidence)}"]
    lines.append(f"         {finding.explanation}")
    lines += [f"         | {line}" for line in finding.evidence[:MOST_SHOWN]]
    for number, step in enumerate(finding.fix):
        lines.append(f"{'fix' if number == 0 else '':<8} {step}")
    return lines


def how_sure(confidence: float) -> str:
    """The confidence, between 0 and 1, as a word and a figure."""
    word = next(word for least, word in _SURE if confidence >= least)
    return f"{word} ({confidence:.2f})"


def _nothing(value: Explained, harmless: bool) -> list[str]:
    if value.gpu_used:
        said = "TensorFlow has a GPU in this text, and no failure that envfix knows is in it"
        steps = [f"measure  {step}" for step in value.collect]
    else:
        said = "nothing else was recognised" if harmless else "nothing that envfix knows was recognised"
        steps = [f"collect  {step}" for step in value.collect]
    return ["", f"cause    none: {said}", *steps]
