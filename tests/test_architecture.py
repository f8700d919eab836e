"""The layers of the code hold: imports point down, stages do not know each other, only `system` touches."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "envfix"
STAGES = {"probe", "matrix", "resolve", "lock", "install", "restart", "verify", "diagnose"}
# Lower number, lower layer: a module imports only its own layer's package or lower ones.
ROWS = (
    "__init__",
    "model",
    "errors tree",
    "envelope ports printable reading",
    "aside cache explanation installers nvidia pep751 record redaction state",
    f"system {' '.join(sorted(STAGES))}",
    "choice facts neighbours output refusing situation snapshots",
    "aftercare attesting beside choosing circumstances deciding diagnosing environment future holders "
    "mending notes pairs proving provision restarting since solution sparing standing together",
    "performing",
    "installing issue render undoing watching workflow",
    "isolating",
    "commands options own",
    "cli",
    "notebook",
    "__main__",
)
LAYERS = {name: number for number, row in enumerate(ROWS) for name in row.split()}
# What runs inside a child process of its own: these may open, spawn and load as they need.
CHILDREN = (
    "probe/children/",
    "install/payload/",
    "verify/child.py",
    "verify/deep_child.py",
    "verify/deep_model.py",
)
OUTSIDE = {"subprocess", "socket", "requests", "urllib", "http", "shutil", "tempfile", "remotezip", "ctypes"}


def modules() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if "compat_matrix" not in path.parts]


def top(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def in_child(path: Path) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(CHILDREN)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    own = top(path)
    assert own in LAYERS, f"{own} has no layer: give it one"
    for line, name in imports(path):
        if not name.startswith("envfix."):
            continue
        other = name.split(".")[1]
        if other not in LAYERS or other == own:
            continue
        assert LAYERS[other] <= LAYERS[own], f"{path}:{line}: {own} imports {other}, which is above it"
        assert not (own in STAGES and other in STAGES), f"{path}:{line}: stage {own} imports stage {other}"
        assert not (own in STAGES and other == "system"), f"{path}:{line}: stage {own} names the real outside"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_system_touches_the_outside(path: Path) -> None:
    if top(path) == "system" or in_child(path):
        return
    for line, name in imports(path):
        if name.startswith("urllib.parse."):
            continue  # text to text: it opens nothing
        assert name.split(".")[0] not in OUTSIDE, f"{path}:{line}: {name} belongs in envfix.system"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "exec", "eval"), f"{path}:{node.lineno}: {node.func.id}()"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300, f"{path} has {text.count(chr(10))} lines: it holds two subjects"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 40, f"{path}:{node.lineno}: {node.name} has {length} lines"


def test_tensorflow_is_imported_only_in_the_child() -> None:
    for path in modules():
        for line, name in imports(path):
            assert name.split(".")[0] != "tensorflow" or in_child(path), f"{path}:{line}: imports tensorflow"
