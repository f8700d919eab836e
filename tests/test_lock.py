"""The lock files: what is written, read back, refused and checked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs
from packaging.pylock import Pylock

from envfix.errors import InputError, LockMismatch
from envfix.lock.check import check_lock
from envfix.lock.pylock import read_pylock, render_pylock
from envfix.lock.requirements import render_requirements
from envfix.model.machine import Arch, Driver, Gpu, Machine
from envfix.model.plan import Floors, Lock, LockedFile, LockedPackage, Resolution
from envfix.model.target import Target
from envfix.model.versions import ComputeCapability, DriverRelease, GlibcRelease, PythonRelease
from envfix.reading import parse_toml
from tests.values import T4, TARGET

A, B, C = "a" * 64, "b" * 64, "c" * 64


def wheel(name: str, digest: str, **more: object) -> LockedFile:
    return structs.replace(
        LockedFile(filename=name, url=f"https://files.example/{name}", sha256=digest), **more
    )


LOCK = Lock(
    tensorflow="2.20.0",
    requirements=("tensorflow==2.20.0", "numpy<2.4"),
    resolution=Resolution(
        resolver="uv",
        packages=(
            LockedPackage(name="gast", version="0.7.0", sdist=wheel("gast-0.7.0.tar.gz", C)),
            LockedPackage(
                name="tensorflow",
                version="2.20.0",
                requires_python=">=3.9",
                wheels=(
                    wheel("tensorflow-2.20.0-cp312-cp312-manylinux_2_17_x86_64.whl", B, size=620_000_000),
                    wheel("tensorflow-2.20.0-py3-none-any.whl", A),
                ),
            ),
            LockedPackage(
                name="torch",
                version="2.6.0+cpu",
                wheels=(
                    LockedFile(
                        filename="torch-2.6.0+cpu-py3-none-any.whl",
                        url="https://files.example/torch-2.6.0%2Bcpu-py3-none-any.whl",
                        sha256=A,
                    ),
                ),
            ),
        ),
    ),
    floors=Floors(
        python="3.12",
        os="linux",
        arch="x86_64",
        glibc="2.17",
        driver="525.60.13",
        compute_capabilities=("7.5", "8.0"),
    ),
    matrix_digest="d" * 64,
)


def test_a_lock_comes_back_as_it_was_and_renders_to_the_same_bytes() -> None:
    text = render_pylock(LOCK)
    assert read_pylock(text, "pylock.envfix.toml") == LOCK
    assert render_pylock(read_pylock(text, "x")) == text


def test_what_was_left_out_is_recorded_and_only_where_something_was() -> None:
    minimal = structs.replace(LOCK, left_out=("nvidia-curand-cu12==10.3.6.82",))
    text = render_pylock(minimal)
    assert read_pylock(text, "x") == minimal
    assert "left-out" not in render_pylock(LOCK)
    with pytest.raises(
        InputError, match=r"x: tool.envfix.left-out\[0\]: expected a pin of a wheel, found `a>=1`"
    ):
        read_pylock(text.replace("nvidia-curand-cu12==10.3.6.82", "a>=1"), "x")


def test_the_order_of_the_packages_does_not_matter() -> None:
    mixed = structs.replace(LOCK.resolution, packages=LOCK.resolution.packages[::-1])
    assert render_pylock(structs.replace(LOCK, resolution=mixed)) == render_pylock(LOCK)
    assert render_requirements(structs.replace(LOCK, resolution=mixed)) == render_requirements(LOCK)


def test_the_lock_is_a_valid_pep_751_lock_for_this_platform_alone() -> None:
    lock = Pylock.from_dict(parse_toml(render_pylock(LOCK), "lock"))
    lock.validate()
    assert str(lock.requires_python) == "==3.12.*"
    assert [str(marker) for marker in lock.environments or ()] == [
        'sys_platform == "linux" and platform_machine == "x86_64"'
    ]
    assert lock.tool is not None
    assert lock.tool["envfix"]["floors"]["compute-capabilities"] == ["7.5", "8.0"]


def test_no_time_and_no_credentials_are_in_it() -> None:
    secret = wheel("x-1-py3-none-any.whl", A, url="https://me:pw@f.example/x-1-py3-none-any.whl")
    package = LockedPackage(name="x", version="1", wheels=(secret,))
    lock = structs.replace(LOCK, resolution=Resolution(packages=(package,), resolver="uv"))
    text = render_pylock(lock)
    assert "https://f.example/x-1" in text
    assert "pw" not in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text + render_requirements(lock))


def test_requirements_hold_every_hash() -> None:
    assert render_requirements(LOCK).splitlines()[2:] == [
        "gast==0.7.0 \\",
        f"    --hash=sha256:{C}",
        "tensorflow==2.20.0 \\",
        f"    --hash=sha256:{A} \\",
        f"    --hash=sha256:{B}",
        "torch==2.6.0+cpu \\",
        f"    --hash=sha256:{A}",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f'sha256 = "{A}"', 'sha256 = "zz"', r"packages\[1\]\.wheels\[1\]\.hashes: expected `sha256` with"),
        (f'sha256 = "{A}"', f'md5 = "{A}"', r"packages\[1\]\.wheels\[1\]\.hashes: expected `sha256`"),
        (f'sha256 = "{A}"', "sha256 = 3", r"packages\[1\]\.wheels\[1\]\.hashes: "),
        ('cuda = "wheels"', 'cuda = "none"', r"tool\.envfix: cuda: invalid enum value 'none'"),
        ('accelerator = "gpu"', 'accelerator = "tpu"', r"accelerator: expected `gpu` or `cpu`, found `tpu`"),
        ('version = "2.20.0"', 'version = "two"', r"packages\[1\]\.version: "),
        ('lock-version = "1.0"', 'lock-version = "9.0"', r"^lock: .*9\.0"),
        ('lock-version = "1.0"', 'lock-version = "1.0', r"lock: not valid TOML: .*line 1"),
        ("[tool.envfix", "[tool.other", r"lock: has no `\[tool\.envfix\]`"),
        ('\nversion = 1\n', '\nversion = 2\n', r"tool\.envfix\.version: this envfix reads 1, found 2"),
        ('\ntensorflow = "2.20.0"', "\ntensorflow = 2", r"tool\.envfix: tensorflow: expected `str`"),
        ('\ntensorflow = "2.20.0"', "", r"tool\.envfix: object missing required field `tensorflow`"),
        ('glibc = "2.17"', "glibc = 2.17", r"tool\.envfix\.floors: glibc: expected `str \| null`"),
        ('glibc = "2.17"', 'musl = "1.2"', r"tool\.envfix\.floors: object contains unknown field `musl`"),
        ('driver = "525.60.13"', 'driver = "newest"', r"tool\.envfix\.floors: driver: expected numbers"),
        ('name = "gast"', 'name = "Gast"', r"packages\[0\]\.name: "),
        ('url = "https://files.example/gast', 'path = "gast', r"packages\[0\]\.sdist: .*path"),
    ],
)  # fmt: skip
def test_a_malformed_lock_is_refused_with_the_place(old: str, new: str, message: str) -> None:
    text = render_pylock(LOCK)
    assert old in text
    with pytest.raises(InputError) as caught:
        read_pylock(text.replace(old, new, -1 if "tool" in old else 1), "lock")
    assert re.search(message, caught.value.message), caught.value.message


@given(st.integers(0, 5000), st.text(max_size=5))
def test_any_damage_is_an_input_error_or_still_a_lock(place: int, damage: str) -> None:
    text = render_pylock(LOCK)
    place %= len(text)
    try:
        assert isinstance(read_pylock(text[:place] + damage + text[place + 1 :], "lock"), Lock)
    except InputError as problem:
        assert problem.message.startswith("lock")


def test_a_lock_fits_the_machine_it_was_made_for() -> None:
    assert check_lock(LOCK, T4, TARGET, "d" * 64) == ()


@pytest.mark.parametrize(
    ("machine", "target", "message"),
    [
        ({}, {"python": PythonRelease("3.11.9")}, "needs Python 3.12, found 3.11"),
        ({}, {"arch": Arch.AARCH64}, "needs arch x86_64, found aarch64"),
        ({}, {"glibc": GlibcRelease("2.12")}, "needs glibc >= 2.17, found 2.12"),
        ({}, {"glibc": None}, "needs glibc >= 2.17, found none"),
        ({"driver": None}, {}, "needs driver >= 525.60.13, found none"),
        (
            {"driver": Driver(release=DriverRelease("470.82.01"))},
            {},
            "needs driver >= 525.60.13, found 470.82.01",
        ),
        ({"driver": Driver(release=DriverRelease("525.9"))}, {}, "needs driver >= 525.60.13, found 525.9"),
        ({"gpus": ()}, {}, "needs a GPU of compute capability 7.5 or 8.0, found none"),
        (
            {"gpus": (Gpu(name="Tesla K80", compute_capability=ComputeCapability("3.7")),)},
            {},
            "needs compute capability 7.5 or 8.0, found 3.7 (Tesla K80)",
        ),
    ],
)
def test_a_floor_that_is_missed_names_both_values(
    machine: dict[str, object], target: dict[str, object], message: str
) -> None:
    with pytest.raises(LockMismatch) as caught:
        check_lock(LOCK, structs.replace(T4, **machine), structs.replace(TARGET, **target), "d" * 64)
    assert caught.value.message == f"the lock does not fit: {message}"
    assert caught.value.exit_code == 7


def test_every_mismatch_is_said_at_once() -> None:
    other = structs.replace(TARGET, python=PythonRelease("3.9.1"), arch=Arch.AARCH64)
    with pytest.raises(LockMismatch, match=r"Python 3\.12, found 3\.9; .*arch.*; needs driver"):
        check_lock(LOCK, structs.replace(T4, driver=None), other, "d" * 64)


def test_what_is_unknown_is_a_warning_and_so_is_another_matrix() -> None:
    machine = structs.replace(T4, driver=UNSET, gpus=(Gpu(name="Quadro X"),))
    warnings = check_lock(LOCK, machine, TARGET, "e" * 64)
    for words, warning in zip(
        ("driver is unknown", "Quadro X is unknown", "eeeeeeeeeeee"), warnings, strict=True
    ):
        assert words in warning


def test_a_lock_for_the_cpu_asks_for_no_gpu() -> None:
    floors = structs.replace(LOCK.floors, accelerator="cpu")
    machine: Machine = structs.replace(T4, driver=None, gpus=())
    target: Target = TARGET
    assert check_lock(structs.replace(LOCK, floors=floors), machine, target, "d" * 64) == ()
