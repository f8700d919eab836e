"""The bench: what it makes of its figures, what it grows, and what it leaves behind."""

from __future__ import annotations

import json
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace

import pytest

from envfix.matrix import load
from envfix.system.outside import RealOutside

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import bench
from benchmarks import floor, growing, ratios, start, table
from benchmarks.ratios import Spread
from benchmarks.table import BEGIN, END, Goal, Row
from benchmarks.workshop import Failed, Workshop, workshop


def test_a_spread_is_the_median_with_the_middle_half() -> None:
    assert Spread.of([5, 1, 2, 3, 90]) == (3, 2, 5, 5)
    assert Spread.of([1.0, 2.0]).text("s") == "1.50 (1.25 to 1.75) s"
    assert Spread.of([7.0]).text("MB", 0) == "7 MB"
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_ratios_are_of_the_same_round() -> None:
    assert ratios.paired([2, 30], [1, 10]).median == 2.5
    assert ratios.beyond([2, 30], [1, 10]).median == 10.5
    with pytest.raises(ValueError):
        ratios.paired([1, 2], [1])


def test_each_is_first_as_often_as_the_other() -> None:
    order: list[str] = []
    works = [lambda name=name: order.append(name) or len(order) for name in "ab"]  # type: ignore[func-returns-value, misc]
    assert ratios.alternately(works, 4) == [[2, 3, 6, 7], [1, 4, 5, 8]]
    assert "".join(order) == "baabbaab"


def test_growth_is_one_where_it_is_linear() -> None:
    assert ratios.growth([1, 10, 100], [3, 12, 102]) == pytest.approx(1)
    assert ratios.growth([1, 10, 100], [1, 100, 10_000]) == pytest.approx(10)
    assert ratios.growth([1, 10, 100], [2, 2, 9]) is None


@pytest.mark.parametrize(("took", "met"), [((1, 10, 100), True), ((1, 2, 900), False), ((2, 2, 900), None)])
def test_what_cannot_be_measured_meets_no_target(took: tuple[float, ...], met: bool | None) -> None:
    shop = SimpleNamespace(say=lambda text: None)
    runs = [lambda cpu=cpu: SimpleNamespace(cpu=cpu) for cpu in took]  # type: ignore[misc]
    row = growing._row(shop, "{}", (1, 10, 100), runs)  # type: ignore[arg-type]
    assert (row.goal and row.goal.met) is met


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (0.5, "grows more slowly than linearly"),
        (0.95, "grows linearly"),
        (1.08, "grows linearly"),
        (1.34, "grows 1.3 times as fast as linearly"),
    ],
)
def test_how_something_grows_is_said_in_words(more: float, words: str) -> None:
    shop = SimpleNamespace(say=lambda text: None)
    runs = [lambda cpu=cpu: SimpleNamespace(cpu=cpu) for cpu in (1, 2, 2 + 10 * more)]  # type: ignore[misc]
    row = growing._row(shop, "as it grows: {} MB", (1, 2, 12), runs)  # type: ignore[arg-type]
    assert (row.what, row.note) == ("as it grows: 1, 2, 12 MB", words)
    assert row.goal is not None and row.goal.text() == "≤ 1.5 times linear"


def test_a_section_is_explained_below_its_rows() -> None:
    rows = [Row(growing.SECTION, "a", "1 s"), Row(growing.SECTION, "b", "1 s")]
    assert bench._notes(rows) == f"\n{growing.NOTE}\n"
    assert bench._notes([]) == bench._notes([Row("lock", "a", "1 s")]) == ""
    assert "`uv` has no command" in bench._notes([Row(start.SECTION, "a", "1 s")])


def test_a_missed_target_stands_out_in_the_table() -> None:
    rows = [
        Row("s", "a | b", "1 s", "2 s", Spread.of([0.5]), Goal(0.5, 1.05)),
        Row("s", "c", "9 s", goal=Goal(9, 0.3, "s"), note="two\nlines"),
    ]
    assert table.markdown(rows).splitlines()[2:] == [
        "| a / b | 1 s | 2 s | 0.50 | ≤ 1.05 |  |",
        "| c | 9 s |  |  | **≤ 0.3 s missed: 9.00** | two lines |",
    ]


def test_the_block_is_replaced_and_nothing_else() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = table.replaced(text, "new\n")
    assert once == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert table.replaced(once, "new") == once
    for wrong in ("", f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"):
        with pytest.raises(ValueError, match="expected one line"):
            table.replaced(wrong, "new")


def test_the_readme_has_the_block() -> None:
    table.replaced((Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8"), "new")


def test_a_grown_matrix_is_one_that_envfix_reads(tmp_path: Path) -> None:
    shipped = Path(load.matrix_dir())
    before = load.load(RealOutside(), str(shipped)).releases
    count = growing.write_matrix(shipped, tmp_path / "grown", 2)
    after = load.load(RealOutside(), str(tmp_path / "grown")).releases
    post = sum(row.version.is_postrelease for row in before)
    assert len(after) == count == 2 * len(before) - post
    assert {row.version for row in before} < {row.version for row in after}


def test_grown_packages_are_distributions(tmp_path: Path) -> None:
    growing.write_packages(tmp_path, 7)
    found = {one.metadata["Name"]: one for one in distributions(path=[str(tmp_path)])}
    assert set(found) == {f"pkg-{at}" for at in range(7)}
    assert found["pkg-6"].requires is not None and "pkg-3>=1.0" in found["pkg-6"].requires


def test_a_grown_log_has_its_size_and_one_cause(tmp_path: Path) -> None:
    growing.write_log(tmp_path / "log", 0.05)
    text = (tmp_path / "log").read_text()
    assert 50_000 <= len(text) < 50_500
    assert text.count("Cannot dlopen") == 1


def section(*rows: Row, raising: type[BaseException] | None = None) -> SimpleNamespace:
    def measured(shop: Workshop, options: object) -> list[Row]:
        (shop.folder / "left").write_text("over")
        if raising:
            raise raising("stopped")
        return list(rows)

    return SimpleNamespace(rows=measured)


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the bench works in, with sections of ours."""
    met, missed = Row("s", "a", "1 s", goal=Goal(1, 2)), Row("s", "b", "3 s", goal=Goal(3, 2))
    sections = {
        "met": section(met),
        "missed": section(met, missed),
        "interrupted": section(raising=KeyboardInterrupt),
        "failed": section(raising=Failed),
    }
    monkeypatch.setattr(bench, "SECTIONS", sections)
    monkeypatch.setattr(bench.circumstances, "facts", lambda shop: {"date": "1", "versions": {}})
    monkeypatch.setattr(bench.circumstances, "sentence", lambda facts, joined: "Measured.")
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("names", "code"),
    [("met", 0), ("met,missed", 1), ("met,interrupted", 130), ("failed", 2), ("nonesuch", 2)],
)
def test_the_exit_code_and_what_is_left(names: str, code: int, parent: Path) -> None:
    assert bench.main(["--only", names, "--in", str(parent)]) == code
    assert list(parent.iterdir()) == []


def test_the_table_is_written_where_it_was_asked_for(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, figures = tmp_path / "README.md", tmp_path / "figures.json"
    readme.write_text(f"# x\n{BEGIN}\n{END}\n")
    asked = ["--only", "missed", "--in", str(parent), "--write", str(readme), "--json", str(figures)]
    assert bench.main(asked) == 1
    shown = capsys.readouterr().out
    assert "| b | 3 s |" in shown
    assert readme.read_text() == f"# x\n{BEGIN}\n{shown.strip()}\n{END}\n"
    goals = [row["goal"]["met"] for row in json.loads(figures.read_text())["rows"]]
    assert goals == [True, False]


def test_a_file_without_the_block_is_refused_before_anything_is_measured(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.md").write_text("# x\n")
    for name in ("x.md", "absent.md"):
        assert bench.main(["--only", "failed", "--in", str(parent), "--write", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.startswith(f"error: {tmp_path / name}: ")


def test_sections_of_an_earlier_run_of_the_day_are_kept(parent: Path, tmp_path: Path) -> None:
    figures, kept = (
        tmp_path / "figures.json",
        Row("met", "kept", "5 s", "6 s", Spread.of([1, 2]), Goal(1, 2, "s")),
    )
    again = Row("missed", "of before", "7 s")
    table.write_json(figures, {"date": "1", "versions": {}}, [kept, again])
    assert table.read_json(figures) == ({"date": "1", "versions": {}}, [kept, again])
    now = Row("missed", "of now", "8 s")
    assert bench._joined([now], [kept, again]) == [kept, now]
    bench._same_day({"date": "1", "versions": {}}, {"date": "1", "versions": {}}, figures)
    with pytest.raises(Failed, match="another date: 1, now 2"):
        bench._same_day({"date": "1", "versions": {}}, {"date": "2", "versions": {}}, figures)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--write", "nosuch/README.md"], "nosuch/README.md: No such file"),
        (["--json", "nosuch/x.json"], "nosuch/x.json: there is no folder nosuch"),
        (["--json", "."], ".: is a folder"),
        (["--keep", "empty.json"], "empty.json: not what `--json` of a bench has written"),
        (["--keep", "list.json"], "list.json: not what `--json` of a bench has written"),
        (["--keep", "nosuch.json"], "nosuch.json: No such file"),
        (["--keep", "other.json"], "other.json: rows of a section `s`; there are met, missed"),
        (["--rounds", "0"], "--rounds must be more than 0, found 0"),
        (["--rounds", "-3"], "--rounds must be more than 0, found -3"),
        (["--installs", "0"], "--installs must be more than 0, found 0"),
        (["--patience", "nan"], "--patience must be more than 0, found nan"),
        (["--in", "nosuch"], "--in nosuch: no such folder"),
    ],
)
def test_what_would_fail_afterwards_is_refused_before_anything_is_measured(
    asked: list[str], says: str, parent: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty.json").write_text("{}")
    Path("list.json").write_text("[]")
    table.write_json(Path("other.json"), {"date": "1", "versions": {}}, [Row("s", "a", "1 s")])
    assert bench.main(["--only", "failed", "--in", str(parent), *asked]) == 2
    assert capsys.readouterr().err.startswith(f"error: {says}")


def test_what_was_measured_before_a_failure_is_written(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    for last, code in (("failed", 2), ("interrupted", 130)):
        assert bench.main(["--only", f"met,{last}", "--in", str(parent), "--json", str(figures)]) == code
        assert [row["what"] for row in json.loads(figures.read_text())["rows"]] == ["a"]
        figures.unlink()
    assert "Traceback" not in capsys.readouterr().err


def test_what_the_block_will_not_hold_is_said(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.md").write_text(f"{BEGIN}\n{END}\n")
    assert bench.main(["--only", "met", "--in", str(parent), "--write", str(tmp_path / "x.md")]) == 0
    assert "x.md will hold met alone: `--keep FILE` keeps the rest" in capsys.readouterr().err


def test_the_help_names_the_sections(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"of {', '.join(bench.SECTIONS)}" in shown


def test_a_floor_that_cannot_be_measured_ends_in_a_sentence(shop: Workshop) -> None:
    shop.folder.mkdir()
    url = (shop.folder / "absent.whl").as_uri()
    (shop.folder / "pylock.envfix.toml").write_text(f"packages = [{{wheels = [{{url = '{url}'}}]}}]")
    with pytest.raises(Failed, match=r"floor could not be measured: .*absent\.whl"):
        floor.measure(shop)


def test_the_floor_unpacks_every_file_and_no_process_has_all_the_work(shop: Workshop) -> None:
    sources = {"large.whl": {"a.so": 5000, "b.so": 4000, "c.so": 1000, "a.py": 7}, "small.whl": {"a.py": 3}}
    shop.folder.mkdir()
    wheels = shop.folder / "sources"
    wheels.mkdir()
    for name, files in sources.items():
        with zipfile.ZipFile(wheels / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, size in files.items():
                archive.writestr(file, b"x" * size)
    loads = [
        sum(sources[wheel.name][name] for wheel, names in share.items() for name in names)
        for share in floor.shares(wheels, 2)
    ]
    assert loads == [5007, 5003]
    for share in floor.shares(wheels, 2):
        floor._unpack(share, shop.folder / "unpacked")
    unpacked = {path: path.stat().st_size for path in (shop.folder / "unpacked").glob("*/*")}
    assert unpacked == {
        shop.folder / "unpacked" / Path(wheel).stem / name: size
        for wheel, files in sources.items()
        for name, size in files.items()
    }
    listed = ", ".join(f"{{wheels = [{{url = '{(wheels / name).as_uri()}'}}]}}" for name in sources)
    (shop.folder / "pylock.envfix.toml").write_text(f"packages = [{listed}]")
    least = floor.measure(shop)
    assert least.size == sum(path.stat().st_size for path in wheels.iterdir())
    assert least.seconds == least.download + least.unpack > 0
    assert not (shop.folder / "wheels").exists() and not (shop.folder / "unpacked").exists()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    with workshop(sys.executable, str(tmp_path)) as made:
        return made


BUSY = """\
import time
kept = b"x" * 60_000_000
while time.process_time() < 0.1:
    pass
"""


def test_a_run_is_measured_apart_from_the_bench(shop: Workshop) -> None:
    shop.folder.mkdir()
    run = shop.run([sys.executable, "-I", "-S", "-c", BUSY])
    assert 60e6 < run.peak < 90e6
    assert 0.1 < run.cpu < 1 and run.wall >= 0.1
    assert shop.run([sys.executable, "-I", "-S", "-c", "raise SystemExit(3)"], ok=None).code == 3
    with pytest.raises(Failed, match="ended with 3"):
        shop.run([sys.executable, "-I", "-S", "-c", "raise SystemExit(3)"])
    with pytest.raises(Failed, match="could not be run: no-such-program"):
        shop.run(["no-such-program"])


def test_what_takes_too_long_is_ended(shop: Workshop) -> None:
    shop.folder.mkdir()
    run = shop.run(["sleep", "30"], limit=0.1)
    assert run.over and 0.1 <= run.wall < 5
