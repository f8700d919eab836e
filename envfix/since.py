"""What is otherwise than when it worked: a snapshot against the facts of today."""

from __future__ import annotations

from collections.abc import Mapping

from envfix.facts import place
from envfix.model.snapshot import Difference, Since, Snapshot


def since(snapshot: Snapshot, facts: Mapping[str, str]) -> Since:
    """Every fact of either side. Packages are left out where one side knows of none at all."""
    before = snapshot.facts
    names = {*before, *facts}
    if not (_knows_packages(before) and _knows_packages(facts)):
        names = {name for name in names if not name.startswith("installed.")}
    ordered = sorted(names, key=place)
    return Since(
        snapshot=snapshot,
        differences=tuple(
            Difference(fact=name, before=before.get(name), after=facts.get(name))
            for name in ordered
            if before.get(name) != facts.get(name)
        ),
        unchanged=tuple(name for name in ordered if before.get(name) == facts.get(name)),
    )


def _knows_packages(facts: Mapping[str, str]) -> bool:
    return any(name.startswith("installed.") for name in facts)
