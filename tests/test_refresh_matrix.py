"""The script that writes `tensorflow.yaml` and the kernels in `wheels.yaml`, against a recorded index."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest
from msgspec import structs
from packaging.version import Version

from envfix.errors import IndexUnreachable, InputError, MatrixError
from envfix.matrix import load
from envfix.matrix.proofs import with_proof
from envfix.matrix.write import KERNELS, file_text
from envfix.model.matrix import LoaderProof, MinimalProof
from envfix.model.versions import ComputeCapability, PythonRelease
from envfix.ports import IndexFile
from envfix.reading import convert, parse_yaml
from tests.scripted import load_script
from tests.test_derive import CPU, CUDA_2_20, FATBINS, LIBRARY, LINUX, RecordedIndex

# In the order of the page; the recorded sizes and days follow it.
PAGE = ("2.20.0", "2.21.0", "2.19.0")
VERSIONS = sorted(PAGE)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("refresh_matrix")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped tables without a release and without kernels."""
    for path in Path(load.matrix_dir()).glob("*.yaml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "tensorflow.yaml").unlink()
    wheels = tmp_path / "wheels.yaml"
    wheels.write_text(wheels.read_text().partition(KERNELS)[0] + KERNELS)
    return tmp_path


def index(*versions: str) -> RecordedIndex:
    recorded = RecordedIndex(
        [LINUX.replace("2.20.0", version) for version in versions or PAGE],
        {"manylinux_2_17_x86_64": CUDA_2_20, "aarch64": CPU},
    )
    hand, generated = ((FATBINS / f"{name}.fatbin").read_bytes() for name in ("hand_written", "kernel_gen"))
    recorded.libraries = {LIBRARY: generated * 64 + hand * 64}
    return recorded


def run(script: ModuleType, folder: Path, recorded: RecordedIndex, *argv: str) -> list[str]:
    options = script._options(["-o", str(folder), "--date", "2026-11-23", "--jobs", "1", *argv])
    said: list[str] = script.refresh(recorded, options)
    return said


def rows(folder: Path) -> load.ReleaseTable:
    text = (folder / "tensorflow.yaml").read_text()
    return convert(parse_yaml(text, "tensorflow.yaml"), load.ReleaseTable, "tensorflow.yaml")


def versions(folder: Path) -> list[str]:
    return [str(row.version) for row in rows(folder).releases]


def test_every_stable_release_is_read_once_and_the_second_run_reads_and_changes_nothing(
    script: ModuleType, folder: Path
) -> None:
    said = run(script, folder, index(*PAGE, "2.3.0", "2.22.0rc0", "2.21.0rc1"))
    assert versions(folder) == VERSIONS
    assert [line.partition(":")[0] for line in said] == ["new"] * 3 + ["pre-release, left out"]
    assert said[-1] == "pre-release, left out: tensorflow 2.22.0rc0"
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    again = index()
    assert run(script, folder, again) == [] and again.looked_into == [] and again.streamed == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts


def test_kernels_are_read_once_and_written_below_what_was_written_by_hand(
    script: ModuleType, folder: Path
) -> None:
    by_hand = (folder / "wheels.yaml").read_text()
    run(script, folder, index())
    text = (folder / "wheels.yaml").read_text()
    assert text.startswith(by_hand) and text.count("- tf: ==") == 3
    assert "16 and 64 of its fat binaries" in text
    once = index()
    run(script, folder, once, "--all")
    assert once.streamed == 0 and len(once.looked_into) == 3
    assert (folder / "wheels.yaml").read_text() == text
    twice = index()
    run(script, folder, twice, "--all", "--kernels", "--only", "2.20.0")
    assert twice.streamed and {name.split("-")[1] for name in twice.looked_into} == {"2.20.0"}
    assert (folder / "wheels.yaml").read_text() == text


def test_a_run_that_was_interrupted_goes_on_where_it_was(script: ModuleType, folder: Path) -> None:
    class Breaking(RecordedIndex):
        def metadata(self, file: IndexFile) -> str:
            if "2.21.0" in file.filename:
                raise IndexUnreachable("the network went away")
            return super().metadata(file)

    whole = index()
    breaking = Breaking(whole.names, whole.build_info)
    breaking.libraries = whole.libraries
    with pytest.raises(IndexUnreachable):
        run(script, folder, breaking)
    assert versions(folder) == ["2.19.0", "2.20.0"]
    rest = index()
    assert run(script, folder, rest)[0].startswith("new: tensorflow 2.21.0")
    assert {name.split("-")[1] for name in rest.looked_into} == {"2.21.0"}
    assert versions(folder) == VERSIONS


def test_what_changed_on_the_index_is_read_again_and_said_field_by_field(
    script: ModuleType, folder: Path
) -> None:
    run(script, folder, index())
    changed = index("2.20.0", "2.21.0")
    changed.names.append(LINUX.replace("cp312", "cp313"))
    said = run(script, folder, changed)
    assert said[0] == "gone: tensorflow 2.19.0"
    assert "changed: tensorflow 2.20.0: wheels.linux x86_64.python: +3.13" in said
    assert {name.split("-")[1] for name in changed.looked_into} == {"2.20.0"}
    assert versions(folder) == ["2.20.0", "2.21.0"]


def test_a_yanked_release_is_marked_without_being_read_again(script: ModuleType, folder: Path) -> None:
    run(script, folder, index())
    yanked = index()
    yanked.yanked = True
    assert run(script, folder, yanked) == [f"yanked: tensorflow {version}" for version in VERSIONS]
    assert yanked.looked_into == [] and all(row.yanked for row in rows(folder).releases)


def test_proofs_and_rows_that_were_not_asked_for_are_kept(script: ModuleType, folder: Path) -> None:
    run(script, folder, index())
    proof = LoaderProof(
        date="2026-11-23",
        python=PythonRelease("3.12"),
        registers_as_published=True,
        registers_with_envfix=True,
    )
    proven = with_proof(rows(folder).releases, "tensorflow", Version("2.20.0"), proof)
    minimal = MinimalProof(
        date="2026-11-23", python=proof.python, gpu=ComputeCapability("7.5"), pins="ab" * 32
    )
    proven = tuple(structs.replace(row, minimal=minimal if row.proofs else None) for row in proven)
    first = structs.replace(proven[0], uploaded="1999-01-01")
    (folder / "tensorflow.yaml").write_text(file_text("2026-11-20", [first, *proven[1:]]))
    said = run(script, folder, index(), "--all", "--only", "2.20.0")
    assert said == []
    found = {str(row.version): row for row in rows(folder).releases}
    assert found["2.20.0"].minimal == minimal
    assert found["2.20.0"].proofs == (proof,) and found["2.19.0"].uploaded == "1999-01-01"


def test_a_row_that_nobody_could_load_is_refused_and_the_others_are_kept(
    script: ModuleType, folder: Path
) -> None:
    unnamed = index("2.20.0", "2.21.0")
    unnamed.build_info = {"2.21.0": "build_info = {'is_cuda_build': True}", **unnamed.build_info}
    unnamed.text = "Name: tensorflow\n"
    (folder / "cuda.yaml").write_text(
        (folder / "cuda.yaml").read_text().partition("ptx:")[0] + "ptx: []\nreleases: []\nwheels: []\n"
    )
    with pytest.raises(MatrixError, match=r"tensorflow 2\.21\.0\.built_with_cuda: a CUDA build must name it"):
        run(script, folder, unnamed)
    assert versions(folder) == ["2.20.0"]


def test_an_index_without_the_package_empties_nothing(script: ModuleType, folder: Path) -> None:
    run(script, folder, index())
    text = (folder / "tensorflow.yaml").read_text()
    with pytest.raises(InputError, match="no release of tensorflow"):
        run(script, folder, index("2.3.0"))
    assert (folder / "tensorflow.yaml").read_text() == text
