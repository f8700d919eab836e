"""A plan in a few lines: what was decided and what replaces something; `--json` names the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from envfix.model.plan import NEEDED, Change, LeftOut, Plan, PlannedPackage
from envfix.render.words import columns, size

SIGN = {Change.ADD: "+", Change.UPGRADE: "^", Change.DOWNGRADE: "v", Change.KEEP: "="}
FEW = 2  # as many packages with the same reason still have a line each


def plan(value: Plan) -> list[str]:
    """The bytes, the packages that change, largest first, and what the plan breaks."""
    changes = value.changes
    kept = len(value.packages) - len(changes)
    left_out = _left_out(value.left_out)
    if not changes:
        return [f"plan     nothing to change: {kept} packages keep their versions", *left_out]
    head = f"plan     {size(value.download_bytes)} to download, {size(value.installed_bytes)} on disk"
    stay = "1 package stays as it is" if kept == 1 else f"{kept} packages stay as they are"
    lines = [f"{head}; {stay}" if kept else head]
    lines += columns([row for _, row in sorted(_rows(changes), key=lambda pair: pair[0])])
    lines += left_out
    for broken in value.breaks:
        lines.append(f"  breaks {broken.package}: needs {broken.requirement}, would find {broken.found}")
    return lines


Row = tuple[tuple[bool, float, str], tuple[str, str, str]]


def _rows(changes: Sequence[PlannedPackage]) -> Iterable[Row]:
    """(where it stands, its cells) of each line; what the others need comes last."""
    # What is replaced is worth a line of its own, whatever the reason.
    added = [package for package in changes if package.change is Change.ADD]
    for package in changes:
        if package.change is not Change.ADD:
            yield _row([package], SIGN[package.change], f"{package.name} {package.version}", package.because)
    for because, group in groupby(sorted(added, key=_reason), key=_reason):
        packages = list(group)
        if because == NEEDED:
            yield _row(packages, "+", _counted(packages, "that these need"), "")
        elif len(packages) > FEW:
            yield _row(packages, "+", _counted(packages, "packages"), because)
        else:
            for package in packages:
                yield _row([package], "+", f"{package.name} {package.version}", because)


def _row(packages: Sequence[PlannedPackage], sign: str, what: str, because: str) -> Row:
    sizes = [package.size for package in packages]
    total = sum(one for one in sizes if one is not None)
    return (not because, -total, what), (
        f"  {sign} {what}",
        size(None if None in sizes and not total else total),
        because,
    )


def _left_out(left: Sequence[LeftOut]) -> list[str]:
    # An install that has nothing to do asks no index, which alone knows the sizes of what is not there.
    sized = any(one.size is not None for one in left)
    rows = []
    for one in left:
        amount = ["" if one.size is None else size(one.size)] if sized else []
        rows.append([f"  - {one.name} {one.version}", *amount, f"left out: {one.because}"])
    return columns(rows)


def _counted(packages: Sequence[PlannedPackage], what: str) -> str:
    """`12 nvidia-* packages`, or `12 packages` where their names have no beginning in common."""
    stems = {package.name.partition("-")[0] for package in packages}
    stem = f"{stems.pop()}-* " if len(stems) == 1 and len(packages) > 1 else ""
    return f"{len(packages)} {stem}{what}"


def _reason(package: PlannedPackage) -> str:
    return package.because
