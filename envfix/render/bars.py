"""Ceilings as bars: where each begins and how wide it is, in percent of the picture's width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from envfix.model.ceilings import Ceilings, Lane, Span, Subject

_NARROW_LABELS = 5  # as many fit beside each other on a telephone
_WIDE_GAP = 2  # places between labels where there is room


class Bar(Struct, frozen=True, kw_only=True):
    """A bar of a lane, in percent of the axis."""

    x: str
    width: str
    limited: bool = False


class Tick(Struct, frozen=True, kw_only=True):
    """A place on the axis; `label` is `always`, `wide` (where there is room) or empty (no label)."""

    x: str
    text: str
    label: str


class Drawn(Struct, frozen=True, kw_only=True):
    """A lane with its bars; `pin` is the middle of the release that is taken, None where no wheel is."""

    lane: Lane
    bars: tuple[Bar, ...]
    pin: str | None
    words: str

    @property
    def is_wheel(self) -> bool:
        return self.lane.subject is Subject.WHEEL


class Picture(Struct, frozen=True, kw_only=True):
    """The bars of one library; `taken` is the release that the plan has, `taken_at` where on the axis it
    stands. Both are None where the plan has none."""

    library: str
    ticks: tuple[Tick, ...]
    taken: str | None
    taken_at: str | None
    lanes: tuple[Drawn, ...]


def picture(value: Ceilings) -> Picture:
    """The bars of one library."""
    axis = value.axis
    at = axis.index(value.taken) if value.taken else None
    return Picture(
        library=value.library,
        ticks=tuple(_ticks(axis, at)),
        taken=value.taken,
        taken_at=None if at is None else _middle(axis, at),
        lanes=tuple(_drawn(axis, lane) for lane in value.lanes),
    )


def _drawn(axis: Sequence[str], lane: Lane) -> Drawn:
    bars = [_bar(axis, span, False) for span in lane.allowed or ()]
    bars += [_bar(axis, span, True) for span in lane.limited]
    pin = _middle(axis, axis.index(lane.at)) if lane.at in axis else None
    return Drawn(lane=lane, bars=tuple(bars), pin=pin, words=_words(lane))


def _words(lane: Lane) -> str:
    """`11.0 to 12.4; with limits 12.5 to 12.9`."""
    if lane.allowed is None and not lane.limited:
        return "not known"
    parts = [_ranges(lane.allowed)] if lane.allowed else []
    parts += [f"with limits {_ranges(lane.limited)}"] if lane.limited else []
    return "; ".join(parts) or "none"


def _ranges(spans: Iterable[Span]) -> str:
    return ", ".join(one.first if one.first == one.last else f"{one.first} to {one.last}" for one in spans)


def _bar(axis: Sequence[str], span: Span, limited: bool) -> Bar:
    first, last = axis.index(span.first), axis.index(span.last)
    return Bar(x=_percent(first, axis), width=_percent(last - first + 1, axis), limited=limited)


def _ticks(axis: Sequence[str], taken: int | None) -> Iterator[Tick]:
    """The release that is taken is labelled first, then where majors begin, then what finds room."""
    majors = [at for at in range(len(axis)) if not at or _major(axis[at]) != _major(axis[at - 1])]
    wished = [*([] if taken is None else [taken]), *majors, len(axis) - 1]
    always = _apart(wished, (), -(-len(axis) // _NARROW_LABELS))
    wide = _apart(range(len(axis)), always, _WIDE_GAP)
    for place, text in enumerate(axis):
        label = "always" if place in always else "wide" if place in wide else ""
        yield Tick(x=_middle(axis, place), text=text, label=label)


def _apart(wished: Iterable[int], taken: Sequence[int], gap: int) -> list[int]:
    """Those of the places that keep a distance from the ones before them and from the taken."""
    found: list[int] = []
    for place in wished:
        if all(abs(place - other) >= gap for other in (*taken, *found)):
            found.append(place)
    return found


def _major(release: str) -> str:
    return release.partition(".")[0]


def _middle(axis: Sequence[str], place: int) -> str:
    return _percent(place + 0.5, axis)


def _percent(places: float, axis: Sequence[str]) -> str:
    return f"{100 * places / len(axis):.3f}%"
