"""What a comparison of the shipped matrix with the package index came to."""

from __future__ import annotations

from msgspec import Struct


class ChangedRow(Struct, frozen=True, kw_only=True):
    """A release that the index has otherwise than the matrix; `what` names each value with both."""

    package: str
    version: str
    what: tuple[str, ...]


class MatrixCheck(Struct, frozen=True, kw_only=True):
    """Dates are YYYY-MM-DD, `age_days` whole days; releases are named `tensorflow 2.22.0`.

    `yanked` and `gone` are releases of the matrix that the index no longer offers, `reserved` packages that
    hold no TensorFlow yet, each as a sentence.
    """

    matrix_date: str
    checked: str
    age_days: int
    releases: int
    new: tuple[str, ...] = ()
    prereleases: tuple[str, ...] = ()
    changed: tuple[ChangedRow, ...] = ()
    yanked: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()

    @property
    def up_to_date(self) -> bool:
        """Whether the matrix says what the index says; pre-releases are never in it."""
        return not (self.new or self.changed or self.yanked or self.gone)

    @property
    def summary(self) -> tuple[str, ...]:
        """Lines for a person, the verdict first."""
        age = "today" if self.age_days == 0 else f"{self.age_days} day{'s' * (self.age_days != 1)} old"
        verdict = "as the index has them" if self.up_to_date else "not as the index has them"
        lines = [f"matrix of {self.matrix_date} ({age}): {self.releases} releases, {verdict}"]
        lines += [f"new: {name}: `envfix matrix derive {name.split()[1]}` reads it" for name in self.new]
        for row in self.changed:
            lines += [f"changed: {row.package} {row.version}: {what}" for what in row.what]
        lines += [f"yanked: {name}" for name in self.yanked]
        lines += [f"gone: {name}" for name in self.gone]
        lines += [f"pre-release: {name}, not in the matrix" for name in self.prereleases]
        return (*lines, *self.reserved)
