"""What else lives in an environment is not broken on the way, and a notebook's kernel not touched."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from packaging.requirements import Requirement

from envfix.errors import InputError, LockMismatch, NothingFits, ResolutionFailed
from envfix.model.plan import Break, Change, Plan, PlannedPackage
from envfix.model.request import ANY, Request
from envfix.model.target import Distribution
from envfix.neighbours import explained, harm_of, kept_pins, refuse_companions
from envfix.resolve.notebook_host import kept_alive
from tests.environments import TF, contents, install
from tests.values import TARGET

DARWIN = 'appnope; sys_platform=="darwin"'
COLAB = structs.replace(
    TARGET,
    installed=tuple(
        Distribution(name=name, version=version, requires=requires)
        for name, version, requires in (
            ("google-colab", "1.0.0", ("pandas==2.2.2", "ipykernel==6.17.1", "requests")),
            (
                "ipykernel",
                "6.17.1",
                ("pyzmq>=17", "tornado (>=6.1)", "psutil", 'appnope; sys_platform=="darwin"'),
            ),
            ("pandas", "2.2.2", ("numpy>=1.26", "odd requirement !", 'pytest; extra == "test"')),
            ("numpy", "2.0.2", ()),
            ("pyzmq", "24.0.1", ()),
            ("tornado", "6.4.2", ()),
            ("psutil", "5.9.5", ()),
            ("appnope", "0.1", ()),
            ("pytest", "8.0", ()),
            ("six", "1.17.0", ()),
        )
    ),
)


def asked(*companions: str, allow: Sequence[str] = ()) -> Request:
    return Request(tf=ANY, companions=tuple(map(Requirement, companions)), allow_break=tuple(allow))


def test_what_the_kernel_needs_in_its_turn_stays() -> None:
    assert dict(kept_alive(COLAB)) == {
        "google-colab": "1.0.0",
        "ipykernel": "6.17.1",
        "numpy": "2.0.2",
        "pandas": "2.2.2",
        "psutil": "5.9.5",
        "pyzmq": "24.0.1",
        "tornado": "6.4.2",
    }
    assert "numpy==2.0.2" in kept_pins(COLAB)
    refuse_companions(COLAB, asked("torch", "numpy>=2"))


def test_a_requirement_that_nests_deeper_than_a_parser_follows_binds_nobody() -> None:
    deep = f"six; {'(' * 2000}python_version > '3'{')' * 2000}"
    installed = [structs.replace(dist, requires=(*dist.requires, deep)) for dist in COLAB.installed]
    assert "six" not in kept_alive(structs.replace(COLAB, installed=tuple(installed)))


def test_an_environment_without_a_kernel_holds_nothing() -> None:
    """A web server has tornado too."""
    installed = tuple(dist for dist in COLAB.installed if dist.name in ("tornado", "pyzmq", "numpy"))
    assert kept_alive(structs.replace(COLAB, installed=installed)) == {}


def test_another_version_of_a_kept_package_cannot_be_asked_for() -> None:
    with pytest.raises(NothingFits, match=r"tornado 6\.4\.2 keeps the notebook's kernel alive") as refused:
        refuse_companions(COLAB, asked("Tornado>=7"))
    assert refused.value.hint == "envfix install --venv .venv --with 'Tornado>=7'"


def test_a_resolver_that_fails_for_the_kernel_says_so() -> None:
    said = explained(
        ResolutionFailed("because you require numpy==2.0.2 and tensorflow==2.17 needs numpy<2"), COLAB
    )
    assert "numpy 2.0.2 the notebook's kernel needs it" not in said.message
    assert "the notebook's kernel needs numpy 2.0.2" in said.message
    other = ResolutionFailed("because keras 2 needs six<1")
    assert explained(other, COLAB) is other


def changing(name: str, change: Change) -> Plan:
    package = PlannedPackage(name=name, version="9", size=1, change=change, because="")
    return Plan(packages=(package,), download_bytes=1, installed_bytes=1)


@pytest.mark.parametrize(("locked", "kind"), [(False, NothingFits), (True, LockMismatch)])
def test_a_plan_that_changes_the_kernel_is_refused(locked: bool, kind: type[Exception]) -> None:
    harm = harm_of(changing("pyzmq", Change.UPGRADE), COLAB, asked(allow=["pyzmq"]), locked=locked)
    assert type(harm) is kind and "pyzmq 24.0.1" in str(harm)
    assert harm_of(changing("pyzmq", Change.KEEP), COLAB, asked(), locked=locked) is None
    assert harm_of(changing("six", Change.DOWNGRADE), COLAB, asked(), locked=locked) is None


BREAKS = Plan(
    packages=(),
    download_bytes=0,
    installed_bytes=0,
    breaks=(
        Break(package="six 1.17.0", requirement="numpy<2", found="numpy 2.1.3"),
        Break(package="pytest 8.0", requirement="numpy<2", found="numpy 2.1.3"),
    ),
)


def test_only_what_was_allowed_may_break() -> None:
    harm = harm_of(BREAKS, COLAB, asked(allow=["six"]), locked=False)
    assert isinstance(harm, NothingFits)
    assert "pytest 8.0 needs numpy<2, would find numpy 2.1.3" in harm.message and "six" not in harm.message
    assert harm.hint and "--allow-break pytest" in harm.hint
    assert harm_of(BREAKS, COLAB, asked(allow=["six", "pytest"]), locked=False) is None
    with pytest.raises(InputError, match="`--allow-break sixx`: sixx is not installed"):
        harm_of(BREAKS, COLAB, asked(allow=["sixx"]), locked=False)


def put(site: Path, name: str, version: str, *requires: str) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = [f"Requires-Dist: {line}" for line in requires]
    (info / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])
    )
    (info / "RECORD").write_text("")


@pytest.mark.slow
def test_a_plan_that_breaks_a_neighbour_needs_its_name(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    put(standing("2.19.1"), "needy", "1.0", "tensorflow<2.20")
    before = contents(tmp_path / "demo")
    # Left to itself it takes what breaks nothing, which is what is there.
    free = json.loads(envfix(*install("--upgrade")).stdout)["data"]
    assert (free["tensorflow"], free["changed"]) == ("2.19.1", [])
    done = envfix(*install("--tf", TF))
    assert done.returncode == 3, done.stdout
    error = json.loads(done.stdout)["errors"][0]
    assert "needy 1.0 needs tensorflow<2.20, would find tensorflow 2.20.0" in error["message"]
    assert "--allow-break needy" in error["hint"]
    shown = json.loads(envfix(*install("--tf", TF, "--dry-run")).stdout)["data"]
    assert [one["package"] for one in shown["plan"]["breaks"]] == ["needy 1.0"]
    assert any("needy 1.0 needs" in note for note in shown["notes"])
    assert contents(tmp_path / "demo") == before
    assert envfix(*install("--tf", TF, "--allow-break", "Needy")).returncode == 0


def test_the_kernels_packages_stay_as_they_are(
    envfix: Any, standing: Callable[[str], Path], tmp_path: Path
) -> None:
    """TensorFlow needs absl-py, and so does the kernel, which runs with one that the index does not have."""
    site = standing("2.19.1")
    put(site, "ipykernel", "6.17.1", "absl-py>=0.9")
    assert envfix("lock", "--machine", "colab-t4", "--tf", TF, "--python", sys.executable).returncode == 0
    (site / "absl_py-2.1.0.dist-info").rename(site / "absl_py-2.0.0.dist-info")
    metadata = site / "absl_py-2.0.0.dist-info/METADATA"
    metadata.write_text(metadata.read_text().replace("2.1.0", "2.0.0"))
    before = contents(tmp_path / "demo")
    for code, more in (
        (3, ("--tf", TF)),
        (3, ("--with", "absl-py>2")),
        (7, ("--lock", "pylock.envfix.toml")),
    ):
        done = envfix(*install(*more))
        assert done.returncode == code, done.stdout
        assert "the notebook's kernel needs absl-py 2.0.0" in json.loads(done.stdout)["errors"][0]["message"]
    assert contents(tmp_path / "demo") == before
