"""The report as a page: complete, safe whatever the strings, legible in both themes, usable by keyboard."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from envfix import cli
from envfix.errors import InputError
from envfix.model.decision import Bound, Candidate, Change, ChangeKind, Code, Decision, Fit, Remedy, Verdict
from envfix.model.machine import Gpu
from envfix.model.plan import Break, Plan
from envfix.model.results import Report
from envfix.model.snapshot import Difference, Since, Snapshot
from envfix.printable import clean
from envfix.reading import parse_yaml
from envfix.render import html
from envfix.render.words import size
from tests.pages import PLAN, Element, cells, fits, machines, named, page_of, read, report_of
from tests.values import RELEASE, T4, changed

DATA = Path(__file__).parent / "data"
SINCE = Since(
    snapshot=Snapshot(
        id="20261122-180300-abcdef", taken="2026-11-22T18:03:00Z", command="install", envfix="0.1.0",
        worked=True, proof="gpu",
    ),
    differences=(
        Difference(fact="driver.release", before="535.104.05", after="550.54.15"),
        Difference(fact="installed.torch", before=None, after="2.6.0"),
    ),
    unchanged=("python",),
)  # fmt: skip


def styles(tree: Element) -> str:
    (text,) = tree.one("style").children
    assert isinstance(text, str)
    return text


def rules_of(text: str) -> list[tuple[str, str]]:
    """(selector, declarations) of every rule, those inside `@media` too."""
    flat = re.sub(r"@page\s*\{[^}]*\}", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    flat = re.sub(r"@media[^{]*\{", "", flat)
    return [(head.strip(" \n}"), body) for head, body in re.findall(r"([^{}]+)\{([^{}]*)\}", flat)]


# -- the whole page


@pytest.mark.parametrize("machine", sorted(machines()))
def test_a_page_is_whole_and_closed_in_itself(machine: str) -> None:
    tree = page_of(machine)
    ids = [one.attributes["id"] for one in tree.walk() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for link in tree.all("a"):
        target = link.attributes["href"]
        assert target.removeprefix("#") in ids if target.startswith("#") else target.startswith("https://")
    for one in tree.walk():
        for reference in ("aria-labelledby", "aria-describedby"):
            assert one.attributes.get(reference, ids[0]) in ids
    assert not [one.tag for one in tree.walk() if one.tag in ("script", "link", "img", "iframe", "object")]
    assert not re.search(r"url\(|@import", styles(tree))


def test_the_page_forbids_itself_everything_but_its_own_styles() -> None:
    tree = page_of("colab-t4")
    (policy,) = [
        one.attributes["content"]
        for one in tree.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256(styles(tree).encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    # A style attribute would be refused by that policy.
    assert not [one.tag for one in tree.walk() if "style" in one.attributes]


@pytest.mark.parametrize("machine", sorted(machines()))
def test_headings_tables_and_landmarks_are_in_order(machine: str) -> None:
    tree = page_of(machine)
    root = tree.one("html")
    assert root.attributes["lang"] == "en"
    levels = [int(one.tag[1]) for one in tree.walk() if re.fullmatch(r"h[1-6]", one.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tree.one("main").attributes["id"] == "main"
    assert tree.all("a")[0].attributes == {"class": "skip", "href": "#main"}
    for table in tree.all("table"):
        assert table.one("caption").text
        assert all("scope" in one.attributes for one in table.all("th"))
    for picture in tree.all("svg"):
        assert picture.attributes["aria-hidden"] == "true"


def test_the_verdict_is_a_sentence_of_its_own() -> None:
    fitting, barely, none = (page_of(name) for name in ("colab-t4", "rtx-5090", "no-gpu"))
    assert fitting.one("h1").text == "TensorFlow 2.21.0 fits this machine"
    assert fitting.one("title").text == "TensorFlow 2.21.0 fits this machine (colab-t4) - envfix report"
    assert barely.one("h1").text == "TensorFlow 2.21.0 may work on this machine"
    assert "gpu-code, known-bad cannot be answered" in barely.one("p", cls="grounds").text
    assert none.one("h1").text == "No TensorFlow release fits this machine"
    assert none.one("p", cls="grounds").text == "No NVIDIA GPU was found here."


# -- the heat map


@pytest.mark.parametrize("machine", sorted(machines()))
def test_the_heat_map_has_every_release_and_rule_in_words(machine: str) -> None:
    report, tree = named(machine), page_of(machine)
    table = tree.one("table", cls="heat")
    _, _, *rules = [one.text for one in table.one("thead").all("th")]
    rows = table.one("tbody").all("tr")
    assert len(rows) == len(report.decision.candidates)
    for row, candidate in zip(rows, report.decision.candidates, strict=True):
        best = report.decision.recommended is candidate
        assert row.one("th").words == f"{candidate.version}" + (" (recommended)" if best else "")
        overall, *cells = row.all("td")
        assert overall.words == candidate.fit.value
        for rule, cell in zip(rules, cells, strict=True):
            verdict = next(one for one in candidate.verdicts if one.rule == rule)
            assert cell.words == (
                f"{rule}: {verdict.fit.value} wanted {verdict.wanted} found {verdict.found}".strip()
            )
            assert cell.has(cls=verdict.fit.value)
        assert dict(zip(rules, [cell.attributes["class"] for cell in cells], strict=True)) == fits(candidate)


def test_marks_differ_by_their_sign_and_not_by_colour_alone() -> None:
    table = page_of("h100-535").one("table", cls="heat")
    signs = {
        (one.attributes["class"], one.all("span")[0].text)
        for one in table.one("tbody").all("td")
        if "all" not in one.attributes["class"]
    }
    assert signs == {("yes", "✓"), ("no", "✕"), ("unknown", "?")}


@pytest.mark.parametrize("machine", ["colab-t4", "gh200", "k80-470"])
def test_the_keyboard_reaches_every_verdict_once(machine: str) -> None:
    tree = page_of(machine)
    links = tree.one("table", cls="heat").one("tbody").all("a")
    stops = [one.attributes["href"] for one in links if one.attributes.get("tabindex") != "-1"]
    notes = {f"#{one.attributes['id']}" for one in tree.all("li") if "id" in one.attributes}
    assert len(stops) == len(set(stops))
    assert set(stops) == notes == {one.attributes["href"] for one in links}
    assert len(stops) < len(links) / 4


def test_the_notes_hold_what_the_tooltips_say_and_link_their_sources() -> None:
    report, tree = named("h100-535"), page_of("h100-535")
    notes = {f"#{one.attributes['id']}": one for one in tree.all("li") if "id" in one.attributes}
    for link in tree.one("table", cls="heat").one("tbody").all("a"):
        note = notes[link.attributes["href"]]
        tip = link.one("span", cls="tip")
        wanted, found, source = [one.text.partition(" ")[2] for one in tip.all("span", cls="line")][:3]
        said = {one.one("dt").text: one.one("dd") for one in note.one("dl").all("div")}
        assert said["wanted"].text == wanted.replace("`", "")
        assert said["found"].text == found.replace("`", "")
        assert said["source"].text.startswith(source.partition(" and ")[0])
        if source.startswith("https://"):
            assert said["source"].all("a")[0].attributes["href"] == source.split()[0]
    about = {verdict.source for one in report.decision.candidates for verdict in one.verdicts}
    said_of_all = tree.one("section", cls="notes").text
    assert all(source in said_of_all for source in about)


def test_a_rule_that_only_some_releases_have_leaves_the_others_a_dash() -> None:
    extra = Verdict(rule="system", fit=Fit.NO, wanted="toolkit 12.5", found="11.8", source="s")
    plain = Verdict(rule="wheel", fit=Fit.YES, wanted="w", found="f", source="s")
    last = Verdict(rule="cpu", fit=Fit.YES, wanted="w", found="f", source="s")
    older = structs.replace(RELEASE, version=type(RELEASE.version)("2.19.0"))
    made = [
        Candidate(release=RELEASE, fit=Fit.NO, code=Code.NATIVE, proven=False, verdicts=(plain, extra, last)),
        Candidate(release=older, fit=Fit.YES, code=Code.NATIVE, proven=False, verdicts=(plain, last)),
    ]
    report = Report(machine=T4, decision=Decision(candidates=tuple(made), recommended=made[1]), plan=None)
    table = read(html.page(report)).one("table", cls="heat")
    assert [one.text for one in table.one("thead").all("th")] == ["release", "fits", "wheel", "system", "cpu"]
    assert [cell.words for cell in table.one("tbody").all("tr")[1].all("td")][2] == "does not count"


# -- plan, bounds, remedies, since


def test_the_plan_has_sizes_reasons_and_what_it_breaks() -> None:
    part = page_of("colab-t4").one("section", cls="plan-part")
    rows = cells(part)
    assert rows[1:] == [
        ["the newest release whose rules are all yes"],
        ["tensorflow", "2.20.0", "add", "620 MB", ""],
        ["the others need it"],
        ["numpy", "2.1.3", "downgrade", "16 MB", ""],
        ["h5py", "3.14.0", "add", "?", ""],
    ]
    assert part.one("p", cls="sums").text == (
        f"{size(PLAN.download_bytes)} to download {size(PLAN.installed_bytes)} on disk "
        "3 packages to change 1 that stays"
    )
    assert (
        part.one("div", cls="breaks").one("li").text == "torch 2.6.0 needs numpy<2 and would find numpy 2.1.3"
    )
    assert part.one("p", cls="kept").text == "As they are: wheel 0.48.0"
    widths = [one.attributes["width"] for one in part.all("rect")]
    assert widths == ["100.00%", "2.58%", "0.00%"]


def test_without_a_plan_it_is_said_why() -> None:
    nothing = page_of("no-gpu").one("section", cls="plan-part").text
    assert nothing == "Plan There is no plan, because no release fits."
    offline = report_of(machines()["colab-t4"], plan=None)
    assert "says why" in read(html.page(offline)).one("section", cls="plan-part").text
    empty = report_of(machines()["colab-t4"], plan=Plan(packages=(), download_bytes=0, installed_bytes=0))
    assert not read(html.page(empty)).one("section", cls="plan-part").all("table")


def test_bars_say_in_words_what_they_show() -> None:
    part = page_of("colab-t4").one("section", cls="bounds-part")
    driver = part.all("li", cls="limit")[0]
    assert driver.words.startswith(
        "driver 550.54.15: 11.0 to 12.4; with limits 12.5 to 12.9 driver's CUDA 12.4"
    )
    solid, dashed = driver.all("rect")
    assert (solid.attributes["class"], dashed.attributes["class"]) == ("bar", "bar limited")
    # 22 releases of CUDA on the axis, 11.0 to 12.4 are the first fourteen.
    assert (solid.attributes["x"], solid.attributes["width"]) == ("0.000%", f"{100 * 14 / 22:.3f}%")
    assert dashed.attributes["x"] == solid.attributes["width"]
    wheel = next(one for one in part.all("li", cls="wheel") if "cufft" in one.text)
    assert wheel.words == "nvidia-cufft-cu12 11.2.3.61: 12.5 to 12.9; 12.5 is taken"
    assert wheel.one("rect", cls="pin").attributes["x"] == f"{100 * 14.5 / 22:.3f}%"
    held = [one.text for one in part.one("table", cls="holds").one("tbody").all("code")]
    assert sorted(held) == sorted(bound.requirement for bound in named("colab-t4").bounds)


def test_labels_of_an_axis_keep_apart_and_name_what_is_taken() -> None:
    for machine in ("colab-t4", "rtx-5090", "h100-535", "k80-470"):
        for axis in page_of(machine).all("div", cls="axis"):
            places = [float(one.attributes["x"].rstrip("%")) for one in axis.all("text", cls="always")]
            assert min(b - a for a, b in pairwise(places)) > 14
            assert len(axis.all("text", cls="taken")) == 1


def test_a_newer_release_is_told_with_what_it_takes() -> None:
    tree = page_of("h100-535")
    newer, older = tree.all("table", cls="ways")
    rows = cells(newer.one("tbody"))
    assert [row[0] for row in rows] == ["2.19.0 to 2.21.0", "2.17.0 to 2.18.1"]
    assert rows[0][1].startswith("driver >= 555.42.02 in the way: gpu-code: needs driver >= 555.42.02")
    assert "Python 3.8 to 3.10" in older.text
    assert "there is no newer one" in page_of("colab-t4").text


def test_what_would_make_sure_of_the_recommended_release_is_told_first() -> None:
    tree = page_of("rtx-5090")
    assert tree.one("p", cls="sure").text == (
        "Nothing on this machine makes sure of tensorflow 2.21.0; "
        "it needs a GPU of compute capability 7.5 to 9.0."
    )
    assert "2.21.0" not in tree.one("table", cls="ways").one("tbody").text
    titles = {name: page_of(name).one("h2", id="newer").text for name in ("rtx-5090", "colab-t4", "gh200")}
    assert titles == {
        "rtx-5090": "To be sure, and for a newer release",
        "colab-t4": "For a newer release",
        "gh200": "What a release would take",
    }
    assert not page_of("colab-t4").all("p", cls="sure")


def test_a_remedy_without_changes_is_no_promise() -> None:
    remedy = Remedy(
        version=RELEASE.version,
        verdict=Verdict(rule="wheel", fit=Fit.NO, wanted="a", found="b", source="s"),
        changes=(),
        fit=Fit.NO,
    )
    report = structs.replace(named("no-gpu"), remedies=(remedy,))
    assert "nothing that is known makes it fit here" in read(html.page(report)).one("table", cls="ways").text


def test_what_changed_since_it_worked_is_a_table() -> None:
    tree = read(html.page(structs.replace(named("colab-t4"), since=SINCE)))
    rows = cells(tree.one("table", cls="since"))
    assert rows == [
        ["What", "Then", "Now"],
        ["driver", "535.104.05", "550.54.15"],
        ["torch", "not installed", "2.6.0"],
    ]
    assert "2 of 3 recorded facts have changed since 2026-11-22 18:03 UTC" in tree.text
    assert not page_of("colab-t4").all("table", cls="since")


# -- hostile strings


TEXT = st.text(max_size=60) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "`</code><b>`",
        'https://a.example/"onmouseover="x',
        "javascript:alert(1)",
        "https://a.example/`x`<b>",
        "{{ 7 * 7 }} {% raw %}",
        "</style><style>*{display:none}",
        "--><!--",
        "\x1b[2J\u202eabc\x00",
        "' onfocus='x",
        "&lt;b&gt; &amp; &#60;",
    ]
)


def hostile(texts: list[str]) -> Report:
    """Every place for a foreign string filled, in turn."""
    one, two, three, four = texts
    verdict = Verdict(rule=one or "rule", fit=Fit.NO, wanted=two, found=three, source=four)
    candidate = Candidate(release=RELEASE, fit=Fit.NO, code=Code.NONE, proven=False, verdicts=(verdict,))
    remedy = Remedy(
        version=RELEASE.version,
        verdict=verdict,
        changes=(Change(kind=ChangeKind.DRIVER, wanted=two),),
        fit=Fit.UNKNOWN,
    )
    package = structs.replace(PLAN.packages[0], name=one, version=two, because=three)
    plan = structs.replace(
        PLAN, packages=(package,), breaks=(Break(package=four, requirement=one, found=two),)
    )
    ceilings = [
        structs.replace(
            drawn,
            lanes=tuple(structs.replace(lane, name=one, note=two, source=three) for lane in drawn.lanes),
        )
        for drawn in named("colab-t4").ceilings
    ]
    return Report(
        machine=changed(T4, name=one, gpus=(Gpu(name=two),)),
        decision=Decision(candidates=(candidate,), recommended=None),
        plan=plan,
        bounds=(Bound(requirement=three, because=four),),
        ceilings=tuple(ceilings),
        remedies=(remedy,),
        advice=tuple(texts),
        since=structs.replace(
            SINCE, differences=(Difference(fact=f"installed.{one}", before=two, after=three),)
        ),
    )


def attributes() -> dict[str, set[str]]:
    """The tags that pages and fragments of harmless strings have, and their attributes."""
    found: dict[str, set[str]] = {}
    harmless = hostile(["a", "`b`", "c", "https://d.example/"])
    for report in (harmless, structs.replace(named("h100-535"), since=SINCE)):
        for render in (html.page, html.fragment):
            for element in read(render(report)).walk():
                found.setdefault(element.tag, set()).update(element.attributes)
    return found


ATTRIBUTES = attributes()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXT, min_size=4, max_size=4), st.sampled_from([html.page, html.fragment]))
def test_no_string_from_outside_becomes_markup(texts: list[str], render: object) -> None:
    made = render(hostile(texts))  # type: ignore[operator]
    tree = read(made)
    for one in tree.walk():
        assert one.tag in ATTRIBUTES, one.tag
        assert set(one.attributes) <= ATTRIBUTES[one.tag], one.attributes
        assert re.match(r"#|https://", one.attributes.get("href", "#"))
    assert len(tree.all("style")) == 1
    shown = "".join(tree.text.split())
    for text in texts:
        said = "".join(clean(text).split())
        # What stands in backticks is code, without them.
        assert said in shown or said.replace("`", "") in shown.replace("`", "")
    assert clean(made) == made


# -- themes


def palettes(text: str) -> list[dict[str, str]]:
    """The colours of every rule that sets them: light, dark, and so on in the order of the file."""
    found = [dict(re.findall(r"--ef-([\w-]+): (#[0-9a-f]{6})", body)) for _, body in rules_of(text)]
    return [colours for colours in found if colours]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, "relative luminance")."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


PAIRS = parse_yaml((DATA / "contrast.yaml").read_text(), "contrast.yaml")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair['front']} on {pair['back']}")
def test_contrast_suffices_in_both_themes(pair: dict[str, object]) -> None:
    found = palettes(styles(page_of("colab-t4")))
    assert len({tuple(sorted(colours.items())) for colours in found}) == 2
    for colours in found:
        reached = contrast(colours[str(pair["front"])], colours[str(pair["back"])])
        assert reached >= float(str(pair["least"])), f"{reached:.2f}"


def test_every_colour_is_in_a_pair_and_every_foreground_on_its_background() -> None:
    text = styles(page_of("colab-t4"))
    named_colours = set(palettes(text)[0])
    used = set(re.findall(r"var\(--ef-([\w-]+)\)", text))
    # Lines that only part what stands apart already carry no information (WCAG 1.4.11).
    assert named_colours == used
    assert {one[side] for one in PAIRS for side in ("front", "back")} == named_colours - {"hair", "grid"}
    # Nothing else has a colour of its own but the page around the report, which has the paper's.
    odd = {
        colour
        for selector, body in rules_of(text)
        if "--ef-" not in body
        for colour in re.findall(r"#[0-9a-fA-F]{3,8}\b", body)
    }
    assert odd <= {"#fbfbf9", "#15171a", "#fff", "#14457f", "#0003"}


def test_the_theme_follows_the_system_and_a_notebooks_own() -> None:
    text = styles(page_of("colab-t4"))
    assert "@media (prefers-color-scheme: dark) { .envfix-report {" in text
    light, dark = palettes(text)[:2]
    by_selector = {head: dict(re.findall(r"--ef-([\w-]+): (#\w+)", body)) for head, body in rules_of(text)}
    for theme, colours in (("false", dark), ("true", light)):
        selector = next(head for head in by_selector if f'[data-jp-theme-light="{theme}"]' in head)
        assert by_selector[selector] == colours


# -- the fragment


def test_a_fragments_styles_and_ids_stay_inside_it() -> None:
    made = html.fragment(named("colab-t4"))
    tree = read(made)
    (outer,) = [one for one in tree.children if isinstance(one, Element)]
    assert outer.has(cls="envfix-report") and outer.attributes["lang"] == "en"
    for selector, _ in rules_of(styles(tree)):
        for part in selector.split(","):
            assert ".envfix-report" in part, part
    ids = [one.attributes["id"] for one in tree.walk() if "id" in one.attributes]
    assert all(re.match(r"envfix-[0-9a-f]{10}-", one) for one in ids) and len(ids) == len(set(ids))
    assert {one.attributes["href"][1:] for one in tree.all("a") if one.attributes["href"][0] == "#"} <= set(
        ids
    )
    levels = {one.tag for one in tree.walk() if re.fullmatch(r"h[1-6]", one.tag)}
    assert levels == {"h3", "h4", "h5"}
    others = {
        one.attributes["id"] for one in read(html.fragment(named("k80-470"))).walk() if "id" in one.attributes
    }
    assert not others & set(ids)


def test_a_page_is_the_same_bytes_each_time() -> None:
    assert html.page(named("k80-470")) == html.page(report_of(machines()["k80-470"]))
    assert html.fragment(named("k80-470")) == html.fragment(report_of(machines()["k80-470"]))


# -- the command


def test_the_command_writes_a_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "report.html"
    argv = ["report", "--machine", "no-gpu", "--offline", "--format", "html"]
    assert cli.main([*argv, "-o", str(there)]) == 3
    assert capfd.readouterr().out == ""
    assert cli.main(argv) == 3
    printed = capfd.readouterr().out
    assert printed == there.read_text() and printed.startswith("<!DOCTYPE html>")
    read(printed)


def test_a_missing_template_engine_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    html._engine.cache_clear()
    try:
        with pytest.raises(InputError, match="jinja2") as raised:
            html.page(named("no-gpu"))
    finally:
        monkeypatch.undo()
        html._engine.cache_clear()
    assert raised.value.hint == "pip install 'jinja2>=3.0'"


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_two_forms_of_one_report_are_refused(
    form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["report", "--machine", "colab-t4", "--offline", "--json", "--format", form]
    assert cli.main([*asked, "-o", str(tmp_path / "report")]) == 2
    (refused,) = json.loads(capfd.readouterr().out)["errors"]
    assert refused["code"] == "usage" and refused["message"].startswith(f"`--json` and `--format {form}`")
    assert not (tmp_path / "report").exists()
