"""pip's configuration is read as pip reads it; pip itself is asked in the last test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envfix.errors import InputError
from envfix.installers import pip_environment, uv_environment, uv_settings
from envfix.model.target import PipConfig
from envfix.model.urls import redact, without_credentials
from envfix.resolve.pip_config import read_pip_config
from envfix.resolve.places import file_place, index_place, links_place
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside

HOME = {"HOME": "/home/me"}


def test_without_files_and_variables_nothing_is_configured() -> None:
    assert read_pip_config(FakeOutside(environ=HOME), None) == PipConfig()


def test_later_files_override_earlier_ones_and_lists_are_replaced() -> None:
    files = {
        "/etc/xdg/pip/pip.conf": "[global]\nindex-url = https://xdg.example/simple\ncert = /xdg.pem\n",
        "/etc/pip.conf": (
            "[global]\nindex-url = https://etc.example/simple\n"
            "extra-index-url =\n  https://a.example\n  https://b.example\n"
        ),
        "/home/me/.pip/pip.conf": "[global]\nproxy = legacy:1\nextra-index-url = https://c.example\n",
        "/home/me/.config/pip/pip.conf": "[global]\nproxy = new:2\n",
        "/venv/pip.conf": "[global]\ntimeout = 7\n",
        "/xdg.pem": "",
    }
    config = read_pip_config(FakeOutside(files, environ=HOME), "/venv")
    assert config.index_url == "https://etc.example/simple"
    assert config.extra_index_urls == ("https://c.example",)
    assert (config.cert, config.proxy, config.timeout) == ("/xdg.pem", "new:2", 7.0)


def test_the_install_section_wins_over_global_of_a_later_file() -> None:
    files = {
        "/etc/pip.conf": (
            "[install]\nindex-url = https://install.example\nno_index = yes\n[list]\ncert = /no.pem\n"
        ),
        "/home/me/.config/pip/pip.conf": "[global]\nindex-url = https://global.example\n",
    }
    config = read_pip_config(FakeOutside(files, environ=HOME), None)
    assert (config.index_url, config.no_index, config.cert) == ("https://install.example", True, None)


def test_variables_win_over_files_and_empty_ones_do_not_count() -> None:
    files = {"/etc/pip.conf": "[global]\ntimeout = 3\nfind-links = /opt/wheels\n", "/opt/wheels/a.whl": ""}
    environ = {
        **HOME,
        "PIP_DEFAULT_TIMEOUT": "180",
        "PIP_FIND_LINKS": "",
        "PIP_TRUSTED_HOST": "a.example b.example:8080",
    }
    config = read_pip_config(FakeOutside(files, environ=environ), None)
    assert config.timeout == 180.0
    assert config.find_links == ("/opt/wheels",)
    assert config.trusted_hosts == ("a.example", "b.example:8080")


def test_a_named_file_comes_first_and_replaces_the_users() -> None:
    files = {
        "/own.conf": "[global]\nindex-url = https://own.example\nproxy = own:1\n",
        "/etc/pip.conf": "[global]\nindex-url = https://etc.example\n",
        "/home/me/.config/pip/pip.conf": "[global]\nproxy = user:1\n",
    }
    config = read_pip_config(FakeOutside(files, environ={**HOME, "PIP_CONFIG_FILE": "/own.conf"}), None)
    assert (config.index_url, config.proxy) == ("https://etc.example", "own:1")


def test_the_null_device_switches_every_file_off_but_no_variable() -> None:
    files = {"/etc/pip.conf": "[global]\nindex-url = https://etc.example\n"}
    environ = {**HOME, "PIP_CONFIG_FILE": os.devnull, "PIP_PROXY": "p:1"}
    assert read_pip_config(FakeOutside(files, environ=environ), None) == PipConfig(proxy="p:1")


def test_xdg_folders_are_honoured() -> None:
    files = {
        "/x/pip/pip.conf": "[global]\ncert = /x.pem\n",
        "/y/pip/pip.conf": "[global]\nproxy = y:1\n",
        "/x.pem": "",
    }
    environ = {**HOME, "XDG_CONFIG_DIRS": "/nowhere:/x", "XDG_CONFIG_HOME": "/y"}
    config = read_pip_config(FakeOutside(files, environ=environ), None)
    assert (config.cert, config.proxy) == ("/x.pem", "y:1")


def test_paths_are_made_absolute_and_urls_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        **HOME,
        "PIP_FIND_LINKS": "wheels file:///w https://links.example/x",
        "PIP_CONSTRAINT": "caps.txt",
    }
    files = {f"{tmp_path}/wheels/a.whl": "", "/w/b.whl": "", f"{tmp_path}/caps.txt": ""}
    config = read_pip_config(FakeOutside(files, environ=environ), None)
    assert config.find_links == (f"{tmp_path}/wheels", "file:///w", "https://links.example/x")
    assert config.constraints == (f"{tmp_path}/caps.txt",)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("index-url = x\n", "/etc/pip.conf:1: "),
        ("[global]\nindex-url = x\nnonsense\n", "/etc/pip.conf:3: "),
        ("[global]\ncert = a\ncert = b\n", "/etc/pip.conf:3: "),
        ("[global]\n[global]\n", "/etc/pip.conf:2: "),
        ("[global]\ntimeout = soon\n", "/etc/pip.conf: [global] timeout: "),
        ("[install]\nno-index = perhaps\n", "/etc/pip.conf: [install] no-index: "),
    ],
)
def test_a_malformed_file_is_named_with_its_line(text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        read_pip_config(FakeOutside({"/etc/pip.conf": text}, environ=HOME), None)
    assert caught.value.message.startswith(place)
    assert caught.value.exit_code == 2


def test_an_unreadable_file_is_named() -> None:
    outside = FakeOutside({"/etc/pip.conf": PermissionError(13, "Permission denied")}, environ=HOME)
    with pytest.raises(InputError, match=r"/etc/pip\.conf: .*Permission denied"):
        read_pip_config(outside, None)


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("PIP_INDEX_URL", "notaurl", "a URL or a folder that is there, found `notaurl`"),
        ("PIP_INDEX_URL", "file:///nowhere", "a folder that is there, found `file:///nowhere`"),
        ("PIP_INDEX_URL", "ftp://me:s3cr3t@h/x", "a URL of http, https or file, found `ftp://****@h/x`"),
        ("PIP_INDEX_URL", "http://h:port/x", "a URL with a host, and a number where it has a port"),
        ("PIP_INDEX_URL", "http:///simple", "a URL with a host"),
        ("PIP_INDEX_URL", "http://[::1/simple", "a URL with a host"),
        ("PIP_INDEX_URL", "me:s3cr3t@index.example/simple", "found `****@index.example/simple`"),
        ("PIP_PYPI_URL", "notaurl", "a URL or a folder"),
        ("PIP_EXTRA_INDEX_URL", "https://index.example/simple /nowhere", "found `/nowhere`"),
        ("PIP_FIND_LINKS", "/nowhere", "a URL, or a folder or file that is there, found `/nowhere`"),
        ("PIP_FIND_LINKS", "file:///nowhere", "a folder or file that is there, found `file:///nowhere`"),
        ("PIP_CONSTRAINT", "/nowhere/caps.txt", "a file that is there, found `/nowhere/caps.txt`"),
        ("PIP_CERT", "/nowhere.pem", "a file that is there, found `/nowhere.pem`"),
        ("PIP_CLIENT_CERT", "/nowhere.pem", "a file that is there"),
    ],
)
def test_a_place_that_cannot_be_asked_is_refused_by_name(variable: str, value: str, wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        read_pip_config(FakeOutside(environ={**HOME, variable: value}), None)
    assert caught.value.message.startswith(f"{variable}: expected ") and wanted in caught.value.message
    assert "s3cr3t" not in caught.value.message
    assert caught.value.hint == f"unset {variable}"


def test_a_place_in_a_file_is_named_with_the_file_and_the_section() -> None:
    files = {"/etc/pip.conf": "[install]\nextra-index-url = file:///nowhere\n"}
    with pytest.raises(InputError) as caught:
        read_pip_config(FakeOutside(files, environ=HOME), None)
    assert caught.value.message.startswith("/etc/pip.conf: [install] extra-index-url: expected a folder")
    assert "PIP_EXTRA_INDEX_URL" in (caught.value.hint or "")


def test_a_folder_is_an_index_with_and_without_a_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = FakeOutside(
        {f"{tmp_path}/my simple/tensorflow/index.html": ""},
        environ={
            **HOME,
            "PIP_INDEX_URL": "my simple",
            "PIP_EXTRA_INDEX_URL": f"file://{tmp_path}/my%20simple",
        },
    )
    config = read_pip_config(there, None)
    assert config.index_url == f"file://{tmp_path}/my%20simple" == config.extra_index_urls[0]


@given(st.text(max_size=60))
def test_any_place_is_taken_or_an_input_error(text: str) -> None:
    for check in (index_place, links_place, file_place):
        try:
            check(FakeOutside(), "PIP_INDEX_URL", text)
        except InputError as problem:
            assert problem.message.startswith("PIP_INDEX_URL: expected ")


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_an_input_error(text: str) -> None:
    try:
        read_pip_config(FakeOutside({"/etc/pip.conf": text}, environ=HOME), None)
    except InputError as problem:
        assert problem.message.startswith("/etc/pip.conf")


def test_credentials_never_show() -> None:
    url = "https://me:s3cr3t@index.example/simple/"
    assert redact(f"failed: {url} and http://tok@en@x.example") == (
        "failed: https://****@index.example/simple/ and http://****@x.example"
    )
    assert without_credentials(url) == "https://index.example/simple/"
    assert redact("https://index.example/a@b") == "https://index.example/a@b"


def test_what_the_user_tells_uv_itself_wins() -> None:
    config = PipConfig(
        index_url="https://pip.example", extra_index_urls=("https://b.example",), cert="/c.pem", timeout=9.6
    )
    env = uv_environment(
        {"UV_DEFAULT_INDEX": "https://uv.example", "UV_EXTRA_INDEX_URL": "https://a.example"}, config
    )
    assert "UV_INDEX_URL" not in env
    assert env["UV_EXTRA_INDEX_URL"] == "https://a.example https://b.example"
    assert env["SSL_CERT_FILE"] == "/c.pem"
    assert env["UV_HTTP_TIMEOUT"] == "10"
    assert env["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert "UV_SYSTEM_PYTHON" not in uv_environment({"UV_SYSTEM_PYTHON": "true"}, config)
    # uv takes a version from the first index that has it, so the main one is asked before the extra ones.
    alone = uv_environment({}, config)
    assert (alone["UV_EXTRA_INDEX_URL"], alone["UV_DEFAULT_INDEX"]) == (
        "https://pip.example",
        "https://b.example",
    )
    assert (
        uv_environment({}, PipConfig(index_url="https://pip.example"))["UV_INDEX_URL"]
        == "https://pip.example"
    )


def test_the_users_index_for_uv_stays_the_main_one_beside_pips_extra_ones() -> None:
    config = PipConfig(index_url="https://pip.example", extra_index_urls=("https://b.example",))
    env = uv_environment({"UV_INDEX_URL": "https://uv.example"}, config)
    assert env["UV_EXTRA_INDEX_URL"].split()[0] == "https://uv.example"
    assert "https://pip.example" not in env.values()


def test_paths_in_uvs_variables_mean_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "UV_CACHE_DIR": "cache dir",
        "UV_FIND_LINKS": "wheels,https://links.example/a",
        "UV_INDEX": "mine=./simple https://index.example/?a=b",
        "UV_DEFAULT_INDEX": "simple",
    }
    env = uv_environment(environ, PipConfig())
    assert env["UV_CACHE_DIR"] == f"{tmp_path}/cache dir"
    assert env["UV_FIND_LINKS"] == f"{tmp_path}/wheels,https://links.example/a"
    assert env["UV_INDEX"] == f"mine={tmp_path}/simple https://index.example/?a=b"
    assert env["UV_DEFAULT_INDEX"] == f"{tmp_path}/simple"
    assert list(uv_settings(environ, "UV_INDEX", "UV_DEFAULT_INDEX")) == [
        ("UV_INDEX", "./simple"),
        ("UV_INDEX", "https://index.example/?a=b"),
        ("UV_DEFAULT_INDEX", "simple"),
    ]


def test_pip_reads_the_same_from_the_same_place(tmp_path: Path) -> None:
    """Our reading against pip's own, over files in every place; and what is handed to pip means the same."""
    home, xdg = tmp_path / "home", tmp_path / "xdg"
    for path, text in {
        xdg / "pip/pip.conf": "[global]\nindex-url = https://xdg.example\ntimeout = 5\n",
        home / ".pip/pip.conf": "[global]\nextra-index-url = https://legacy.example\nproxy = legacy:1\n",
        home / ".config/pip/pip.conf": "[install]\nextra-index-url = https://a.example https://b.example\n",
    }.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "XDG_"))}
    environ |= {
        "HOME": str(home),
        "XDG_CONFIG_DIRS": str(xdg),
        "PIP_PROXY": "variable:2",
        "PIP_NO_INDEX": "true",
    }

    class Here(RealOutside):
        @property
        def environ(self) -> dict[str, str]:  # type: ignore[override]
            return environ

    ours = read_pip_config(Here(), sys.prefix)
    fields = ("index_url", "extra_index_urls", "proxy", "no_index", "timeout", "cert", "find_links")
    program = (
        "from pip._internal.commands import create_command\n"
        "o, _ = create_command('install').parse_args([])\n"
        "print([o.index_url, o.extra_index_urls, o.proxy, bool(o.no_index), o.timeout, o.cert, o.find_links])"
    )

    def pips(env: dict[str, str]) -> str:
        return subprocess.run(
            [sys.executable, "-c", program], env=env, text=True, capture_output=True, check=True
        ).stdout

    wanted = [getattr(ours, field) for field in fields]
    as_pip = [list(one) if isinstance(one, tuple) else one for one in wanted]
    assert pips(environ).strip() == repr(as_pip)
    assert pips(pip_environment(environ, ours)).strip() == repr(as_pip)
