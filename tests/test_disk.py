"""What an install takes of which disk: the sums, and the real uv that they are about."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv
from msgspec import structs

from envfix.errors import InputError, InstallFailed
from envfix.install.commands import UvInstaller
from envfix.install.disk import MARGIN, check_space, spoken_size, uv_cache_folder
from envfix.install.warmth import uncached
from envfix.model.plan import Change, LockedFile, LockedPackage, Plan, PlannedPackage
from envfix.model.target import PipConfig, Target
from envfix.probe.interpreter import read_target
from envfix.system.outside import RealOutside
from tests.apart import Apart
from tests.fakes import FakeOutside
from tests.index_server import IndexServer, Wheel, build_wheel, serving

MB = 10**6
SITE, CACHE = "/env/site-packages", "/cache"


def package(name: str, size: int) -> PlannedPackage:
    return PlannedPackage(name=name, version="1", size=size, change=Change.ADD, because="")


PLAN = Plan(
    packages=(package("large", 20 * MB), package("small", 10 * MB)),
    download_bytes=30 * MB,
    installed_bytes=100 * MB,
)
COLD, WARM, PART = frozenset({"large", "small"}), frozenset[str](), frozenset({"large"})


def refused(
    disks: dict[str, int], lacks: frozenset[str] | None = COLD, plan: Plan = PLAN, **environ: str
) -> str:
    """The words of the refusal, empty where there is none."""
    outside = FakeOutside(disks=disks, environ={"UV_CACHE_DIR": CACHE, **environ})
    try:
        check_space(outside, plan, SITE, uncached=lambda: lacks)
    except InstallFailed as problem:
        return f"{problem.message} | {problem.hint}"
    return ""


@pytest.mark.parametrize(
    ("lacks", "mode", "needed"),
    [
        (COLD, "", 100),  # unpacked once, and linked
        (WARM, "", 0),
        (PART, "", 20),  # what is certain of a part
        (None, "", 0),
        (COLD, "copy", 200),
        (WARM, "copy", 100),
        (COLD, "hardlink", 100),
        (COLD, "symlink", 100),
    ],
)
def test_on_one_disk_the_files_are_there_once_unless_copied(
    lacks: frozenset[str] | None, mode: str, needed: int
) -> None:
    def on(free: int) -> str:
        return refused({"/": free}, lacks, UV_LINK_MODE=mode)

    if not needed:
        assert on(0) == ""
        return
    assert on(needed * MB + MARGIN) == ""
    said = on(needed * MB + MARGIN - 1)
    assert f"needs {spoken_size(needed * MB + MARGIN)} free for `{SITE}` and `{CACHE}` " in said
    assert "(30.0 MB to download, 100.0 MB unpacked)" in said
    assert "--venv" in said


@pytest.mark.parametrize(
    ("lacks", "mode", "site", "cache"),
    [
        (COLD, "", 100, 100),
        (WARM, "", 100, 0),
        (PART, "", 100, 20),
        (COLD, "symlink", 0, 100),
    ],
)
def test_on_two_disks_each_has_its_own_copy(lacks: frozenset[str], mode: str, site: int, cache: int) -> None:
    def on(site_free: int, cache_free: int) -> str:
        return refused({"/env": site_free, "/cache": cache_free}, lacks, UV_LINK_MODE=mode)

    enough_site, enough_cache = (size * MB + MARGIN if size else 0 for size in (site, cache))
    assert on(enough_site, enough_cache) == ""
    if site:
        assert f"free for `{SITE}` (" in on(enough_site - 1, enough_cache)
    if cache:
        said = on(enough_site, enough_cache - 1)
        assert f"free for `{CACHE}` (" in said and "export UV_CACHE_DIR=" in said


def test_uv_is_asked_for_its_cache_only_where_the_disks_are_small() -> None:
    def never() -> frozenset[str]:
        raise AssertionError("asked")

    check_space(FakeOutside(), PLAN, SITE, uncached=never)


def test_pip_needs_room_for_every_download_beside_the_unpacked_files() -> None:
    def on(site: int, temporary: int) -> None:
        check_space(FakeOutside(disks={"/env": site}, free=temporary), PLAN, SITE, installer="pip")

    on(100 * MB + MARGIN, 30 * MB + MARGIN)
    with pytest.raises(InstallFailed, match=f"free for `{SITE}`"):
        on(100 * MB + MARGIN - 1, 30 * MB + MARGIN)
    with pytest.raises(InstallFailed) as caught:
        on(100 * MB + MARGIN, 30 * MB + MARGIN - 1)
    assert caught.value.hint is not None and "TMPDIR" in caught.value.hint
    together = FakeOutside(free=130 * MB + MARGIN - 1)
    with pytest.raises(InstallFailed, match=r"needs 197\.1 MB"):
        check_space(together, PLAN, SITE, installer="pip")


def test_without_a_cache_uv_unpacks_into_a_temporary_folder() -> None:
    outside = FakeOutside(environ={"UV_NO_CACHE": "1"}, read_only=("/",))
    assert uv_cache_folder(outside).startswith(os.path.realpath(os.environ.get("TMPDIR", "/tmp")))
    assert outside.ran == []
    assert uv_cache_folder(FakeOutside(environ={"UV_NO_CACHE": "0", "UV_CACHE_DIR": CACHE})) == CACHE


def test_a_cache_that_cannot_be_written_is_said_with_its_folder() -> None:
    outside = FakeOutside(environ={"UV_CACHE_DIR": CACHE}, read_only=(CACHE,))
    with pytest.raises(InputError, match=f"uv's cache `{CACHE}` cannot be written") as caught:
        check_space(outside, PLAN, SITE)
    assert "UV_CACHE_DIR" in (caught.value.hint or "")


def test_the_cache_is_where_uv_says(tmp_path: Path) -> None:
    outside = Apart(tmp_path / "cache")
    assert uv_cache_folder(outside) == str(tmp_path / "cache")
    del outside._own["UV_CACHE_DIR"]
    (tmp_path / "uv.toml").write_text(f'cache-dir = "{tmp_path}/elsewhere"\n')
    outside._own["UV_CONFIG_FILE"] = str(tmp_path / "uv.toml")
    assert uv_cache_folder(outside) == str(tmp_path / "elsewhere")


def locked(wheel: Wheel, url: str) -> LockedPackage:
    file = LockedFile(
        filename=wheel.filename,
        url=f"{url}/files/{wheel.filename}",
        sha256=wheel.sha256,
        size=len(wheel.data),
    )
    return LockedPackage(name=wheel.project, version=wheel.filename.split("-")[1], wheels=(file,))


def installer_of(outside: Apart, target: Target, index: IndexServer, from_urls: bool) -> UvInstaller:
    return UvInstaller(
        outside,
        target,
        PipConfig(index_url=index.simple),
        offline=False,
        break_system_packages=False,
        from_urls=from_urls,
    )


@pytest.mark.parametrize("from_urls", [False, True])
def test_uv_says_what_its_cache_lacks(tmp_path: Path, from_urls: bool) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    wheels = (build_wheel("Flow.numb", "2.0"), build_wheel("other", "1.0"))
    with serving(*wheels) as index:
        packages = [locked(wheel, index.url) for wheel in wheels]
        outside = Apart(tmp_path / "cache")
        target = read_target(RealOutside(), str(tmp_path / "env/bin/python"))

        def installer() -> UvInstaller:
            return installer_of(outside, target, index, from_urls)

        if not from_urls:
            assert uncached(installer(), packages) is None  # not even the index's pages are there
            wanted = str(requirements(tmp_path, "other", "flow-numb"))
            argv = [uv.find_uv_bin(), "pip", "compile", "--output-file", str(tmp_path / "x"), wanted]
            env = {**outside.environ, "UV_DEFAULT_INDEX": index.simple}
            subprocess.run(argv, check=True, env=env, capture_output=True)
        asked = len(index.asked)
        assert uncached(installer(), packages) == {"flow-numb", "other"}
        assert len(index.asked) == asked
        assert installer().install(packages[:1]).ok
        # By its URL a wheel is fetched anew where the server sends no caching headers.
        assert uncached(installer(), packages) == ({"flow-numb", "other"} if from_urls else {"other"})


def requirements(folder: Path, *lines: str) -> Path:
    path = folder / "requirements.in"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two small filesystems, where this user may mount them."""
    made = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            argv = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path / name)]
            if subprocess.run(argv, capture_output=True).returncode:
                pytest.skip("needs the right to mount a tmpfs")
            made.append(tmp_path / name)
        yield made[0], made[1]
    finally:
        for path in made:
            subprocess.run(["umount", path], check=True)


def used(path: Path) -> int:
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@pytest.mark.parametrize("mode", ["", "copy"])
def test_the_sums_are_what_uv_really_takes(disks: tuple[Path, Path], tmp_path: Path, mode: str) -> None:
    """Cold and warm, beside the cache and on another disk; files and folders come on top of the bytes."""
    one, two = disks
    wheel = build_wheel("fat", "1.0", modules={"fat.py": os.urandom(4 * MB).hex()})
    with serving(wheel) as index:
        outside = Apart(one / "cache")
        outside._own["UV_LINK_MODE"] = mode
        if not mode:
            del outside._own["UV_LINK_MODE"]
        took = []
        for folder in (one / "cold", one / "warm", two / "other"):
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
            before = [used(disk) for disk in disks]
            target = read_target(RealOutside(), f"{folder}/bin/python")
            installer = UvInstaller(
                outside, target, PipConfig(index_url=index.simple), offline=False, break_system_packages=False
            )
            assert installer.install([locked(wheel, index.url)]).ok
            took.append([round((used(disk) - was) / MB) for disk, was in zip(disks, before, strict=True)])
    copied = 8 if mode == "copy" else 0
    assert took == [[8 + copied, 0], [copied, 0], [0, 8]]


def test_what_the_plan_does_not_know_is_not_counted() -> None:
    plan = structs.replace(PLAN, installed_bytes=None)
    assert refused({"/": 30 * MB + MARGIN}, plan=plan) == ""
    assert "needs 97.1 MB" in refused({"/": 30 * MB + MARGIN - 1}, plan=plan)
    nothing = structs.replace(plan, download_bytes=None, packages=(package("large", 0),))
    assert refused({"/": 0}, frozenset({"large"}), plan=nothing) == ""
    assert refused({"/": 0}, plan=structs.replace(PLAN, packages=())) == ""
