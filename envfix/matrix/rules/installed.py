"""Rule 9: what is installed and stays keeps its requirements."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from packaging.utils import canonicalize_name

from envfix.matrix.rules.brought import Brought, brought_by
from envfix.matrix.rules.case import Case
from envfix.matrix.rules.demands import Demand, Holder
from envfix.matrix.rules.holding import held, installed_beside
from envfix.model.decision import Fit, Verdict
from envfix.model.specifiers import contradict, name_in

RULE = "installed"
# An installer does not look after the requirements of packages that it leaves alone.
INSTALLERS = "https://pip.pypa.io/en/stable/topics/dependency-resolution/"
_SHOWN = 3


class Clash(Struct, frozen=True, kw_only=True):
    """Two requirements on one package that no version satisfies."""

    holder: Holder
    demand: Demand
    brought: Brought

    @property
    def wanted(self) -> str:
        """Who needs what, as in `torch 2.6.0 needs numpy<2`."""
        return f"{self.holder.package} {self.holder.version} needs {self.demand.name}{self.demand.specifier}"


def judge_installed(case: Case) -> Verdict | None:
    """No requirement of an installed package that holds today meets a contradicting one.

    Where they meet on one of NVIDIA's wheels it is a no: the two would share it, and the one or the other
    fails at run time. Any other clash is unknown, and the plan names what breaks: the package may be upgraded
    or given up, which is the user's to say. None where nothing is known of what is installed.
    """
    there = installed_beside(case)
    met = held(case, there, RULE)
    if met is not None:
        return met
    silent = next((dist for dist in there if dist.unread), None)
    if silent is not None and case.libraries.pins:
        return Verdict(
            rule=RULE,
            fit=Fit.UNKNOWN,
            wanted=f"{silent.name} {silent.version} needs NVIDIA wheels",
            found=f"nothing that says which: {silent.unread}",
            source=INSTALLERS,
        )
    if case.demands is None:
        return None
    found = clashes(case)
    if not found:
        return Verdict(
            rule=RULE,
            fit=Fit.YES,
            wanted="what is installed keeps its requirements",
            found="nothing that contradicts them",
            source=INSTALLERS,
        )
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return Verdict(
        rule=RULE,
        fit=Fit.UNKNOWN,
        wanted="; ".join(clash.wanted for clash in found[:_SHOWN]) + more,
        found="; ".join(dict.fromkeys(clash.brought.text for clash in found[:_SHOWN])),
        source=found[0].holder.source,
    )


def clashes(case: Case) -> Sequence[Clash]:
    """The demands that the release cannot meet.

    Packages that are resolved anew with it demand nothing: its own requirements and what `--with` names. Nor
    is what `held` has weighed weighed again.
    """
    moving = {name_in(line) for line in case.release.requires}
    weighed = {dist.name for dist in installed_beside(case) if not dist.unread}
    moving.update(canonicalize_name(companion.name) for companion in case.companions)
    brought: dict[str, tuple[Brought, ...]] = {}
    found = []
    for demand in case.demands or ():
        if demand.name not in brought:
            brought[demand.name] = tuple(brought_by(case, demand.name))
        against = next(
            (one for one in brought[demand.name] if contradict(demand.specifier, one.specifier)), None
        )
        if against is not None:
            found += [
                Clash(holder=holder, demand=demand, brought=against)
                for holder in demand.holders
                if holder.package not in moving
                and not (holder.package in weighed and demand.name.startswith("nvidia-"))
            ]
    return found
