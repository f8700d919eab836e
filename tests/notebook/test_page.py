"""The report's page in Chromium: accessible, legible at every width, usable by keyboard, fit to print."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from envfix.render import html
from tests.notebook.conftest import Opened
from tests.pages import named
from tests.test_html import SINCE, hostile

pytestmark = pytest.mark.browser

MACHINES = (
    "colab-t4", "rtx-5090", "h100-535", "k80-470", "macos-m2", "no-gpu", "little-known", "kaggle-t4x2",
    "windows-rtx-3060", "gh200",
)  # fmt: skip
LONG = "x" * 300
CSS_DARK, CSS_LIGHT = "rgb(21, 23, 26)", "rgb(251, 251, 249)"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The boxes of elements that lie over each other, as pairs of texts.
OVERLAPS = """(selector) => {
  const boxes = [...document.querySelectorAll(selector)]
    .map(one => [one.textContent, one.getBoundingClientRect()])
    .filter(([, box]) => box.width && box.height);
  const found = [];
  for (const [at, [name, a]] of boxes.entries())
    for (const [other, b] of boxes.slice(at + 1))
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        found.push([name, other]);
  return found;
}"""


def page_of(machine: str) -> str:
    return html.page(structs.replace(named(machine), since=SINCE))


def violations(page: Any, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate(
        "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})",
        RULES,
    )
    assert len(found["passes"]) > 20, "axe has looked at the page"
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


@pytest.mark.parametrize(
    ("machine", "width", "dark"),
    [
        *(("colab-t4", width, dark) for width in (1280, 360) for dark in (False, True)),
        *((machine, (1280, 360)[at % 2], at % 4 > 1) for at, machine in enumerate(MACHINES[1:])),
    ],
)
def test_axe_finds_nothing(opened: Opened, axe: str, machine: str, width: int, dark: bool) -> None:
    page = opened(page_of(machine), width=width, dark=dark, scripts=True)
    assert violations(page, axe) == []


def test_axe_does_find_something_where_there_is_something(opened: Opened, axe: str) -> None:
    broken = page_of("no-gpu").replace('<html lang="en">', "<html>")
    assert any(one.startswith("html-has-lang") for one in violations(opened(broken, scripts=True), axe))


def test_axe_finds_nothing_in_an_open_tooltip_and_in_print(opened: Opened, axe: str) -> None:
    page = opened(page_of("h100-535"), scripts=True)
    page.locator("td.no a").first.focus()
    assert violations(page, axe) == []
    page.emulate_media(media="print")
    # Nobody taps on paper, where the marks are smaller.
    assert [one for one in violations(page, axe) if not one.startswith("target-size")] == []


@pytest.mark.parametrize("width", [1280, 768, 360, 320])
@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_overlaps_and_nothing_scrolls_sideways(opened: Opened, machine: str, width: int) -> None:
    page = opened(page_of(machine), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in (
        ".axis text",
        ".heat thead th",
        ".heat thead th span",
        "h1, h2, h3",
        ".bars .name, .bars .words",
    ):
        assert page.evaluate(OVERLAPS, selector) == []


def test_long_strings_without_a_space_do_not_widen_a_telephone(opened: Opened) -> None:
    page = opened(html.page(hostile([LONG, LONG, LONG, f"https://a.example/{LONG}"])), width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_theme_is_the_systems(opened: Opened, dark: bool) -> None:
    page = opened(page_of("colab-t4"), dark=dark)
    for element in ("body", "main"):
        colour = page.evaluate(f"getComputedStyle(document.querySelector('{element}')).backgroundColor")
        assert colour == (CSS_DARK if dark else CSS_LIGHT)


def test_nothing_is_fetched_and_nothing_is_refused(opened: Opened) -> None:
    page = opened(page_of("colab-t4"))
    assert page.requests_seen == [page.url]
    assert page.messages_seen == []
    # The styles pass the page's own policy: the heat map has its colours.
    back = page.locator("td.no a").first.evaluate("one => getComputedStyle(one).backgroundColor")
    assert back == "rgb(173, 58, 36)"


# -- the heat map by hand


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("how", ["hover", "focus"])
def test_a_tooltip_opens_inside_the_window(opened: Opened, how: str, width: int) -> None:
    page = opened(page_of("h100-535"), width=width)
    for cell in (
        "tr:first-child td.no a",
        "tr:last-child td:last-child a",
        "tr:nth-child(20) td:nth-child(3) a",
    ):
        link = page.locator(f".heat tbody {cell}").last
        tip = link.locator(".tip")
        assert tip.bounding_box()["width"] <= 1
        link.scroll_into_view_if_needed()
        getattr(link, how)()
        box = tip.bounding_box()
        assert box["width"] > 200 and box["height"] > 60
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900
        for word in ("wanted", "found", "source"):
            assert word in tip.inner_text()
        # It can be pointed at without closing (WCAG 1.4.13).
        if how == "hover" and width == 1280:
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            assert tip.bounding_box()["width"] > 200
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")


def test_the_keyboard_goes_from_verdict_to_verdict_and_to_its_note(opened: Opened) -> None:
    page = opened(page_of("h100-535"))
    page.locator(".heat tbody a").first.focus()
    seen = []
    for _ in range(12):
        seen.append(page.evaluate("document.activeElement.getAttribute('href')"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        page.keyboard.press("Tab")
    assert len(set(seen)) == 12
    where = page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("Enter")
    note = page.locator(where)
    assert page.url.endswith(where) and note.evaluate("one => one.matches(':target')")
    assert 0 <= note.bounding_box()["y"] < 900


def test_the_first_stop_skips_to_the_report_and_the_table_can_be_skipped(opened: Opened) -> None:
    page = opened(page_of("colab-t4"))
    page.keyboard.press("Tab")
    skip = page.locator("a.skip").first
    assert skip.evaluate("one => one === document.activeElement")
    assert skip.bounding_box()["x"] >= 0
    inline = page.locator("a.skip.inline")
    inline.focus()
    assert inline.bounding_box()["width"] > 60
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.closest('.heat-part') !== null")


def test_a_screen_reader_finds_tables_headers_and_cells(opened: Opened) -> None:
    page = opened(page_of("h100-535"))
    table = page.get_by_role("table", name="Every stable release that envfix knows")
    assert table.get_by_role("columnheader").all_inner_texts()[:4] == ["release", "fits", "wheel", "gpu"]
    assert table.get_by_role("rowheader", name="2.16.2 (recommended)").count() == 1
    row = table.get_by_role("row").filter(has_text="2.21.0").first
    name = row.get_by_role("link", name="gpu-code: no wanted driver >= 555.42.02")
    assert name.count() == 1
    assert page.get_by_role("navigation", name="Parts of this report").count() == 1
    assert page.get_by_role("list", name="CUDA releases that each allows").get_by_role("listitem").count() > 5


# -- print


def test_print_shows_the_notes_numbers_on_white_and_breaks_no_row(opened: Opened) -> None:
    page = opened(page_of("colab-t4"), dark=True)
    number = page.locator(".heat td.no .number").first
    assert not number.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert number.is_visible()
    assert page.locator(f"#note-{number.inner_text()} .number").inner_text() == number.inner_text()
    assert not page.locator("nav").is_visible()
    assert page.locator(".tip").first.bounding_box()["width"] <= 1
    ink = page.evaluate("getComputedStyle(document.querySelector('main')).color")
    assert ink == "rgb(27, 29, 32)"
    assert page.evaluate("getComputedStyle(document.querySelector('.heat tr')).breakInside") == "avoid"
    printed = page.pdf(prefer_css_page_size=True)
    assert 4 < printed.count(b"/Type /Page\n") < 20


# -- the fragment in a notebook's page

HOST = """<!DOCTYPE html><html lang="en"><title>t</title><style>
body { background: rgb(1, 2, 3); } table { font-size: 31px; } th, td { text-align: right; padding: 9px; }
.jp-RenderedHTMLCommon:not(.jp-RenderedMarkdown).jp-RenderedHTMLCommon td { text-align: right; }
.jp-RenderedHTMLCommon tbody tr:nth-child(odd) { background: rgb(9, 9, 9); } h3 { color: rgb(4, 5, 6); }
</style><body data-jp-theme-light="%s"><div class="jp-RenderedHTMLCommon">%s</div>
<h3 id="own">own</h3><table id="mine"><tr><td>cell</td></tr></table></body>"""


@pytest.mark.parametrize("theme", ["true", "false"], ids=["light", "dark"])
def test_a_fragment_has_the_notebooks_theme_and_leaves_the_notebook_alone(opened: Opened, theme: str) -> None:
    fragments = html.fragment(named("colab-t4")) + html.fragment(named("k80-470"))
    # The system's theme is the other one.
    page = opened(HOST % (theme, fragments), dark=theme == "true", width=700)
    style = """(selector) => {
      const s = getComputedStyle(document.querySelector(selector));
      return [s.color, s.backgroundColor, s.textAlign, s.fontSize, s.padding];
    }"""
    bare = opened(HOST % (theme, ""), dark=theme == "true", width=700)
    for selector in ("body", "#own", "#mine", "#mine td"):
        assert page.evaluate(style, selector) == bare.evaluate(style, selector)
    assert page.evaluate(style, ".envfix-report")[1] == (CSS_LIGHT if theme == "true" else CSS_DARK)
    for selector in (".envfix-report .plain tbody tr", ".envfix-report .plain tbody td"):
        assert page.evaluate(style, selector)[1] == "rgba(0, 0, 0, 0)"
    assert page.evaluate(style, ".envfix-report .plain tbody td")[2] == "left"
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
