"""A report as Markdown, for an issue or a wiki."""

from __future__ import annotations

from envfix.model.decision import Fit
from envfix.model.plan import Change
from envfix.model.results import Report
from envfix.model.snapshot import Since
from envfix.printable import clean
from envfix.render import since
from envfix.render.text import summary
from envfix.render.words import reason, size


def report(value: Report) -> str:
    """The verdict in a sentence, a table of releases, and the plan."""
    best = value.decision.recommended
    verdict = f"{best.name} is recommended" if best else "no TensorFlow release fits"
    lines = [f"# {verdict}", "", f"Machine: {_cell(summary(value.machine))}", ""]
    lines += ["| release | fit | code | proven | why |", "|---|---|---|---|---|"]
    for candidate in value.decision.candidates:
        failed = [item for item in candidate.verdicts if item.fit is not Fit.YES]
        why = "; ".join(map(reason, failed))
        cells = (
            candidate.release.asked_for,
            candidate.fit.value,
            candidate.code.value,
            str(candidate.proven).lower(),
            why,
        )
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    if value.plan is not None:
        lines += ["", f"Plan: {size(value.plan.download_bytes)} to download.", ""]
        lines += ["| package | version | change | size | because |", "|---|---|---|---|---|"]
        for package in value.plan.packages:
            if package.change is not Change.KEEP:
                cells = (
                    package.name,
                    package.version,
                    package.change.value,
                    size(package.size),
                    package.because,
                )
                lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        for one in value.plan.left_out:
            cells = (one.name, one.version, "left out", size(one.size) if one.size else "", one.because)
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    if value.since is not None:
        lines += ["", *_since(value.since)]
    lines += ["", *(f"- {_cell(line)}" for line in value.advice)]
    return "\n".join(lines).rstrip() + "\n"


def _since(value: Since) -> list[str]:
    lines = [f"Since it worked: {_cell(since.headline(value))}."]
    if value.differences:
        lines += ["", "| what | then | now |", "|---|---|---|"]
    for one in value.differences:
        cells = (since.name(one.fact), since.value(one, one.before), since.value(one, one.after))
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return lines


def _cell(text: str) -> str:
    return clean(text).replace("|", "\\|").replace("\n", " ")
