"""A report as a web page of one file, and as a fragment for a notebook's cell.

Nothing is fetched and no script runs: hovering, keyboard focus, themes and print are CSS, and the links of
the heat map lead to notes on the same page. Whatever comes from outside (names of machines and GPUs, an
index's texts) is escaped by the template engine and cleaned of control characters on its way out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

from envfix import __version__
from envfix.errors import InputError
from envfix.model.decision import Candidate, Fit, Remedy
from envfix.model.machine import Machine, known
from envfix.model.plan import NEEDED, Change, Plan, PlannedPackage
from envfix.model.results import Report
from envfix.printable import clean
from envfix.render import json
from envfix.render import since as since_words
from envfix.render.bars import picture
from envfix.render.heat import QUESTIONS, blockers, heat
from envfix.render.words import one_line, size

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_ADDRESS = re.compile(r"https://[^\s\"'<>`\\]+")
_CODE = re.compile(r"`([^`\n]+)`")
MARKS = {Fit.YES: "✓", Fit.NO: "✕", Fit.UNKNOWN: "?"}


class Verdict(Struct, frozen=True, kw_only=True):
    """The report in a sentence, what stands behind it, and what that comes to."""

    sentence: str
    grounds: str
    fit: Fit


def page(report: Report) -> str:
    """A whole HTML document. Raises InputError where jinja2 is not installed."""
    engine = _engine()
    styles = engine.get_template("page.css.jinja").render() + engine.get_template("report.css.jinja").render()
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    view = _view(report, prefix="", top=1)
    return engine.get_template("page.html.jinja").render(
        **view, styles=_safe(styles), style_digest=digest, title=_title(report, view["verdict"])
    )


def fragment(report: Report) -> str:
    """The report as one element that brings its styles: they are all below its class, and so are its ids.

    Raises InputError where jinja2 is not installed.
    """
    digest = hashlib.sha256(repr(json.data(report)).encode("utf-8", "replace")).hexdigest()
    return element("fragment.html.jinja", _view(report, prefix=f"envfix-{digest[:10]}-", top=3))


def element(template: str, view: Mapping[str, Any]) -> str:
    """One element that brings its styles. Raises InputError where jinja2 is not installed."""
    engine = _engine()
    styles = engine.get_template("report.css.jinja").render()
    return engine.get_template(template).render(**view, styles=_safe(styles))


def _view(report: Report, prefix: str, top: int) -> dict[str, Any]:
    """What the templates are handed; `top` is the level of the first heading."""
    decision = report.decision
    return {
        "report": report,
        "verdict": verdict(report),
        "facts": _facts(report.machine),
        "heat": heat(decision.candidates, decision.recommended),
        "pictures": [picture(one) for one in report.ceilings],
        "groups": _by_reason(report.plan) if report.plan else [],
        "kept": [one for one in report.plan.packages if one.change is Change.KEEP] if report.plan else [],
        "ways": _grouped(report.remedies, decision.recommended),
        "sure": _sure(report.remedies, decision.recommended),
        "newest": decision.candidates[0] if decision.candidates else None,
        "prefix": prefix,
        "top": top,
        "envfix_version": __version__,
    }


def verdict(report: Report) -> Verdict:
    """What the page is headed with."""
    best = report.decision.recommended
    if best is None:
        why = "No NVIDIA GPU was found here." if report.machine.has_no_gpu else ""
        grounds = why or "Every release is listed below with what stands in its way."
        return Verdict(sentence=_capitalised(report.decision.refusal), grounds=grounds, fit=Fit.NO)
    name = f"TensorFlow {best.version}" if best.release.package == "tensorflow" else best.name
    proof = (
        "Its real wheel was loaded under a driver stub and registered the GPU there; no kernel ran."
        if best.proven
        else "It is not proven with the Python and the NVIDIA wheels that this machine gets."
    )
    if best.fit is Fit.YES:
        return Verdict(
            sentence=f"{name} fits this machine", grounds=f"Every rule answers yes. {proof}", fit=Fit.YES
        )
    open_rules = [one.rule for one in blockers(best)]
    which = "the rule" if len(open_rules) == 1 else "the rules"
    return Verdict(
        sentence=f"{name} may work on this machine",
        grounds=f"Nothing forbids it, but {which} {', '.join(open_rules)} cannot be answered. {proof}",
        fit=Fit.UNKNOWN,
    )


def _title(report: Report, value: Verdict) -> str:
    name = known(report.machine.name, "")
    return one_line(f"{value.sentence}{f' ({name})' if name else ''} - envfix report")


def _facts(machine: Machine) -> list[tuple[str, str]]:
    """The machine as pairs of a name and a value."""
    gpus = [
        f"{known(gpu.name, 'GPU')} (compute capability {known(gpu.compute_capability, 'not known')})"
        for gpu in known(machine.gpus, ())
    ]
    driver = machine.driver
    if driver is UNSET or driver is None:
        drivers = "none" if driver is None else "not known"
    else:
        drivers = f"{known(driver.release, '?')} (driver's CUDA {known(driver.cuda, '?')})"
    system = [getattr(known(fact, None), "value", "?") for fact in (machine.os, machine.arch)]
    pairs = [
        ("Machine", known(machine.name, "this one")),
        ("GPU", ", ".join(gpus) or ("not known" if machine.gpus is UNSET else "none")),
        ("Driver", drivers),
        ("Python", str(known(machine.python, "not known"))),
        ("System", " ".join(system) + (f", glibc {machine.glibc}" if machine.glibc else "")),
    ]
    return [(name, one_line(str(text))) for name, text in pairs]


def _by_reason(plan: Plan) -> list[tuple[str, list[PlannedPackage]]]:
    """The packages that change by their reason: what others need comes last, the largest download first."""
    groups: dict[str, list[PlannedPackage]] = {}
    for package in sorted(plan.changes, key=lambda one: (one.because == NEEDED, -(one.size or 0), one.name)):
        groups.setdefault(package.because, []).append(package)
    return list(groups.items())


class Way(Struct, frozen=True, kw_only=True):
    """What a run of releases would take: they are next to each other and need the same."""

    releases: tuple[str, ...]
    changes: str
    because: str
    newer: bool
    fit: Fit

    @property
    def about(self) -> str:
        """The release, or the first and the last of them, the oldest first."""
        return self.releases[0] if len(self.releases) == 1 else f"{self.releases[-1]} to {self.releases[0]}"


def _sure(remedies: tuple[Remedy, ...], best: Candidate | None) -> str:
    """What would make sure of the recommended release, where not every rule could be answered of it."""
    key = best.release.key if best else None
    return next((_capitalised(one.text) for one in remedies if (one.package, one.version) == key), "")


def _grouped(remedies: tuple[Remedy, ...], best: Candidate | None) -> list[Way]:
    """Runs of releases that would take the same, but for the recommended one."""
    found: list[Way] = []
    for remedy in remedies:
        if best is not None and (remedy.package, remedy.version) == best.release.key:
            continue
        name = str(remedy.version)
        way = Way(
            releases=(name if remedy.package == "tensorflow" else f"{remedy.package}=={name}",),
            changes=" and ".join(change.wanted for change in remedy.changes),
            because=f"{remedy.verdict.rule}: {remedy.verdict.reason}",
            newer=best is None or remedy.version > best.version,
            fit=remedy.fit,
        )
        same = (way.changes, way.newer, way.fit)
        if found and same == (found[-1].changes, found[-1].newer, found[-1].fit):
            before = found.pop()
            because = before.because if before.because == way.because else ""
            way = Way(
                releases=(*before.releases, *way.releases),
                changes=way.changes,
                because=because,
                newer=way.newer,
                fit=way.fit,
            )
        found.append(way)
    return found


@cache
def _engine() -> Environment:
    try:
        import jinja2
    except ImportError:
        raise InputError(
            "the page is made with jinja2, which is not installed beside envfix", "pip install 'jinja2>=3.0'"
        ) from None
    engine = jinja2.Environment(
        loader=jinja2.PackageLoader("envfix.render", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    engine.filters.update(size=size, prose=_prose, source=_source, cited=_cited, capitalised=_capitalised)
    engine.globals.update(marks=MARKS, questions=QUESTIONS, since_words=since_words)
    return engine


def _printable(value: Any) -> Any:
    """Text of others without control characters; what the templates themselves made is left alone."""
    return clean(value) if type(value) is str else value


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _safe(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


def _prose(text: str) -> Markup:
    """The text with what stands in backticks as code."""
    from markupsafe import escape

    return _joined(_CODE, text, lambda found: _safe("<code>") + escape(clean(found[1])) + _safe("</code>"))


def _source(text: str) -> Markup:
    """The text with its addresses as links."""
    from markupsafe import escape

    def link(found: re.Match[str]) -> Markup:
        address = escape(clean(found[0]))
        return _safe('<a rel="noreferrer" href="') + address + _safe('">') + address + _safe("</a>")

    return _joined(_ADDRESS, text, link)


def _cited(text: str, what: str) -> Markup:
    """A link of one word where the text is an address alone, for places too narrow to write it out."""
    from markupsafe import escape

    if _ADDRESS.fullmatch(text) is None:
        return _source(text)
    link = _safe('<a class="cited" rel="noreferrer" href="{}">source<span class="hidden"> of {}</span></a>')
    return link.format(escape(clean(text)), escape(clean(what)))


def _joined(pattern: re.Pattern[str], text: str, render: Any) -> Markup:
    """The text escaped but for what the pattern finds, which is rendered."""
    from markupsafe import escape

    made, at = _safe(""), 0
    for found in pattern.finditer(text):
        made += escape(clean(text[at : found.start()])) + render(found)
        at = found.end()
    return made + escape(clean(text[at:]))
