"""What a plan says about an environment: changes, sizes, and what would break."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from envfix.errors import IndexUnreachable
from envfix.model.plan import Break, Change, LockedFile, LockedPackage, Plan, Resolution
from envfix.model.target import Distribution, Target
from envfix.model.versions import PythonRelease
from envfix.resolve.planning import change_of, make_plan, marker_environment, unpacked_sizes
from envfix.system.index import RealIndex
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside
from tests.index_server import Wheel, build_wheel, serving
from tests.values import TARGET, with_installed


def package(name: str, version: str, size: int | None = 10) -> LockedPackage:
    file = LockedFile(
        filename=f"{name}-{version}-py3-none-any.whl",
        url=f"https://f.example/{name}-{version}-py3-none-any.whl",
        sha256=name,
        size=size,
    )
    return LockedPackage(name=name, version=version, wheels=(file,))


def plan(target: Target, *packages: LockedPackage, sizes: dict[str, int] | None = None) -> Plan:
    return make_plan(
        Resolution(packages=packages, resolver="uv"), target, {"tensorflow": "asked for"}, sizes or {}
    )


@pytest.mark.parametrize(
    ("pin", "installed", "change"),
    [
        ("2.0", None, Change.ADD),
        ("2.0", "1.9", Change.UPGRADE),
        ("2.0", "2.0rc1", Change.UPGRADE),
        ("2.9", "2.10", Change.DOWNGRADE),
        ("2.0", "2.0.0", Change.KEEP),
        ("2.6.0", "2.6.0+cu124", Change.KEEP),
        ("2.6.0+cpu", "2.6.0+cu124", Change.DOWNGRADE),
        ("2.6.0+cu124", "2.6.0", Change.UPGRADE),
        ("2.0", "2004d", Change.UPGRADE),
    ],
)
def test_the_change_compares_versions_as_pip_does(pin: str, installed: str | None, change: Change) -> None:
    assert change_of(package("x", pin), installed) is change


def test_sizes_are_of_what_changes_and_unknown_when_one_is() -> None:
    target = with_installed(numpy="2.0.2", keras="3.0")
    made = plan(
        target,
        package("keras", "3.1", 5),
        package("numpy", "2.0.2", 9),
        package("tensorflow", "2.20.0", 600),
        sizes={"keras": 50, "tensorflow": 6000, "numpy": 1},
    )
    assert (made.download_bytes, made.installed_bytes) == (605, 6050)
    assert [(one.name, one.change.value, one.size) for one in made.packages] == [
        ("keras", "upgrade", 5),
        ("numpy", "keep", 0),
        ("tensorflow", "add", 600),
    ]
    assert made.packages[2].because == "asked for"
    made = plan(
        target, package("keras", "3.1", None), package("tensorflow", "2.20.0", 600), sizes={"keras": 50}
    )
    assert (made.download_bytes, made.installed_bytes) == (None, None)


def test_a_file_on_this_machine_is_no_download() -> None:
    local = package("x", "1", None)
    local = structs.replace(
        local, wheels=(structs.replace(local.wheels[0], url="file:///w/x-1-py3-none-any.whl"),)
    )
    assert plan(TARGET, local).download_bytes == 0


def test_an_environment_that_has_it_all_changes_nothing() -> None:
    made = plan(with_installed(tensorflow="2.20.0"), package("tensorflow", "2.20.0"))
    assert made.changes == ()
    assert (made.download_bytes, made.installed_bytes) == (0, 0)


def requiring(*requires: str, name: str = "torch", version: str = "2.6.0") -> Distribution:
    return Distribution(name=name, version=version, requires=requires)


def test_what_stays_and_breaks_is_said() -> None:
    torch = requiring("NumPy (<2)", "jinja2", "sympy==1.13.1 ; python_version >= '3.9'")
    target = structs.replace(with_installed(numpy="1.26.4", sympy="1.13.1"), installed=(
        *with_installed(numpy="1.26.4", sympy="1.13.1").installed, torch))  # fmt: skip
    made = plan(target, package("numpy", "2.1"), package("sympy", "1.14"))
    assert made.breaks == (
        Break(package="torch 2.6.0", requirement="NumPy (<2)", found="numpy 2.1"),
        Break(
            package="torch 2.6.0", requirement="sympy==1.13.1 ; python_version >= '3.9'", found="sympy 1.14"
        ),
    )


@pytest.mark.parametrize(
    "requires",
    [
        "numpy>=1",
        "numpy<1.20",  # did not hold before either
        "numpy<2; extra == 'test'",
        "numpy<2; sys_platform == 'win32'",
        "numpy<2; python_version < '3.12'",
        "numpy<2; platform_machine == 'aarch64'",
        "numpy (what",
        "absent<1",
    ],
)
def test_what_does_not_count_does_not_break(requires: str) -> None:
    numpy = Distribution(name="numpy", version="1.26.4")
    target = structs.replace(TARGET, installed=(numpy, requiring(requires)))
    assert plan(target, package("numpy", "2.1"), package("absent", "2")).breaks == ()


def test_markers_are_the_targets() -> None:
    numpy = Distribution(name="numpy", version="1.26.4")
    old = structs.replace(
        TARGET,
        python=PythonRelease("3.9.2"),
        installed=(numpy, requiring("numpy<2; python_full_version < '3.9.3'")),
    )
    assert len(plan(old, package("numpy", "2.0.2")).breaks) == 1
    assert marker_environment(old)["python_version"] == "3.9"


def test_what_the_solution_upgrades_itself_is_not_broken() -> None:
    numpy = Distribution(name="numpy", version="1.26.4")
    target = structs.replace(TARGET, installed=(numpy, requiring("numpy<2", name="keras", version="3.0")))
    assert plan(target, package("keras", "3.9"), package("numpy", "2.1")).breaks == ()


def test_another_tensorflow_is_uninstalled_and_said() -> None:
    text = requiring("tensorflow-cpu<2.16", name="tensorflow-text", version="2.15")
    cpu = Distribution(name="tensorflow-cpu", version="2.15.0", requires=("numpy<2",))
    target = structs.replace(TARGET, installed=(text, cpu, Distribution(name="numpy", version="1.26.4")))
    made = plan(target, package("numpy", "2.1"), package("tensorflow", "2.20.0"))
    because = made.packages[1].because
    assert because.startswith("asked for; tensorflow-cpu 2.15.0 is uninstalled first")
    assert [one.requirement for one in made.breaks] == ["tensorflow-cpu<2.16"]
    assert made.breaks[0].found == "tensorflow-cpu is uninstalled"


def served(url: str, wheel: Wheel) -> LockedPackage:
    file = LockedFile(filename=wheel.filename, url=f"{url}/files/{wheel.filename}", sha256=wheel.sha256)
    return LockedPackage(name=wheel.project, version="1", wheels=(file,))


def test_unpacked_sizes_come_from_the_wheels_end_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    big = build_wheel("big", "1", modules={"big.py": "x = 1\n" * 200_000})
    small = build_wheel("small", "1")
    with serving(big, small) as index:
        packages = tuple(served(index.url, wheel) for wheel in (big, small))
        resolution = Resolution(packages=packages, resolver="uv")
        sizes = unpacked_sizes(RealOutside(), RealIndex, resolution, TARGET)
        assert sizes[big.sha256] > 1_200_000
        assert set(sizes) == {big.sha256, small.sha256}
        asked = len(index.asked)
        assert unpacked_sizes(RealOutside(), RealIndex, resolution, TARGET) == sizes
        assert len(index.asked) == asked
        kept = structs.replace(TARGET, installed=(Distribution(name="big", version="1"),))
        assert set(unpacked_sizes(RealOutside(), RealIndex, resolution, kept)) == {small.sha256}


def test_sizes_that_cannot_be_read_are_left_out_and_none_at_all_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving(build_wheel("a", "1"), build_wheel("b", "1")) as index:
        index.faults["b-1-py3-none-any.whl"] = 404
        pair = Resolution(
            packages=tuple(served(index.url, wheel) for wheel in index.wheels.values()), resolver="uv"
        )
        known = pair.packages[0].wheels[0].sha256
        assert set(unpacked_sizes(RealOutside(), RealIndex, pair, TARGET)) == {known}
        alone = structs.replace(pair, packages=pair.packages[1:])
        with pytest.raises(IndexUnreachable):
            unpacked_sizes(RealOutside(), RealIndex, alone, TARGET)


def test_a_cache_that_is_damaged_or_read_only_costs_only_time(tmp_path: Path) -> None:
    with serving(build_wheel("a", "1")) as index:
        (wheel,) = index.wheels.values()
        resolution = Resolution(packages=(served(index.url, wheel),), resolver="uv")
        outside = FakeOutside(read_only=("/",))
        assert unpacked_sizes(outside, RealIndex, resolution, TARGET)[wheel.sha256] > 0
        assert any("cannot be written" in line for line in outside.said)
