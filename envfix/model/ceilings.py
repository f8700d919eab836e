"""Which CUDA and cuDNN a machine and a release allow, beside the wheels that are taken."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Subject(str, Enum):
    """What sets a limit: the machine, the release, or what the release says of one wheel."""

    DRIVER = "driver"
    GPU = "gpu"
    RELEASE = "release"
    WHEEL = "wheel"


class Span(Struct, frozen=True):
    """From `first` to `last`, both included and both on the axis."""

    first: str
    last: str


class Lane(Struct, frozen=True, kw_only=True):
    """What one subject allows.

    `allowed` is None where that is not known and empty where it is nothing. `limited` is allowed too, at the
    cost that `note` names. `at` is where the wheel that is taken stands, None where the subject is no wheel
    or the matrix does not say to which CUDA release that version belongs.
    """

    subject: Subject
    name: str
    allowed: tuple[Span, ...] | None
    limited: tuple[Span, ...] = ()
    at: str | None = None
    note: str = ""
    source: str = ""


class Ceilings(Struct, frozen=True, kw_only=True):
    """The lanes of one library, `CUDA` or `cuDNN`, on an axis of its releases in ascending order."""

    library: str
    axis: tuple[str, ...]
    lanes: tuple[Lane, ...]

    @property
    def taken(self) -> str | None:
        """The newest release that a wheel which is taken belongs to."""
        places = [self.axis.index(lane.at) for lane in self.lanes if lane.at in self.axis]
        return self.axis[max(places)] if places else None
