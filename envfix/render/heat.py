"""Releases by rules as rows of cells, and each different verdict once as a numbered note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from envfix.model.decision import Candidate, Fit, Verdict

# What each rule asks, for a reader who meets its name for the first time (DESIGN: "The rules that decide").
QUESTIONS = {
    "wheel": "Is there a CUDA wheel for this Python, system, architecture and C library?",
    "gpu": "Is there an NVIDIA GPU with a driver?",
    "driver": "Does the driver reach the floor of the wheel's CUDA major?",
    "gpu-code": "Can the GPU run the wheel's kernels, as SASS or as PTX that the driver compiles?",
    "system": "Do the machine's own toolkit and cuDNN serve the release?",
    "libraries": "Do the CUDA libraries and cuDNN have code for the GPU?",
    "cudnn": "Is cuDNN of the same major, and not older than the one compiled against?",
    "known-bad": "Is the release free of known defects, or are they mended?",
    "cpu": "Has the CPU the instructions that the wheel was compiled for?",
    "companions": "Can the packages that go with it be together?",
    "installed": "Do the installed packages keep what they require?",
}


class Note(Struct, frozen=True, kw_only=True):
    """One verdict with the releases it is about, newest first; `number` counts through all rules.

    `sources` are those of all of them: each release's METADATA, say.
    """

    number: int
    verdict: Verdict
    releases: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def about(self) -> str:
        """`2.16.1 to 2.19.1`: the releases lie next to each other, or else are named."""
        if len(self.releases) < 3:
            return " and ".join(self.releases[::-1])
        return f"{self.releases[-1]} to {self.releases[0]}"


class Cell(Struct, frozen=True, kw_only=True):
    """`first` says that the release above has another verdict: there the keyboard stops."""

    note: Note
    first: bool


class Row(Struct, frozen=True, kw_only=True):
    """A release with a cell for each rule, None where the rule does not count for it."""

    candidate: Candidate
    best: bool
    cells: tuple[Cell | None, ...]


class Heat(Struct, frozen=True, kw_only=True):
    """`rules` in the order of judging; `notes` by rule, newest release first."""

    rules: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[tuple[str, tuple[Note, ...]], ...]


def heat(candidates: Sequence[Candidate], best: Candidate | None) -> Heat:
    """Every verdict of the candidates, which are newest first."""
    rules = _in_order(candidates)
    notes: dict[tuple[str, int], Note] = {}
    by_rule: list[tuple[str, tuple[Note, ...]]] = []
    count = 0
    for rule in rules:
        found = _notes(candidates, rule, count)
        count += len(found)
        by_rule.append((rule, tuple(note for note, _ in found)))
        notes |= {(rule, row): note for note, rows in found for row in rows}
    rows = tuple(
        Row(
            candidate=candidate,
            best=best is not None and candidate.release.key == best.release.key,
            cells=tuple(_cell(notes, rule, at) for rule in rules),
        )
        for at, candidate in enumerate(candidates)
    )
    return Heat(rules=rules, rows=rows, notes=tuple(by_rule))


def _in_order(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """The rules of all candidates; one that only some have stands where those have it."""
    order: list[str] = []
    for candidate in candidates:
        after = 0
        for verdict in candidate.verdicts:
            if verdict.rule not in order:
                order.insert(after, verdict.rule)
            after = order.index(verdict.rule) + 1
    return tuple(order)


def _notes(candidates: Sequence[Candidate], rule: str, before: int) -> list[tuple[Note, list[int]]]:
    """A note for each unbroken run of releases with the same answer, and the rows it stands in."""
    runs: list[list[tuple[int, Verdict]]] = []
    for row, candidate in enumerate(candidates):
        verdict = next((one for one in candidate.verdicts if one.rule == rule), None)
        if verdict is None:
            continue
        if runs and runs[-1][-1][0] == row - 1 and _says(runs[-1][-1][1]) == _says(verdict):
            runs[-1].append((row, verdict))
        else:
            runs.append([(row, verdict)])
    return [
        (
            Note(
                number=number,
                verdict=run[0][1],
                releases=tuple(candidates[row].release.asked_for for row, _ in run),
                sources=tuple(dict.fromkeys(verdict.source for _, verdict in run)),
            ),
            [row for row, _ in run],
        )
        for number, run in enumerate(runs, before + 1)
    ]


def _says(verdict: Verdict) -> tuple[Fit, str, str]:
    return verdict.fit, verdict.wanted, verdict.found


def _cell(notes: dict[tuple[str, int], Note], rule: str, row: int) -> Cell | None:
    note = notes.get((rule, row))
    if note is None:
        return None
    above = notes.get((rule, row - 1))
    return Cell(note=note, first=above is None or above.number != note.number)


def blockers(candidate: Candidate) -> tuple[Verdict, ...]:
    """The verdicts that are not yes."""
    return tuple(verdict for verdict in candidate.verdicts if verdict.fit is not Fit.YES)
