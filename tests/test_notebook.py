"""envfix from within Python: the functions, the magic in a real IPython, and what is in memory."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec import structs

import envfix as package
from envfix import cli
from envfix.errors import UsageError
from envfix.model.machine import Machine
from envfix.model.outcome import Check, RestartAdvice, Status, Verification
from envfix.model.plan import Plan
from envfix.model.results import Installed
from envfix.model.target import Stale
from envfix.notebook import api, loaded, magic
from envfix.notebook.asking import ask
from envfix.notebook.results import Result
from envfix.render.cell import cell
from envfix.render.outcome import PROVEN
from envfix.restart import owed
from envfix.system import asked
from envfix.system.outside import RealOutside


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell()
    made.run_line_magic("load_ext", "envfix")
    yield made
    made.run_line_magic("unload_ext", "envfix")


def test_the_package_alone_imports_nothing_of_itself() -> None:
    code = "import sys, envfix; print([name for name in sys.modules if name.startswith('envfix.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_stages_do_not_take_the_functions_names() -> None:
    for name in ("lock", "install", "verify"):
        stage = importlib.import_module(f"envfix.{name}")
        assert isinstance(stage, ModuleType)
        assert getattr(package, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="`nothing`"):
        _ = package.nothing


def test_a_report_is_the_json_object_and_a_page(capfd: pytest.CaptureFixture[str]) -> None:
    result = package.report(machine="colab-t4", tf="2.20.*", offline=True)
    assert cli.main(["report", "--machine", "colab-t4", "--tf", "2.20.*", "--offline", "--json"]) == 0
    assert result.to_dict() == json.loads(capfd.readouterr().out)
    assert result.ok and result.recommended == "2.20.0"
    assert "2.20.0" in repr(result) and "prefers-color-scheme: dark" in result._repr_html_()
    assert "<script" not in result._repr_html_() and "@import" not in result._repr_html_()
    with pytest.raises(AttributeError):
        _ = result.nothing


def test_what_the_command_line_refuses_is_raised() -> None:
    with pytest.raises(package.EnvfixError) as raised:
        package.report(machine="no-such-machine")
    assert (raised.value.code, raised.value.exit_code) == ("bad-input", 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"machine": "t4", "tf": None, "offline": True, "no_verify": False}, ["--machine=t4", "--offline"]),
        ({"with_": ["torch", "jax"], "timeout": 3}, ["--with=torch", "--with=jax", "--timeout=3"]),
        ({"venv": Path("demo")}, ["--venv=demo"]),
    ],
)
def test_options_are_those_of_the_command_line(options: dict[str, Any], words: list[str]) -> None:
    assert api.words(options) == words


@pytest.mark.parametrize(
    "call",
    [
        lambda: package.report(tf=b"2.20"),
        lambda: package.report(tf={"2.20": 1}),
        lambda: package.report(tf=object()),
        lambda: package.explain(3),  # type: ignore[arg-type]
        lambda: package.explain(text=3),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_no_option_takes_is_refused_before_anything_is_started(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "ask", None)
    with pytest.raises(UsageError, match="found "):
        call()


def test_a_cell_shows_the_sentence_and_the_hint_of_an_error_and_no_traceback(shell: Any, capsys: Any) -> None:
    assert not shell.run_cell("import envfix\nenvfix.install(nope=1)").success
    said = capsys.readouterr().out
    assert said == "error: unrecognized arguments: --nope=1\nhint: `envfix --help` lists what it takes\n"


def test_a_report_in_which_nothing_fits_is_returned_and_leaves_its_exit_code(shell: Any) -> None:
    shell.run_cell("r = %envfix report --machine no-gpu --offline").raise_error()
    nothing = shell.user_ns["r"]
    assert nothing.exit_code == shell.user_ns["_exit_code"] == 3
    assert not nothing.ok and nothing.recommended is None


def test_a_cell_is_explained_as_a_log(shell: Any) -> None:
    log = "Could not load dynamic library 'libcudart.so.11.0'; dlerror: <script>"
    done = shell.run_cell(f"%%envfix explain\n{log}\n")
    done.raise_error()
    assert done.result.findings[0]["cause"] == "gpu-libraries-not-found"
    page = done.result._repr_html_()
    assert "<h3>gpu-libraries-not-found: " in page and "dlerror: &lt;script&gt;" in page
    assert "<script" not in page and "prefers-color-scheme: dark" in page


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("report --nothing", "error: unrecognized arguments: --nothing"),
        ("restart now", "takes nothing: `now`"),
        ("restart", "this is no notebook's kernel"),
        ("report 'open", "cannot be split into words"),
        ("watch", "`watch` runs until it is stopped"),
    ],
)
def test_an_error_is_a_sentence(shell: Any, capsys: Any, line: str, words: str) -> None:
    done = shell.run_cell(f"%envfix {line}")
    said = capsys.readouterr().out
    assert not done.success and words in said and "Traceback" not in said
    assert shell.user_ns["_exit_code"] == 2


def test_help_is_shown_and_ends_nothing(shell: Any, capsys: Any) -> None:
    done = shell.run_cell("%envfix install --help")
    assert done.success and "usage: envfix install" in repr(done.result)
    assert shell.run_cell("%envfix").success and "%envfix restart ends the kernel" in capsys.readouterr().out


def test_an_errors_text_has_the_hint_where_that_is_all_that_is_shown(shell: Any, capsys: Any) -> None:
    done = shell.run_cell("%envfix install --kernel 'my old'")
    assert str(done.error_in_exec).splitlines()[1:] == ["hint: --kernel my-old"]
    assert capsys.readouterr().out.endswith("\nhint: --kernel my-old\n")


@pytest.mark.parametrize(("needed", "goes_on"), [(True, False), (False, True), (None, True)])
def test_only_a_needed_restart_stops_the_notebook(
    shell: Any, capsys: Any, monkeypatch: Any, needed: bool | None, goes_on: bool
) -> None:
    advice = {"needed": needed, "reason": "1 library was replaced", "how": "Kernel → Restart"}
    answer = {"command": "install", "exit_code": 0, "data": {"restart": advice}, "errors": []}
    monkeypatch.setattr(magic, "ask", lambda *given: Result(answer, "done     tensorflow", ""))
    monkeypatch.setattr(loaded, "take_hook", lambda: False)
    done = shell.run_cell("%envfix install")
    said = capsys.readouterr().out
    assert done.success is goes_on and "done     tensorflow" in said and "Traceback" not in said
    assert ("restart the kernel before you go on: 1 library was replaced" in said) is not goes_on


@pytest.mark.parametrize(
    "code",
    [
        "%envfix install",
        "%envfix install\nx = 1",
        "r = %envfix install\nr",
        "%envfix install\nr = %envfix report",
        "x = 1\n%envfix verify",
    ],
)
def test_what_an_install_or_a_verification_came_to_is_shown_once(
    shell: Any, capsys: Any, monkeypatch: Any, code: str
) -> None:
    def ask(words: list[str], *given: Any) -> Result:
        data = {"restart": {"needed": False}, "checks": []}
        return Result({"command": words[0], "exit_code": 0, "data": data}, f"done     {words[0]}", "")

    monkeypatch.setattr(magic, "ask", ask)
    monkeypatch.setattr(loaded, "take_hook", lambda: False)
    shell.run_cell(code).raise_error()
    assert capsys.readouterr().out.count("done     ") == 1
    if code.startswith("r ="):
        assert shell.run_cell("r").result is shell.user_ns["r"]
        assert capsys.readouterr().out.count("done     ") == 1, "another cell that names it shows it"


def test_what_the_kernel_holds_is_told_in_pairs_and_not_without_end(shell: Any, monkeypatch: Any) -> None:
    names = ("a", "b", "c", "tensorflow-cpu", "x", "y")
    monkeypatch.setattr(loaded, "stale", lambda before: [Stale(one, "1", "2") for one in names])
    monkeypatch.setattr(loaded, "take_hook", lambda: False)
    answer = {"command": "install", "exit_code": 0, "data": {"restart": {"needed": True, "reason": "so"}}}
    monkeypatch.setattr(magic, "ask", lambda *given: Result(answer, "done", ""))
    said = str(shell.run_cell("%envfix install").error_in_exec).splitlines()[0]
    pairs = [f"{one} 1 (2 is installed)" for one in names[:4]]
    assert said.endswith(f"so; it holds {', '.join(pairs)}, and 2 more")
    assert str(Stale("a", "1", None)) == "a 1 (no longer installed)"


def test_what_is_held_is_named_as_an_index_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "Held_Package-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Held_Package\nVersion: 2.0\n")
    (info / "RECORD").write_text("held_package.py,,\n")
    (tmp_path / "held_package.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    module = ModuleType("held_package")
    assert loaded.versions({"held_package": module}) == {"held-package": "2.0"}
    module.__version__ = "1.0"  # type: ignore[attr-defined]
    assert loaded.stale({}, {"held_package": module}) == [("held-package", "1.0", "2.0")]


def test_stale_is_what_is_in_memory_and_not_on_disk() -> None:
    held = loaded.versions()
    assert held["msgspec"] and loaded.stale(held) == []
    old = {**held, "msgspec": "0.1"}
    assert [(one.name, one.loaded) for one in loaded.stale(old)] == [("msgspec", "0.1")]
    module = ModuleType("packaging")
    module.__version__ = "1.0"  # type: ignore[attr-defined]
    assert loaded.stale({}, {"packaging": module})[0][:2] == ("packaging", "1.0")
    # A package's own word may be wrong, what was on the disk is not.
    assert loaded.surely_stale({}, {"packaging": module}) == []
    assert loaded.surely_stale({"packaging": "1.0"}, {"packaging": module})[0][:2] == ("packaging", "1.0")


def test_a_shells_script_is_an_answer_too() -> None:
    script = ask(["completion", "bash"])
    assert script.ok and "envfix" in script.data and repr(script) == script.data.rstrip("\n")


def test_what_stands_for_a_module_may_have_no_names_of_its_own() -> None:
    assert loaded.stale({}, {"packaging": object()}) == []  # type: ignore[dict-item]


def test_tensorflow_that_was_replaced_before_the_extension_was_loaded_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "tensorflow-2.20.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.20.0\n")
    (info / "RECORD").write_text("tensorflow/__init__.py,,\n")
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    module = ModuleType("tensorflow")
    for version, stale in (("2.19.1", [("tensorflow", "2.19.1", "2.20.0")]), ("2.20.0", [])):
        module.__version__ = version  # type: ignore[attr-defined]
        assert loaded.surely_stale({"tensorflow": "2.20.0"}, {"tensorflow": module}) == stale
        assert loaded.surely_stale({}, {"tensorflow": module}) == stale


@pytest.mark.parametrize("failed", [True, False])
def test_verify_in_the_kernel_says_once_what_it_holds(
    shell: Any, capsys: Any, monkeypatch: Any, failed: bool
) -> None:
    """What TensorFlow needs is in the failed check, the rest a note; the kernel's word goes to the child."""
    held = Stale("msgspec", "0.1", "0.2")
    told: list[Any] = []

    def ended(words: list[str], knowledge: bytes, say: Any) -> Any:
        told.append(json.loads(knowledge.splitlines()[0])["stale"])
        observed = f"process 42 holds {held}" if failed else "process 42 holds what is installed"
        answer = {"command": "verify", "exit_code": 6 * failed, "data": {"checks": [{"observed": observed}]}}
        said = {"answer": answer, "raised": False, "text": "", "html": ""}
        return asked.Ended(0, json.dumps(said).encode(), False)

    monkeypatch.setattr(asked, "ask", ended)
    monkeypatch.setattr(loaded, "stale", lambda before, modules=None: [held])
    done = shell.run_cell("%envfix verify")
    done.raise_error()
    assert told == [[["msgspec", "0.1", "0.2"]]] and done.result.ok is not failed
    assert (
        "note     the kernel holds msgspec 0.1 (0.2 is installed)" in capsys.readouterr().out
    ) is not failed


def test_the_hook_is_taken_where_an_install_has_added_it(tmp_path: Path, monkeypatch: Any) -> None:
    assert not loaded.take_hook([str(tmp_path)])
    (tmp_path / "_envfix_loader.pth").write_text("import _envfix_loader\n")
    (tmp_path / "_envfix_loader.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert loaded.take_hook([str(tmp_path)]) and sys.modules.pop("_envfix_loader")


def test_a_program_that_cannot_show_progress_ends_the_work_and_hears_of_it(tmp_path: Path) -> None:
    def say(line: str) -> None:
        raise OSError(f"no room for {line}")

    with pytest.raises(OSError, match="no room for resolving"):
        package.install(machine="colab-t4", venv=tmp_path / "x", dry_run=True, offline=True, say=say)


def test_a_cell_says_the_outcome_the_checks_and_the_restart() -> None:
    checks = (
        Check(name="build", status=Status.PASSED, expected="a GPU build", observed="tensorflow 2.21.0"),
        Check(
            name="libraries",
            status=Status.FAILED,
            expected="all open",
            observed="`a.so`",
            cause="<b>gone</b>",
        ),
    )
    proof = Verification(checks=checks, proof=None, python="/bin/python3", tensorflow="2.21.0")
    done = Installed(
        machine=Machine(),
        python="/bin/python3",
        tensorflow="2.21.0",
        accelerator="gpu",
        plan=Plan(packages=(), download_bytes=0, installed_bytes=0),
        restart=RestartAdvice(needed=True, reason="numpy was replaced", how="Kernel → Restart Kernel"),
        verification=proof,
    )
    page = cell(done, "as <text>")
    assert "Failed: tensorflow 2.21.0 in /bin/python3: verification failed" in page
    assert "needed: numpy was replaced" in page and "Kernel → Restart Kernel" in page
    assert "&lt;b&gt;gone" in page and "<code>a.so</code>" in page and "as &lt;text&gt;" in page
    assert cell("other", "text") == ""
    # JupyterLab's own rule for cells has three classes, and would be the stronger one.
    rules = re.findall(r"(\S*\b(?:t[hd]|amount)\b[^{}]*)\{[^}]*text-align: ([^;}]*)", page)
    cells = [aligned for name, aligned in rules if ".tip" not in name]
    assert len(cells) >= 4 and all(aligned.endswith("!important") for aligned in cells), rules


def test_a_proof_says_nothing_of_where_the_checks_stand() -> None:
    """They are below it in a cell, and above it in a terminal."""
    assert not any(re.search(r"\b(?:above|below)\b", said) for said in PROVEN.values())


@pytest.mark.parametrize("verifies", [True, False])
def test_what_an_install_owes_is_verified_when_the_extension_comes_back(
    verifies: bool, shell: Any, capsys: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """The kernel of the mark has ended, or is this one still."""
    monkeypatch.setenv("ENVFIX_STATE_DIR", str(tmp_path))
    outside = RealOutside()
    advice = RestartAdvice(
        needed=True, reason="it holds old libraries", kernel_pid=2**22 + 1 if verifies else os.getpid()
    )
    mark = owed.owed_of(outside, sys.executable, "tensorflow 2.20.0", advice, "envfix verify")
    owed.mark(outside, structs.replace(mark, started=mark.started or "1"))
    shell.run_line_magic("reload_ext", "envfix")
    said = capsys.readouterr().out
    assert ("the kernel was restarted after tensorflow 2.20.0 was installed: verifying" in said) is verifies
    # These tests run where there is no TensorFlow, so it is owed still.
    assert ("verification failed" in said or "FAILED" in said) is verifies
    assert owed.pending(outside, sys.executable) is not None
