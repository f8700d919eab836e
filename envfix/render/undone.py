"""Transactions as text: what changed from which version to which, and what is put back."""

from __future__ import annotations

from collections.abc import Sequence

from envfix.model.outcome import KernelspecChange, PackageMove, Transaction
from envfix.model.results import RolledBack, TransactionList
from envfix.render.outcome import restart
from envfix.render.words import columns, size

MOST = 6  # packages that are named


def listed(value: TransactionList) -> list[str]:
    """Newest first: each can be rolled back once those above it are."""
    if not value.transactions:
        return [f"nothing  envfix has changed nothing in {value.python} that it could put back"]
    lines = []
    for one in value.transactions:
        lines.append(f"{one.id:<8} {one.date}  {_number(one)}, keeps {size(one.kept_bytes)}")
        lines += _moves(one.packages, [(move.before, move.after) for move in one.packages])
    return lines


def undoing(value: Transaction) -> list[str]:
    """What a rollback does to each package."""
    return [
        f"rollback transaction {value.id} of {value.date}: {_number(value)}",
        *_moves(value.packages, [(move.after, move.before) for move in value.packages]),
    ]


def rolled_back(value: RolledBack) -> list[str]:
    """The packages, the kernels that followed, and the word on the notebook's restart."""
    one = value.transaction
    lines = [f"done     transaction {one.id} of {one.date} is undone in {value.python}: {_number(one)}"]
    lines += [_kernel(kernel) for kernel in value.kernelspecs]
    return lines + (restart(value.restart) if value.restart else [])


def _kernel(change: KernelspecChange) -> str:
    if change.display_name is None:
        return f"kernel   `{change.name}` is no kernel any more: its environment has lost what it needs"
    return f"kernel   `{change.name}` is called `{change.display_name}` again"


def _number(one: Transaction) -> str:
    return "1 package" if len(one.packages) == 1 else f"{len(one.packages)} packages"


def _moves(moves: Sequence[PackageMove], steps: Sequence[tuple[str | None, str | None]]) -> list[str]:
    """What had another version first: a new package says less."""
    rows = [
        (f"  {move.name}", f"{old or 'none'} -> {new or 'none'}")
        for move, (old, new) in zip(moves, steps, strict=True)
    ]
    ranked = sorted(rows, key=lambda row: ("none" in row[1], "tensorflow" not in row[0], row[0]))
    more = [f"  and {len(rows) - MOST} more"] if rows[MOST:] else []
    return columns(ranked[:MOST]) + more
