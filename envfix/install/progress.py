"""Which lines of an installer's are worth showing where it draws no progress bar, as in a notebook's cell.

What it would change is in envfix's own plan already, so one line for each package is left out; errors and
warnings always stay, and so does every line that is not known here.
"""

from __future__ import annotations

import re

LARGE = 100  # MiB from which a file's download is worth a line
_UNITS = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024, "kB": 1e3 / 2**20, "MB": 1e6 / 2**20, "GB": 1e9 / 2**20}
# uv 0.13: `Using Python 3.12.1 environment at: ...`, `Resolved 41 packages in 246ms`, ` + numpy==2.1.3`.
_UV_REPEATS = re.compile(r"Using |Resolved |Audited | [-+~] ")
# pip 23 to 26.
_PIP_REPEATS = re.compile(
    r"Looking in |Collecting |Processing |\s*(Using cached |Downloading |Obtaining |Saved |File was already )"
    r"|Requirement already |Successfully |\s*(Attempting uninstall|Found existing installation|Uninstalling |"
    r"Successfully uninstalled)|\[notice\]"
)


class UvProgress:
    """Asked for each line of one run of uv; large files are shown when they start and when they are there.

    `fetches` says that the run only fills the cache, so that what it installs is of no interest.
    """

    def __init__(self, fetches: bool = False, large: float = LARGE) -> None:
        self.fetches = fetches
        self.large = large
        self.shown: set[str] = set()

    def __call__(self, line: str) -> str:
        started = re.fullmatch(r"\s*Downloading (\S+) \(([\d.]+)\s?([A-Za-z]+)\)", line)
        if started:
            if float(started[2]) * _UNITS.get(started[3], 0) < self.large:
                return ""
            self.shown.add(started[1])
            return line
        ended = re.fullmatch(r"\s*Downloaded (\S+)", line)
        if ended:
            return line if ended[1] in self.shown else ""
        if _UV_REPEATS.match(line) or (self.fetches and line.startswith("Installed ")):
            return ""
        return line


def pip_progress(line: str) -> str:
    """What to show of a line of pip's: the large files, and that it installs."""
    size = re.search(r"Downloading .*\(([\d.]+) ([kMG]B)\)$", line)
    if size and float(size[1]) * _UNITS[size[2]] >= LARGE:
        return line.strip()
    listed = re.fullmatch(r"Installing collected packages: (.*)", line)
    if listed:
        return f"installing {len(listed[1].split(','))} packages ..."
    return "" if _PIP_REPEATS.match(line) else line
