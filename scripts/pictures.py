# /// script
# requires-python = ">=3.10"
# dependencies = ["envfix-tf", "playwright>=1.40", "pyte>=0.8", "rich>=13"]
# [tool.uv.sources]
# envfix-tf = {path = ".."}
# ///
"""Make the README's pictures, each from a real run.

    uv run scripts/pictures.py report                  .assets/report.png: the page, in Chromium
    uv run scripts/pictures.py session --in FOLDER     .assets/session.svg: an install in a terminal

The second one installs TensorFlow for a Colab T4 into `FOLDER/demo` (3 GB to download where uv's cache is
cold, 6 GB on disk) and removes it again. What the terminal shows in the end is
drawn as it stands there, but for uv's list of packages.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import shutil
import struct
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyte

ASSETS = Path(__file__).parent.parent / ".assets"
ENVFIX = (sys.executable, "-m", "envfix")
COLUMNS = 122
LINES = 200  # nothing scrolls away
INSTALL = ("install", "--machine", "colab-t4", "--venv", "demo", "--yes")
AGAIN = (*INSTALL, "--no-verify")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# uv lists what it has installed: ` + numpy==2.5.5`.
PACKAGE = re.compile(r" \+ \S+==\S+$")
# rich names a web font in what it draws; a picture fetches nothing.
WEB_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the README's pictures, each from a real run.")
    parser.add_argument("picture", choices=("report", "session"))
    parser.add_argument("--in", dest="folder", type=Path, metavar="FOLDER", help="where `session` works")
    options = parser.parse_args(argv)
    ASSETS.mkdir(exist_ok=True)
    if options.picture == "report":
        return report(ASSETS / "report.png")
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        return session(ASSETS / "session.svg", options.folder)
    with tempfile.TemporaryDirectory(prefix="envfix-session-") as folder:
        return session(ASSETS / "session.svg", Path(folder))


def report(target: Path) -> int:
    """The top of the report's page for a Colab T4, in the light theme."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("ENVFIX_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page_file = Path(folder) / "report.html"
        argv = ["report", "--machine", "colab-t4", "--offline", "--format", "html", "-o", str(page_file)]
        os.spawnv(os.P_WAIT, sys.executable, [*ENVFIX, *argv])
        # Chromium refuses its sandbox to root, who runs most containers.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(viewport={"width": 1100, "height": 1186}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.screenshot(path=target)
        browser.close()
    print(f"{target}: {target.stat().st_size / 1000:.0f} KB")
    return 0


def session(target: Path, folder: Path) -> int:
    """Both installs, the first into a new environment, as one terminal shows them."""
    import pyte
    from rich.console import Console
    from rich.terminal_theme import DIMMED_MONOKAI
    from rich.text import Text

    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    for argv in (INSTALL, AGAIN):
        stream.feed(f"$ envfix {' '.join(argv)}\r\n".encode())
        code = recorded((*ENVFIX, *argv), folder, stream)
        if code:
            print("\n".join(shown(screen)), file=sys.stderr)
            return code
    shutil.rmtree(folder / "demo")
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    for line in folded(shown(screen)):
        console.print(Text(line, style="bold" if line.startswith("$ ") else ""))
    drawn = console.export_svg(title="envfix", theme=DIMMED_MONOKAI, unique_id="session")
    target.write_text(WEB_FONT.sub("", drawn), encoding="utf-8")
    print(f"{target}: {target.stat().st_size / 1000:.0f} KB")
    return 0


def shown(screen: pyte.Screen) -> list[str]:
    """The lines on a terminal, without the empty ones below the last."""
    return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")


def folded(lines: Sequence[str]) -> Iterator[str]:
    """The lines with uv's list of what it installed cut to one that counts them."""
    listed = [line for line in lines if PACKAGE.match(line)]
    for line in lines:
        if line not in listed:
            yield line
        elif line == listed[0]:
            yield f" + ... ({len(listed)} lines are left out here)"


def recorded(argv: Sequence[str], folder: Path, stream: pyte.ByteStream) -> int:
    """Run a command on a terminal of its own and feed what it writes to `stream`; its exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
        os.execv(argv[0], argv)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    for piece in read(terminal):
        stream.feed(piece)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read(terminal: int) -> Iterator[bytes]:
    """What comes from the other end of a terminal, until it is closed there."""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the last one has closed it
            return
        if not piece:
            return
        yield piece


if __name__ == "__main__":
    sys.exit(main())
