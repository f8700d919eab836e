"""Both resolvers against a real small index on loopback."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from msgspec import structs
from packaging.tags import Tag

from envfix.errors import EnvfixError, IndexUnreachable, InputError, ResolutionFailed
from envfix.explanation import shortened
from envfix.installers import uv_install_environment
from envfix.model.machine import Arch, Os
from envfix.model.plan import LockedFile
from envfix.model.target import Distribution, PipConfig, Target
from envfix.model.versions import GlibcRelease, PythonRelease
from envfix.ports import Resolver
from envfix.probe.interpreter import read_target
from envfix.resolve.pip_tools import PipToolsResolver, read_pins
from envfix.resolve.uv import UvResolver, read_resolution
from envfix.resolve.wheels import installable, target_tags
from envfix.system.index import RealIndex
from envfix.system.outside import RealOutside
from tests.apart import Apart
from tests.index_server import IndexServer, Wheel, build_wheel, serving
from tests.values import TARGET

# pip-tools takes some ten times as long to start as uv.
BOTH = pytest.mark.parametrize("name", ["uv", pytest.param("pip-tools", marks=pytest.mark.slow)])
ABI = f"cp{sys.version_info.major}{sys.version_info.minor}"


def wheels() -> tuple[Wheel, ...]:
    return (
        build_wheel("Flow.Tensor", "1.0", ["numb>=1"], uploaded="2023-01-01T00:00:00Z"),
        build_wheel("Flow.Tensor", "2.0", ["numb>=1,<3", "extra-thing; extra == 'more'"], extras=["more"]),
        build_wheel("Flow.Tensor", "2.1", ["numb>=3"], requires_python=">=3.99"),
        build_wheel("Flow.Tensor", "3.0rc1", ["numb"]),
        build_wheel("numb", "1.5"),
        build_wheel("numb", "2.5", tag=f"{ABI}-{ABI}-manylinux_2_5_x86_64"),
        build_wheel("numb", "2.5", tag="py3-none-any"),
        build_wheel("numb", "2.5", tag="cp37-cp37m-win_amd64"),
        build_wheel("numb", "3.0"),
        build_wheel("extra-thing", "0.1", ["numb!=2.5", "never; python_version < '3'"]),
    )


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with serving(*wheels()) as server:
        yield server


@pytest.fixture(scope="module")
def here() -> Target:
    return read_target(RealOutside(), sys.executable)


def resolver(name: str, tmp_path: Path, config: PipConfig, **more: str) -> Resolver:
    outside = Apart(tmp_path / "cache", more)
    return UvResolver(outside) if name == "uv" else PipToolsResolver(outside, RealIndex(config))


def configured(index: IndexServer, **more: object) -> PipConfig:
    return structs.replace(PipConfig(index_url=index.simple), **more)


@BOTH
@pytest.mark.parametrize("as_json", [True, False])
def test_pins_are_the_newest_that_fit_with_every_installable_file(
    name: str, as_json: bool, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    index.json = as_json
    config = configured(index)
    found = resolver(name, tmp_path, config).resolve(["flow-tensor"], [], here, config, offline=False)
    assert found.resolver == name
    assert [(one.name, one.version) for one in found.packages] == [("flow-tensor", "2.0"), ("numb", "2.5")]
    names = [f"numb-2.5-{ABI}-{ABI}-manylinux_2_5_x86_64.whl", "numb-2.5-py3-none-any.whl"]
    assert [file.filename for file in found.packages[1].wheels] == names
    for file, wheel in zip(found.packages[1].wheels, (index.wheels[one] for one in names), strict=True):
        assert file.sha256 == hashlib.sha256(wheel.data).hexdigest()
        assert file.url == f"{index.url}/files/{wheel.filename}"
        assert file.size == (len(wheel.data) if as_json else None)


@BOTH
def test_extras_constraints_and_markers_hold(
    name: str, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    caps = tmp_path / "user caps.txt"
    caps.write_text("numb<9\n")
    config = configured(index, constraints=(str(caps),))
    wanted = ["Flow_Tensor[more]==2.*", "numb!=3.0"]
    found = resolver(name, tmp_path, config).resolve(wanted, ["numb<2"], here, config, offline=False)
    assert [f"{one.name}=={one.version}" for one in found.packages] == [
        "extra-thing==0.1",
        "flow-tensor==2.0",
        "numb==1.5",
    ]


@BOTH
def test_what_is_installed_and_fits_stays(
    name: str, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    """An upgrade of numpy that nobody asked for breaks the numba beside it."""
    dists = [("numb", "1.5+local"), ("flow-tensor", "0.9"), ("old", "not a version"), ("numb-", "1")]
    target = structs.replace(
        here, installed=tuple(Distribution(name=one, version=version) for one, version in dists)
    )
    config = configured(index)
    found = resolver(name, tmp_path, config).resolve(["flow-tensor==2.0"], [], target, config, offline=False)
    assert [f"{one.name}=={one.version}" for one in found.packages] == ["flow-tensor==2.0", "numb==1.5"]


@BOTH
def test_a_pre_release_comes_only_when_it_is_named(
    name: str, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    config = configured(index)
    found = resolver(name, tmp_path, config).resolve(["flow-tensor==3.0rc1"], [], here, config, offline=False)
    assert found.version_of("flow-tensor") == "3.0rc1"
    assert found.version_of("numb") == "3.0"


@BOTH
def test_several_indexes_are_one(name: str, index: IndexServer, here: Target, tmp_path: Path) -> None:
    """The best version wins wherever it is; a first index that has the name does not hide it."""
    both = build_wheel("numb", "2.9")
    index.add(both)
    with serving(both, build_wheel("only-here", "1", ["numb<3"])) as second:
        config = configured(index, extra_index_urls=(second.simple,))
        found = resolver(name, tmp_path, config).resolve(["only-here"], [], here, config, offline=False)
    assert found.version_of("only-here") == "1"
    assert [file.sha256 for file in found.packages[0].wheels] == [both.sha256]


@BOTH
@pytest.mark.parametrize(("first", "second"), [("2.6", "2.9"), ("2.9", "2.6")])
def test_an_older_version_on_either_index_hides_nothing(
    name: str, first: str, second: str, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    """By default uv would stop at the first index that has the name, which to uv is the extra one."""
    index.add(build_wheel("numb", first))
    with serving(build_wheel("numb", second)) as other:
        config = configured(index, extra_index_urls=(other.simple,))
        found = resolver(name, tmp_path, config).resolve(["numb<3"], [], here, config, offline=False)
    assert found.version_of("numb") == "2.9"


def test_pip_tools_locks_no_file_for_other_pythons(index: IndexServer, here: Target, tmp_path: Path) -> None:
    index.add(build_wheel("numb", "2.5", tag="py2.py3-none-any", requires_python=">=3.99"))
    config = configured(index)
    pip_tools = resolver("pip-tools", tmp_path, config)
    found = pip_tools.resolve(["numb<3"], [], here, config, offline=False)
    assert "numb-2.5-py2.py3-none-any.whl" not in [file.filename for file in found.packages[0].wheels]


def test_pip_tools_of_envfix_runs_in_a_target_without_it(index: IndexServer, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    config = configured(index)
    target = read_target(RealOutside(), str(tmp_path / "env/bin/python"))
    found = resolver("pip-tools", tmp_path, config).resolve(["numb<3"], [], target, config, offline=False)
    assert found.version_of("numb") == "2.5"
    assert not list(Path(target.purelib).glob("pip*"))


@BOTH
def test_find_links_are_looked_through(name: str, index: IndexServer, here: Target, tmp_path: Path) -> None:
    local = build_wheel("numb", "2.7+local")
    folder = tmp_path / "my wheels" if name == "uv" else tmp_path / "wheels"
    folder.mkdir()
    (folder / local.filename).write_bytes(local.data)
    config = configured(index, find_links=(str(folder),))
    found = resolver(name, tmp_path, config).resolve(["numb<3"], [], here, config, offline=False)
    (package,) = found.packages
    assert package.version == "2.7+local"
    assert package.wheels[0].sha256 == local.sha256
    assert package.wheels[0].filename == local.filename
    assert package.wheels[0].url.startswith("file:///")


@BOTH
def test_credentials_reach_the_index_and_no_lock(
    name: str, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    config = PipConfig(index_url=index.simple.replace("http://", "http://me:s3cr3t@"))
    found = resolver(name, tmp_path, config).resolve(["numb"], [], here, config, offline=False)
    assert "s3cr3t" not in repr(found)
    index.faults["/simple/flow-tensor/"] = 500
    with pytest.raises(IndexUnreachable) as caught:
        resolver(name, tmp_path, config).resolve(["flow-tensor"], [], here, config, offline=False)
    assert "s3cr3t" not in caught.value.message


@BOTH
@pytest.mark.parametrize(
    ("requirements", "kind", "words"),
    [
        (["numb", "no-such-thing"], ResolutionFailed, "no-such-thing"),
        (["numb==9.9"], ResolutionFailed, "numb==9.9"),
        (["flow-tensor==2.0", "numb>=3"], ResolutionFailed, "numb"),
        (["numb ==== what"], InputError, "numb ==== what"),
    ],
)
def test_what_cannot_be_resolved_is_explained_in_short(
    name: str, requirements: list[str], kind: type[EnvfixError], words: str, index: IndexServer, here: Target,
    tmp_path: Path,
) -> None:  # fmt: skip
    config = configured(index)
    with pytest.raises(kind) as caught:
        resolver(name, tmp_path, config).resolve(requirements, [], here, config, offline=False)
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert "Traceback" not in caught.value.message
    assert len(caught.value.message) < 1100


@BOTH
def test_an_index_that_is_down_is_said(name: str, here: Target, tmp_path: Path) -> None:
    config = PipConfig(index_url="http://127.0.0.1:9/simple/")
    with pytest.raises(IndexUnreachable) as caught:
        resolver(name, tmp_path, config).resolve(["numb"], [], here, config, offline=False)
    assert "127.0.0.1:9" in caught.value.message
    assert caught.value.exit_code == 4


@BOTH
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (401, "answered HTTP 401"),
        (403, "answered HTTP 403"),
        (500, "answered HTTP 500"),
        (200, "is no page of a package index: "),
        ("broken", "is no page of a package index: "),
    ],
)
def test_an_index_that_answers_with_something_else_is_said(
    name: str, fault: int | str, words: str, index: IndexServer, here: Target, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("envfix.system.session.BACKOFF", 0)
    monkeypatch.setenv("COLUMNS", "40")  # uv breaks its lines there
    index.faults["/"] = fault
    config = configured(index, index_url=index.simple.replace("//", "//me:s3cr3t@"))
    with pytest.raises(IndexUnreachable) as caught:
        resolver(name, tmp_path, config).resolve(["numb", "flow-tensor"], [], here, config, offline=False)
    assert words in caught.value.message and index.url.removeprefix("http://") in caught.value.message
    assert "s3cr3t" not in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hint


@BOTH
@pytest.mark.parametrize("fault", [404, "portal"])
def test_an_index_without_one_of_the_projects_is_the_wrong_setting(
    name: str, fault: int | str, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    index.faults["/"] = fault
    config = configured(index, index_url=index.simple.replace("//", "//me:s3cr3t@"))
    with pytest.raises(InputError) as caught:
        resolver(name, tmp_path, config).resolve(["numb", "tensorflow"], [], here, config, offline=False)
    shown = index.simple.replace("//", "//****@")
    assert caught.value.message == f"pip's `index-url` `{shown}` has no project `tensorflow`"


@BOTH
def test_no_index_without_the_wheels_is_the_wrong_setting(name: str, here: Target, tmp_path: Path) -> None:
    config = PipConfig(no_index=True)
    with pytest.raises(InputError, match="pip's `no-index` is set, and no `find-links` is"):
        resolver(name, tmp_path, config).resolve(["numb"], [], here, config, offline=False)
    (tmp_path / "links").mkdir()
    config = structs.replace(config, find_links=(str(tmp_path / "links"),))
    with pytest.raises(InputError, match=r"`find-links` \(`/.*/links`\) holds no `numb`"):
        resolver(name, tmp_path, config).resolve(["numb"], [], here, config, offline=False)


def test_uvs_own_settings_are_named(index: IndexServer, here: Target, tmp_path: Path) -> None:
    config = configured(index)

    def problem(**variables: str) -> EnvfixError:
        with pytest.raises(EnvfixError) as caught:
            resolver("uv", tmp_path, config, **variables).resolve(["numb"], [], here, config, offline=False)
        return caught.value

    wrong = problem(UV_DEFAULT_INDEX="mine=nowhere")
    assert isinstance(wrong, InputError)
    assert wrong.message == "UV_DEFAULT_INDEX: expected a URL or a folder that is there, found `nowhere`"
    assert "UV_FIND_LINKS: expected" in problem(UV_FIND_LINKS="/nowhere").message
    offline = problem(UV_OFFLINE="1")
    assert isinstance(offline, IndexUnreachable)
    assert offline.message.startswith("UV_OFFLINE: ") and offline.hint == "unset UV_OFFLINE"
    assert "UV_HTTP_TIMEOUT" in problem(UV_HTTP_TIMEOUT="soon").message
    with serving() as empty:
        assert f"UV_INDEX_URL `{empty.simple}` has no project `numb`" == (
            problem(UV_INDEX_URL=empty.simple).message
        )


def test_a_cache_that_cannot_be_written_is_named(index: IndexServer, here: Target, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = configured(index)
    with pytest.raises(InputError, match=r"uv cannot write its cache `/.*/file/cache`: ") as caught:
        resolver("uv", tmp_path, config, UV_CACHE_DIR=str(tmp_path / "file/cache")).resolve(
            ["numb"], [], here, config, offline=False
        )
    assert "UV_CACHE_DIR" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "place",
    [
        {"index_url": None},
        {},
        {"no_index": True, "find_links": ("http://index.example/links",)},
        {"index_url": "file:///", "extra_index_urls": ("http://index.example/simple",)},
        {"no_index": True, "constraints": ("https://index.example/caps.txt",)},
    ],
)
def test_pip_tools_offline_refuses_whatever_needs_the_network(
    place: dict[str, object], index: IndexServer, here: Target, tmp_path: Path
) -> None:
    config = configured(index, **place)
    with pytest.raises(IndexUnreachable, match="--offline: pip-tools would read") as caught:
        resolver("pip-tools", tmp_path, config).resolve(["numb"], [], here, config, offline=True)
    assert index.asked == [] and caught.value.hint == "--resolver uv has a cache"


def test_pip_tools_offline_follows_no_link_out_of_a_folder(
    index: IndexServer, here: Target, tmp_path: Path
) -> None:
    config = PipConfig(index_url=tmp_path.as_uri())
    page = tmp_path / "numb/index.html"
    page.parent.mkdir()
    page.write_text(f'<a href="{index.url}/files/numb-3.0-py3-none-any.whl">numb-3.0-py3-none-any.whl</a>')
    with pytest.raises(EnvfixError):
        resolver("pip-tools", tmp_path, config).resolve(["numb"], [], here, config, offline=True)
    assert index.asked == []
    wheel = index.wheels["numb-3.0-py3-none-any.whl"]
    (page.parent / wheel.filename).write_bytes(wheel.data)
    page.write_text(f'<a href="{wheel.filename}#sha256={wheel.sha256}">{wheel.filename}</a>')
    found = resolver("pip-tools", tmp_path, config).resolve(["numb"], [], here, config, offline=True)
    assert found.version_of("numb") == "3.0"


def test_uv_works_offline_from_its_cache_and_says_when_it_cannot(
    index: IndexServer, here: Target, tmp_path: Path
) -> None:
    config = configured(index)
    uv = resolver("uv", tmp_path, config)
    with pytest.raises(IndexUnreachable, match="--offline"):
        uv.resolve(["flow-tensor"], [], here, config, offline=True)
    online = uv.resolve(["flow-tensor"], [], here, config, offline=False)
    asked = len(index.asked)
    assert uv.resolve(["flow-tensor"], [], here, config, offline=True) == online
    assert len(index.asked) == asked


def test_an_index_date_leaves_out_later_uploads(index: IndexServer, here: Target, tmp_path: Path) -> None:
    index.add(build_wheel("numb", "1.0", uploaded="2022-01-01T00:00:00Z"))
    config = configured(index)
    found = resolver("uv", tmp_path, config, PIP_UPLOADED_PRIOR_TO="2023-06-01T00:00:00Z").resolve(
        ["flow-tensor"], [], here, config, offline=False
    )
    assert [(one.name, one.version) for one in found.packages] == [("flow-tensor", "1.0"), ("numb", "1.0")]


def test_the_users_own_constraint_for_uv_holds_beside_ours(
    index: IndexServer, here: Target, tmp_path: Path
) -> None:
    (tmp_path / "colab.txt").write_text("numb<2\n")
    config = configured(index)
    uv = resolver("uv", tmp_path, config, UV_CONSTRAINT=str(tmp_path / "colab.txt"), UV_SYSTEM_PYTHON="true")
    found = uv.resolve(["flow-tensor"], ["flow-tensor<9"], here, config, offline=False)
    assert found.version_of("numb") == "1.5"


@BOTH
def test_a_constraint_that_has_a_part_in_a_conflict_is_named_with_its_file(
    name: str, index: IndexServer, here: Target, tmp_path: Path
) -> None:
    caps = tmp_path / "image.constraints"
    caps.write_text("# of the image\nextra-thing==0.1\nnumb\nnumb == 1.5\nnumb!=7.5\n")
    config = configured(index, constraints=(str(caps),))
    wants = ["flow-tensor", "numb>=2"]
    both = resolver(name, tmp_path, config, PIP_CONSTRAINT=str(caps))
    with pytest.raises(ResolutionFailed) as raised:
        both.resolve(wants, [], here, config, offline=False)
    assert f"`numb == 1.5` stands in the constraints file `{caps}`" in raised.value.message
    assert "extra-thing" not in raised.value.message and "`numb` stands" not in raised.value.message
    if name == "uv":  # pip names every constraint on what conflicts
        assert "7.5" not in raised.value.message
    assert raised.value.hint == "to go without constraints, begin the command with: PIP_CONSTRAINT="


def test_a_constraints_file_that_is_not_there_is_said_and_stops_nothing(
    index: IndexServer, here: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Colab's variables were: github.com/googlecolab/colabtools/issues/5237."""
    names = ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT")
    outside = Apart(tmp_path / "cache", dict.fromkeys(names, "/no/where.txt"))
    said: list[str] = []
    monkeypatch.setattr(outside, "say", said.append)
    config = configured(index)
    found = UvResolver(outside).resolve(["flow-tensor"], ["numb<2"], here, config, offline=False)
    assert found.version_of("numb") == "1.5"
    ends = "no file `/no/where.txt` is here, so it constrains nothing"
    assert said == [f"warning: {name}: {ends}" for name in names]
    assert not set(names) & uv_install_environment(outside, config).keys()


def test_beside_a_constraints_file_that_is_not_there_the_others_bind(
    index: IndexServer, here: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps = tmp_path / "caps.txt"
    caps.write_text("numb<2\n")
    names = ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT")
    outside = Apart(tmp_path / "cache", dict.fromkeys(names, f"/no/where.txt {caps}"))
    said: list[str] = []
    monkeypatch.setattr(outside, "say", said.append)
    config = configured(index)
    assert UvResolver(outside).resolve(["numb"], [], here, config, offline=False).version_of("numb") == "1.5"
    ends = "no file `/no/where.txt` is here, so it constrains nothing"
    assert said == [f"warning: {name}: {ends}" for name in names]
    assert uv_install_environment(outside, config)["UV_BUILD_CONSTRAINT"] == str(caps)


def test_uv_resolves_for_an_interpreter_that_is_not_here(index: IndexServer, tmp_path: Path) -> None:
    config = configured(index)
    index.add(build_wheel("numb", "2.6", tag="cp37-cp37m-win_amd64", requires_python=">=3.7,<3.8"))
    index.add(build_wheel("numb", "2.7", tag="cp312-cp312-manylinux_2_38_aarch64"))
    windows = structs.replace(
        TARGET, executable="", python=PythonRelease("3.7.9"), os=Os.WINDOWS, arch=Arch.X86_64, glibc=None
    )
    arm = structs.replace(TARGET, executable="", arch=Arch.AARCH64, glibc=GlibcRelease("2.39"))
    old = structs.replace(arm, glibc=GlibcRelease("2.17"))
    uv = resolver("uv", tmp_path, config)
    assert [
        uv.resolve(["numb<3"], [], target, config, offline=False).version_of("numb")
        for target in (windows, arm, old)
    ] == ["2.6", "2.7", "2.5"]


def test_pip_tools_says_that_it_needs_the_interpreter(index: IndexServer, tmp_path: Path) -> None:
    config = configured(index)
    with pytest.raises(InputError, match=r"found no Python 3\.12"):
        resolver("pip-tools", tmp_path, config).resolve(
            ["numb"], [], structs.replace(TARGET, executable=""), config, offline=False
        )


def test_pins_are_read_and_urls_refused() -> None:
    text = "# comment\nFlow.Tensor==2.0 ; python_version > '3'\nnumb==1.0+cu12  # why\n--find-links x\n"
    assert {name: str(version) for name, version in read_pins(text).items()} == {
        "flow-tensor": "2.0",
        "numb": "1.0+cu12",
    }
    with pytest.raises(ResolutionFailed, match="URL or folder"):
        read_pins("numb @ https://x.example/numb-1-py3-none-any.whl\n")
    with pytest.raises(ResolutionFailed, match="is no pin"):
        read_pins("Traceback: boom!\n")


def test_a_lock_of_uvs_without_a_file_or_hash_is_refused() -> None:
    head = 'lock-version = "1.0"\ncreated-by = "uv"\n[[packages]]\nname = "a"\nversion = "1"\n'
    wheel = (
        'wheels = [{ url = "https://u:p@x.example/a-1-cp27-none-win32.whl", hashes = { sha256 = "00" } }]\n'
    )
    with pytest.raises(ResolutionFailed, match=r"`a` 1 has no file that Python 3\.12 on linux x86_64"):
        read_resolution(head + wheel, TARGET)
    with pytest.raises(ResolutionFailed, match=r"no SHA-256 for https://\*\*\*\*@x\.example"):
        read_resolution(
            head + wheel.replace("cp27-none-win32", "py3-none-any").replace("sha256", "md5"), TARGET
        )
    with pytest.raises(ResolutionFailed, match="not valid TOML"):
        read_resolution("lock-version", TARGET)
    (package,) = read_resolution(head + wheel.replace("cp27-none-win32", "py3-none-any"), TARGET).packages
    assert package.wheels[0].url == "https://x.example/a-1-py3-none-any.whl"
    source = 'sdist = { url = "https://x.example/a-1.tar.gz", hashes = { sha256 = "00" } }\n'
    (package,) = read_resolution(head + source, TARGET).packages
    assert package.sdist is not None and package.sdist.filename == "a-1.tar.gz"


def test_tags_are_those_the_target_itself_says(here: Target) -> None:
    from packaging.tags import sys_tags

    def portable(tags: Iterable[Tag]) -> list[Tag]:
        return [tag for tag in tags if not tag.platform.startswith("linux_")]

    assert portable(target_tags(here)) == portable(sys_tags())
    assert set(target_tags(here)) == set(sys_tags())


@pytest.mark.parametrize(
    ("tag", "python", "glibc", "fits"),
    [
        ("cp312-cp312-manylinux_2_35_x86_64", "3.12.1", "2.35", True),
        ("cp312-cp312-manylinux_2_36_x86_64", "3.12.1", "2.35", False),
        ("cp39-abi3-manylinux2014_x86_64", "3.12.1", "2.17", True),
        ("cp37-cp37m-manylinux2010_x86_64", "3.7.16", "2.17", True),
        ("cp312-cp312-manylinux_2_17_aarch64", "3.12.1", "2.35", False),
        ("cp313-cp313-manylinux_2_17_x86_64", "3.12.1", "2.35", False),
        ("py2.py3-none-any", "3.8.0", "2.17", True),
        ("py3-none-manylinux1_x86_64", "3.12.1", "2.35", True),
        ("py3-none-musllinux_1_2_x86_64", "3.12.1", "2.35", False),
    ],
)
def test_a_wheel_is_taken_by_its_tags(tag: str, python: str, glibc: str, fits: bool) -> None:
    target = structs.replace(TARGET, python=PythonRelease(python), glibc=GlibcRelease(glibc))
    file = LockedFile(filename=f"a-1-{tag}.whl", url="", sha256="")
    assert bool(installable([file], target_tags(target))) is fits


def test_explanations_are_cut_to_a_few_lines() -> None:
    text = "error: No solution found when resolving dependencies\n  cause: Because a\n" + "".join(
        f"         And because {number}\n" for number in range(30)
    )
    lines = shortened(text).splitlines()
    assert lines[0] == "Because a"
    assert len(lines) == 8
    assert lines[-1].endswith("...")
    assert shortened("  \n") == "it gave no reason"
