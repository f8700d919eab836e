"""Reports to make pages of, and a reader of what a page holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser

from msgspec import Struct, structs

from envfix.matrix import change, load, rank
from envfix.matrix.ceilings import ceilings
from envfix.model.decision import Candidate
from envfix.model.machine import Machine
from envfix.model.plan import NEEDED, Break, Change, Plan, PlannedPackage
from envfix.model.results import Report
from envfix.probe import machine_file
from envfix.render import html
from envfix.resolve.bounds import bounds
from envfix.system.outside import RealOutside
from tests import shipped

BLOCKS = frozenset({"p", "div", "li", "td", "th", "tr", "dt", "dd", "caption", "h1", "h2", "h3", "h4", "h5"})
VOID = frozenset({"meta", "br", "hr", "img", "input", "link", "wbr"})
PLAN = Plan(
    packages=(
        PlannedPackage(
            name="tensorflow",
            version="2.20.0",
            size=620_000_000,
            change=Change.ADD,
            because="the newest release whose rules are all yes",
        ),
        PlannedPackage(
            name="numpy", version="2.1.3", size=16_000_000, change=Change.DOWNGRADE, because=NEEDED
        ),
        PlannedPackage(name="h5py", version="3.14.0", size=None, change=Change.ADD, because=NEEDED),
        PlannedPackage(name="wheel", version="0.48.0", size=0, change=Change.KEEP, because=NEEDED),
    ),
    download_bytes=636_000_000,
    installed_bytes=1_900_000_000,
    breaks=(Break(package="torch 2.6.0", requirement="numpy<2", found="numpy 2.1.3"),),
)


@cache
def machines() -> dict[str, Machine]:
    """Every machine that can be named, and one of which little is known."""
    there = machine_file.list_machines(RealOutside(), f"{load.matrix_dir()}/machines")
    t4 = dict(there)["colab-t4"]
    return {**dict(there), "little-known": structs.replace(Machine(), python=t4.python, os=t4.os)}


def report_of(machine: Machine, plan: Plan | None = PLAN) -> Report:
    """What `envfix report` says of the machine, with a plan that no index was asked for."""
    matrix, request = shipped.matrix(), shipped.request()
    decision = rank.decide(matrix, machine, request)
    asked = rank.ask(matrix, machine, request)
    found = Report(
        machine=machine,
        decision=decision,
        plan=plan if decision.recommended else None,
        remedies=change.for_each(matrix, decision, asked),
        advice=decision.advice,
    )
    if decision.recommended is None:
        return found
    release = decision.recommended.release
    held = bounds(release, machine, matrix, {})
    return structs.replace(found, bounds=held, ceilings=ceilings(release, machine, matrix, held))


@cache
def named(machine: str) -> Report:
    return report_of(machines()[machine])


class Element(Struct, eq=False):
    """A tag with its attributes and what is in it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str]

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        return [one for one in self.walk() if (not tag or one.tag == tag) and one.has(**attributes)]

    def has(self, **attributes: str) -> bool:
        """Whether it has the attributes (`cls` for `class`: one of its classes)."""
        classes = self.attributes.get("class", "").split()
        return all(
            value in classes if name == "cls" else self.attributes.get(name) == value
            for name, value in attributes.items()
        )

    def one(self, tag: str = "", **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        return " ".join(self._raw(lambda one: True).split())

    @property
    def words(self) -> str:
        """The text that a screen reader says."""
        return " ".join(self._raw(lambda one: one.attributes.get("aria-hidden") != "true").split())

    def _raw(self, counts: Callable[[Element], bool]) -> str:
        if not counts(self) or self.tag == "style":
            return ""
        parts = [child if isinstance(child, str) else child._raw(counts) for child in self.children]
        return f" {''.join(parts)} " if self.tag in BLOCKS else "".join(parts)


class _Reader(HTMLParser):
    """A strict one: every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {}, [])
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        made = Element(tag, {name: value or "" for name, value in attrs}, [])
        self.open[-1].children.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(text: str) -> Element:
    """The tree of a page or fragment. Raises AssertionError where tags are not closed in order."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"not closed: {[one.tag for one in reader.open[1:]]}"
    return reader.root


@cache
def page_of(machine: str) -> Element:
    return read(html.page(named(machine)))


def cells(table: Element) -> list[list[str]]:
    """The texts of a table's rows."""
    return [[one.text for one in row.walk() if one.tag in ("th", "td")] for row in table.all("tr")]


def fits(candidate: Candidate) -> dict[str, str]:
    return {verdict.rule: verdict.fit.value for verdict in candidate.verdicts}
