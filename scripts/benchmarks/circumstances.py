"""On what, with what and when a bench ran."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from typing import Any

from benchmarks.workshop import Workshop, envfix_command, uv_program


def facts(shop: Workshop) -> dict[str, Any]:
    versions = {
        "envfix": shop.run([*envfix_command(), "--version"]).out.split()[1],
        "uv": shop.run([uv_program(), "--version"]).out.split()[1],
        "Python": platform.python_version(),
    }
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def sentence(known: dict[str, Any], *, joined: bool = False) -> str:
    """What stands above the table; `joined` where sections of an earlier run are in it."""
    runs = "in several runs" if joined else "in one run"
    with_what = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    return (
        f"Measured on {known['date']} {runs} of `python scripts/bench.py` on {known['system']}, "
        f"{known['cores']} cores that others share, no GPU, with {with_what}. "
        "Times are medians; ratios are of runs side by side, smaller is better for "
        "envfix, with their middle half in brackets."
    )
