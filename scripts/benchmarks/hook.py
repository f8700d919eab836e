"""What envfix's loader costs a Python start that does not import TensorFlow."""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.ratios import Spread, beyond, paired
from benchmarks.table import Row
from benchmarks.workshop import Workshop

SECTION = "hook"
STARTS = 12  # for each round of others: a start takes 10 ms


def rows(shop: Workshop, options: Options) -> list[Row]:
    """Two empty environments, one with the loader; processor time, for it is a part of a millisecond."""
    from envfix.install import loader
    from envfix.probe.interpreter import read_target
    from envfix.system.outside import RealOutside

    hooked, plain = (str(shop.venv(name) / "python") for name in ("hooked", "plain"))
    outside = RealOutside(quiet=True)
    loader.install(outside, read_target(outside, hooked))
    starts = options.rounds * STARTS
    shop.say(f"python -c pass with and without the loader, {starts} rounds ...")
    commands = [[python, "-c", "pass"] for python in (hooked, plain)]
    with_it, without = ([run.cpu * 1000 for run in runs] for runs in shop.alternately(commands, starts))
    shop.remove("hooked", "plain")
    return [
        Row(
            SECTION,
            "`python -c pass` with envfix's loader in the environment, and without",
            Spread.of(with_it).text("ms"),
            Spread.of(without).text("ms"),
            paired(with_it, without),
            note=f"{beyond(with_it, without).median:.2f} ms more, processor time, {starts} rounds",
        )
    ]
