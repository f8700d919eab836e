"""`companions.yaml` from the packages: what is declared, what an import checks, and what is left out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from envfix.errors import InputError, MatrixError
from envfix.matrix import load
from envfix.matrix.companion_rows import COMPANIONS, companion_changes, companion_rows
from envfix.matrix.write import companions_text
from envfix.model.companions import Companion
from envfix.ports import Index, IndexFile
from envfix.reading import to_plain
from tests import shipped
from tests.scripted import load_script

CHECK = (
    "def _ensure():\n  required_tensorflow_version = '2.15'\n  if tf1: required_tensorflow_version = '1.15'\n"
)
MODULE = "tensorflow_probability/python/__init__.py"
KERAS = "tensorflow_probability/python/internal/tf_keras.py"


class Packages(Index):
    """Wheels by file name, each with its METADATA and its members; `yanked` are those that were."""

    def __init__(self, wheels: Mapping[str, tuple[str, dict[str, str]]], yanked: str = "") -> None:
        self.wheels, self.yanked = wheels, yanked

    def files(self, project: str) -> tuple[IndexFile, ...]:
        own = [name for name in self.wheels if name.startswith(project.replace("-", "_") + "-")]
        return tuple(
            IndexFile(name, f"https://files.example/{name}", "0" * 64, 1, None, None, name == self.yanked)
            for name in own
        )

    def metadata(self, file: IndexFile) -> str:
        return self.wheels[file.filename][0]

    def members(self, file: IndexFile) -> Mapping[str, int]:
        return {name: len(text) for name, text in self.wheels[file.filename][1].items()}

    def member(self, file: IndexFile, name: str) -> bytes:
        return self.wheels[file.filename][1][name].encode()


def asking(*lines: str) -> tuple[str, dict[str, str]]:
    return "Metadata-Version: 2.1\n" + "".join(f"Requires-Dist: {line}\n" for line in lines), {}


def text_wheel(version: str, python: str = "312", platform: str = "manylinux_2_17_x86_64") -> str:
    return f"tensorflow_text-{version}-cp{python}-cp{python}-{platform}.whl"


def keras_wheel(version: str) -> str:
    return f"tf_keras-{version}-py3-none-any.whl"


def probability(version: str) -> str:
    return f"tensorflow_probability-{version}-py2.py3-none-any.whl"


def test_what_is_declared_holds_for_its_series_with_the_pythons_of_linux_x86_64() -> None:
    old = asking("tensorflow (<2.9,>=2.8.0)", "tensorflow-cpu (<2.5,>=2.4.0rc0) ; extra == 'tensorflow_cpu'")
    new = asking(
        'tensorflow-macos (<2.9,>=2.8.0) ; platform_machine == "arm64"',
        'tensorflow (<2.9,>=2.8.0) ; platform_machine != "arm64" or platform_system != "Darwin"',
    )
    names = [text_wheel("2.8.1", "37"), text_wheel("2.8.2", "310")]
    elsewhere = [text_wheel("2.8.2", "311", "win_amd64"), text_wheel("2.8.2", "313", "macosx_11_0_arm64")]
    left_out = [text_wheel("2.9.0rc1"), text_wheel("2.3.0"), text_wheel("2.8.3")]
    wheels = dict.fromkeys([names[0]], old) | dict.fromkeys([names[1], *elsewhere, *left_out], new)
    (row,) = companion_rows(Packages(wheels, yanked=left_out[-1]), "tensorflow-text")
    assert to_plain(row) == {
        "name": "tensorflow-text",
        "version": "==2.8.*",
        "tensorflow": ">=2.8,<2.9",
        "source": "METADATA and wheel tags of tensorflow-text 2.8.2",
        "python": ("3.7", "3.10"),
    }


def test_releases_of_a_series_that_say_something_else_are_not_spoken_for() -> None:
    wheels = {
        keras_wheel("2.15.0"): asking("numpy"),
        keras_wheel("2.15.1"): asking("tensorflow <2.16,>=2.15"),
        keras_wheel("2.15.2"): asking("tensorflow<2.16,>=2.15"),
        keras_wheel("2.16.1"): asking("tensorflow<2.17,>=2.16.1"),
    }
    rows = companion_rows(Packages(wheels), "tf-keras")
    assert [(row.version, row.tensorflow) for row in rows] == [
        (">=2.15.1,<2.16", ">=2.15,<2.16"),
        ("==2.16.*", ">=2.16.1,<2.17"),
    ]
    assert all(row.python == () and row.source.startswith("METADATA of tf-keras") for row in rows)


def test_what_only_an_import_checks_is_undeclared_and_keras_3_is_the_end_without_tf_keras() -> None:
    extra = asking('tensorflow>=2.16; extra == "tf"', 'tf-keras>=2.16; extra == "tf"')[0]
    wheels = {
        probability("0.23.0"): ("", {MODULE: CHECK}),
        probability("0.24.0"): (extra, {MODULE: CHECK.replace("2.15", "2.16"), KERAS: ""}),
    }
    old, new = companion_rows(Packages(wheels), "tensorflow-probability")
    assert (old.version, old.tensorflow, old.undeclared, old.needs) == ("==0.23.*", ">=2.15,<2.16", True, ())
    assert (new.tensorflow, new.undeclared, new.needs, new.extra) == (">=2.16", True, ("tf-keras",), "tf")
    assert "internal/tf_keras.py in tensorflow-probability 0.24.0" in new.source


def test_a_release_that_names_no_tensorflow_and_a_project_that_is_not_there_are_refused() -> None:
    with pytest.raises(MatrixError, match=r"tf-keras 2\.22\.0 names no TensorFlow"):
        companion_rows(Packages({keras_wheel("2.22.0"): asking("numpy")}), "tf-keras")
    with pytest.raises(InputError, match=r"no release of `tf-keras` from 2\.15 on"):
        companion_rows(Packages({}), "tf-keras")


def test_changes_are_said_row_by_row() -> None:
    one = Companion(name="tf-keras", version="==2.20.*", tensorflow=">=2.20,<2.21", source="METADATA")
    two = Companion(name="tf-keras", version="==2.20.*", tensorflow=">=2.19,<2.21", source="METADATA")
    other = Companion(name="tf-keras", version="==2.21.*", tensorflow=">=2.21,<2.22", source="METADATA")
    assert list(companion_changes([one], [one])) == []
    assert list(companion_changes([one], [two, other])) == [
        "changed: tf-keras==2.20.*: tensorflow>=2.20,<2.21 (METADATA) -> tensorflow>=2.19,<2.21 (METADATA)",
        "new: tf-keras==2.21.*: tensorflow>=2.21,<2.22",
    ]
    assert list(companion_changes([one], [])) == ["gone: tf-keras==2.20.*"]


def test_the_shipped_rows_are_of_these_packages_and_as_the_script_writes_them() -> None:
    text = (Path(load.matrix_dir()) / "companions.yaml").read_text()
    rows = shipped.whole().companions
    assert companions_text(text, rows) == text
    assert list(dict.fromkeys(row.name for row in rows)) == list(COMPANIONS)
    with pytest.raises(MatrixError, match="companions:"):
        companions_text("nothing\n", rows)


def test_the_script_keeps_what_it_read_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    script = load_script("refresh_matrix")
    shutil.copy(Path(load.matrix_dir()) / "companions.yaml", tmp_path)
    options = script._options(["-o", str(tmp_path), "--jobs", "1"])
    wheels = {
        text_wheel("2.22.0"): asking("tensorflow<2.23,>=2.22.0"),
        keras_wheel("2.22.0"): asking("tensorflow<2.23,>=2.22"),
        probability("0.26.0"): ("", {}),
    }
    with pytest.raises(MatrixError, match="names no TensorFlow"):
        script.refresh_companions(Packages(wheels), options)
    kept = (tmp_path / "companions.yaml").read_text()
    assert "tensorflow-text 2.22.0" in kept and "tensorflow-probability 0.25.0" in kept
    wheels[probability("0.26.0")] = ("", {MODULE: CHECK})
    said = script.refresh_companions(Packages(wheels), options)
    assert "new: tensorflow-probability==0.26.*: tensorflow>=2.15,<2.16" in said
    text = (tmp_path / "companions.yaml").read_text()
    assert script.refresh_companions(Packages(wheels), options) == []
    assert (tmp_path / "companions.yaml").read_text() == text
