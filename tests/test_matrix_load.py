"""The shipped matrix holds together, and a broken one is refused with file, row and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs
from packaging.requirements import Requirement
from packaging.version import Version

from envfix.errors import MatrixError
from envfix.matrix import load
from envfix.matrix.derive import facts_for
from envfix.matrix.proofs import pythons_of
from envfix.model.machine import Arch, Os
from envfix.model.matrix import Effect, Matrix
from envfix.model.versions import ComputeCapability, CudaRelease, CudnnRelease
from envfix.reading import parse_yaml
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside
from tests.shipped import until

SHIPPED = Path(load.matrix_dir())
BROKEN = parse_yaml((Path(__file__).parent / "data" / "matrix" / "broken.yaml").read_text(), "broken.yaml")
TEXTS = {name: (SHIPPED / name).read_text() for name in load.FILES}


@pytest.fixture(scope="module")
def shipped() -> Matrix:
    return load.load(RealOutside(), load.matrix_dir())


def loaded(**changes: Callable[[str], str]) -> Matrix:
    """The shipped files with one changed, by its name without the suffix."""
    texts = {name: changes.get(name.removesuffix(".yaml"), str)(text) for name, text in TEXTS.items()}
    return load.load(FakeOutside(files={f"/m/{name}": text for name, text in texts.items()}), "/m")


def test_every_stable_release_from_2_4_on_is_there(shipped: Matrix) -> None:
    versions = [row.version for row in shipped.releases]
    assert versions == sorted(set(versions))
    assert versions[0] == Version("2.4.0") and versions[-1] >= Version("2.21.0")
    assert not any(version.is_prerelease for version in versions)
    minors = {version.minor for version in versions}
    assert minors == set(range(4, versions[-1].minor + 1))


def test_every_row_says_what_it_was_built_with_and_where_that_was_read(shipped: Matrix) -> None:
    for row in shipped.releases:
        assert row.built_with_cuda and row.built_with_cudnn and row.hand_written and row.kernel_gen, (
            row.version
        )
        assert row.uploaded and row.requires and row.origin
        assert {"wheels", "requires", "built_with_cuda", "built_with_cudnn", "kernels"} <= set(row.origin)
        assert (row.and_cuda != ()) == (row.version >= Version("2.14")), row.version
        linux = next(w for w in row.wheels if (w.os, w.arch) == (Os.LINUX, Arch.X86_64))
        assert linux.cuda and linux.glibc and linux.size > 300_000_000


def test_every_row_has_the_kernels_that_were_read_and_requirements_that_parse(shipped: Matrix) -> None:
    for row in shipped.releases:
        fact = facts_for(shipped.wheels, *row.key)
        assert (row.hand_written, row.kernel_gen) == (fact.hand_written, fact.kernel_gen), row.version
        assert row.files and all(Requirement(text) for text in row.requires)


def test_every_release_from_2_8_on_is_proven_with_what_was_installed(shipped: Matrix) -> None:
    for row in shipped.releases:
        if row.version >= Version("2.8"):
            assert row.proven and all(proof.pins for proof in row.proofs), row.version
            assert all(proof.missing_with_envfix == () for proof in row.proofs), row.version
            for proof in row.proofs:
                assert bool(proof.missing_as_published) == (not proof.registers_as_published), row.version


def test_releases_that_are_published_broken_are_shown_broken_and_mended(shipped: Matrix) -> None:
    rows = {str(row.version): row for row in shipped.releases}
    for version, missing in (("2.16.1", "libcudnn.so.8"), ("2.21.0", "libcusolver.so.11")):
        for proof in rows[version].proofs:
            assert proof.registers_as_published is False and proof.registers_with_envfix
            assert missing in (proof.missing_as_published or ())
    assert all(proof.registers_as_published for proof in rows["2.20.0"].proofs)


def test_the_newest_three_are_proven_on_more_than_one_python(shipped: Matrix) -> None:
    for row in shipped.releases[-3:]:
        assert {proof.python for proof in row.proofs} == set(pythons_of(row)), row.version


def test_cuda_builds_are_those_of_linux_x86_64_and_of_windows_until_2_10(shipped: Matrix) -> None:
    for row in shipped.releases:
        built = {(wheels.os, wheels.arch) for wheels in row.wheels if wheels.cuda}
        expected = {(Os.LINUX, Arch.X86_64)}
        if row.version < Version("2.11") and any(wheels.os is Os.WINDOWS for wheels in row.wheels):
            expected.add((Os.WINDOWS, Arch.X86_64))
        assert built == expected, row.version


def test_the_fat_binaries_hold_what_build_info_lists(shipped: Matrix) -> None:
    for row in shipped.releases:
        assert row.hand_written and row.kernel_gen and row.origin["kernels"] == "fatbin"
        listed = {ComputeCapability.from_arch(name) for name in row.compute_capabilities}
        assert set(row.hand_written.sass) == listed, row.version
        # Before 2.8 the generated kernels have machine code for the newest compute capability too.
        newest = {row.kernel_gen.ptx} if row.version >= Version("2.8") else set()
        assert set(row.kernel_gen.sass) == listed - newest, row.version
        assert row.hand_written.ptx == row.kernel_gen.ptx == max(listed)
        assert row.hand_written.ptx_isa and row.kernel_gen.ptx_isa


def test_every_row_of_the_tables_has_its_source(shipped: Matrix) -> None:
    cuda, cudnn = shipped.cuda, shipped.cudnn
    for rows in (
        cuda.drivers,
        cuda.ptx,
        cuda.releases,
        cuda.wheels,
        cudnn.releases,
        cudnn.preferred,
        shipped.known_bad,
    ):
        assert rows and all(row.source for row in rows)
    assert all(row.source for row in shipped.wheels)


def test_every_range_of_the_extra_has_a_floor_to_be_held_at(shipped: Matrix) -> None:
    for row in shipped.releases:
        for text in row.and_cuda:
            operators = {part.operator for part in Requirement(text).specifier}
            assert operators & {"==", ">="}, (row.version, text)


def test_known_bad_rows_that_cap_say_what_and_the_others_do_not(shipped: Matrix) -> None:
    for row in shipped.known_bad:
        assert bool(row.requirements) == (row.effect is Effect.CAPS), row.id


def test_the_digest_is_of_all_files_and_nothing_else() -> None:
    same = loaded()
    assert same.digest == loaded().digest == load.load(RealOutside(), load.matrix_dir()).digest
    for name in load.FILES:
        other = loaded(**{name.removesuffix(".yaml"): lambda text: text + "# a comment\n"})
        assert other.digest != same.digest, name


def grown(before: Matrix) -> Matrix:
    """With a new row in each table that rows are added to by hand."""
    cuda, cudnn, newest = before.cuda, before.cudnn, CudaRelease("99.1")
    *others, wheels = cudnn.wheels
    wheels = structs.replace(wheels, versions=(*wheels.versions, CudnnRelease("99.0.0.1")))
    support = structs.replace(cudnn.releases[-1], first=CudnnRelease("99.0"))
    return structs.replace(
        before,
        known_bad=(*before.known_bad, structs.replace(before.known_bad[-1], id="new")),
        cudnn=structs.replace(cudnn, releases=(*cudnn.releases, support), wheels=(*others, wheels)),
        cuda=structs.replace(
            cuda,
            drivers=(*cuda.drivers, structs.replace(cuda.drivers[-1], major=99)),
            ptx=(*cuda.ptx, structs.replace(cuda.ptx[-1], cuda=newest)),
            releases=(*cuda.releases, structs.replace(cuda.releases[-1], cuda=newest)),
        ),
    )


def test_the_expectations_of_the_tests_do_not_move_with_a_new_row(shipped: Matrix) -> None:
    assert until(grown(shipped)) == until(shipped)


def first(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case['file']}-{case['message'][:60]}")
def test_a_broken_file_is_refused_with_file_row_and_key(case: dict[str, str]) -> None:
    with pytest.raises(MatrixError) as caught:
        loaded(**{case["file"]: first(case["old"], case["new"])})
    said = caught.value.message
    assert case["message"].lower() in said.lower()
    assert said.startswith(f"{case['file']}.yaml") and "\n" not in said and caught.value.exit_code == 2


def test_a_file_that_is_missing_or_no_text_is_refused() -> None:
    files: dict[str, str | bytes | OSError] = {f"/m/{name}": text for name, text in TEXTS.items()}
    absent = {name: text for name, text in files.items() if name != "/m/gpus.yaml"}
    with pytest.raises(MatrixError, match=r"/m/gpus\.yaml: No such file"):
        load.load(FakeOutside(files=absent), "/m")
    with pytest.raises(MatrixError, match=r"/m/gpus\.yaml: not UTF-8"):
        load.load(FakeOutside(files=files | {"/m/gpus.yaml": b"\xff\xfe"}), "/m")
    with pytest.raises(MatrixError, match=r"/m/gpus\.yaml: Permission denied"):
        load.load(FakeOutside(files=files | {"/m/gpus.yaml": PermissionError(13, "Permission denied")}), "/m")
