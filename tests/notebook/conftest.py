"""Chromium, driven by playwright, and axe: what is missing fails, for a skipped test shows nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
Opened = Callable[..., Any]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("playwright is not installed: pip install -e '.[browser]'")
    program = os.environ.get("ENVFIX_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.fail("no Chromium is on PATH: apt-get install chromium, or name one with ENVFIX_CHROMIUM")
    with sync_playwright() as driver:
        # Chromium refuses its sandbox to root, who runs most containers.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    path = os.environ.get("ENVFIX_AXE", "")
    if not path or not Path(path).is_file():
        pytest.fail(
            "axe-core is not there: `npm install axe-core`, and name its axe.min.js with ENVFIX_AXE "
            f"(found `{path}`)"
        )
    return Path(path).read_text(encoding="utf-8")


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Opened]:
    """Open HTML as a file: `opened(text, width=1280, dark=False, ...)`; what it complains of fails the test.

    A page's requests and messages are in `page.requests_seen` and `page.messages_seen`.
    """
    contexts = []

    def open_page(text: str, *, width: int = 1280, dark: bool = False, scripts: bool = False) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            bypass_csp=scripts,
            offline=True,
        )
        contexts.append(context)
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_text(text, encoding="utf-8")
        page = context.new_page()
        page.requests_seen, page.messages_seen = [], []
        page.on("request", lambda request: page.requests_seen.append(request.url))
        page.on("console", lambda message: page.messages_seen.append(message.text))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
