"""`--tf` as people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from envfix.errors import InputError
from envfix.matrix.tf_request import nearest_releases, parse_tf

RELEASES = [
    Version(text) for text in ("2.15.0", "2.15.0.post1", "2.16.1", "2.16.2", "2.19.1", "2.20.0", "2.21.0")
]


def allowed(text: str) -> list[str]:
    specifier = parse_tf(text).specifier
    return [str(version) for version in RELEASES if specifier.contains(version, prereleases=True)]


@pytest.mark.parametrize(
    ("text", "releases"),
    [
        ("2.20.*", ["2.20.0"]),
        ("2.16", ["2.16.1", "2.16.2"]),
        ("2.16.1", ["2.16.1"]),
        ("2.15.0.post1", ["2.15.0.post1"]),
        ("2", [str(version) for version in RELEASES]),
        ("==2.20.0", ["2.20.0"]),
        (">=2.16,<2.20", ["2.16.1", "2.16.2", "2.19.1"]),
        (" >=2.20 ", ["2.20.0", "2.21.0"]),
        ("tensorflow", [str(version) for version in RELEASES]),
        ("tensorflow==2.15", ["2.15.0"]),
        ("tensorflow==2.15.*", ["2.15.0", "2.15.0.post1"]),
        ("tensorflow[and-cuda]==2.19.1", ["2.19.1"]),
        ("TensorFlow[and-cuda] >= 2.20", ["2.20.0", "2.21.0"]),
        ("tensorflow-gpu==2.16.1", ["2.16.1"]),
        ("tensorflow_cpu~=2.16.1", ["2.16.1", "2.16.2"]),
        ("9.9", []),
    ],
)
def test_a_request_allows_these_releases(text: str, releases: list[str]) -> None:
    assert allowed(text) == releases


def test_the_text_is_kept_as_it_was_asked_for() -> None:
    request = parse_tf(" 2.20.* ")
    assert (request.text, request.given, request.note) == ("2.20.*", True, "")


def test_tensorflow_gpu_is_translated_and_explained_in_one_line() -> None:
    note = parse_tf("tensorflow-gpu==2.10.0").note
    assert note.startswith("`tensorflow-gpu==2.10.0` is taken as `tensorflow==2.10.0`: the old name ended")
    assert "\n" not in note
    assert "CPU build" in parse_tf("tensorflow-cpu==2.10.0").note
    assert parse_tf("tensorflow==2.10.0").note == ""


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "names nothing", "leave `--tf` out"),
        (" ", "names nothing", "leave `--tf` out"),
        ("latest", "`--tf latest` is no release", "leave `--tf` out"),
        ("Newest", "`--tf Newest` is no release", "`--upgrade`"),
        ("None", "`--tf None` is no release of tensorflow", "2.20.*"),
        ("torch==2.6", "takes releases of tensorflow, found `torch`", "`--with torch==2.6`"),
        ("keras>=3", "found `keras`", "`--with 'keras>=3'`"),
        ("tf-nightly", "nightly builds are not in the matrix", "2.20.*"),
        ("tf_nightly_gpu==2.20.0.dev20250101", "nightly builds", "2.20.*"),
        ("tensorflow-macos==2.12.0", "not its build `tensorflow-macos`", "2.20.*"),
        ("=2.20", "`--tf =2.20` is no version specifier", "`==2.20`"),
        ("v2.20.0", "no version specifier", "`==2.20.0`"),
        (">>2.20", "no version specifier", "2.20.*"),
        ("2.20.", "no version specifier", "2.20.*"),
        ("tensorflow 2.20", "is neither a release nor a requirement", "`tensorflow==2.20`?"),
        ("tensorflow=2.20", "is neither a release nor a requirement", "2.20.*"),
        ("tensorflow==2.20; python_version<'3.9'", "marker", "2.20.*"),
        ("tensorflow @ https://files.example/t.whl", "URL", "2.20.*"),
    ],
)
def test_what_does_not_parse_is_refused_with_a_hint(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_tf(text)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("2.16.9", ["2.16.1", "2.16.2"]),
        ("==2.17.*", ["2.16.1", "2.16.2", "2.19.1"]),
        ("2.0.0", ["2.15.0"]),
        ("9.9", ["2.20.0", "2.21.0"]),
        ("tensorflow-gpu==2.18.0", ["2.16.1", "2.16.2", "2.19.1"]),
    ],
)
def test_the_nearest_releases_are_named(text: str, named: list[str]) -> None:
    assert [str(version) for version in nearest_releases(parse_tf(text), RELEASES)] == named


@given(st.text(max_size=40))
def test_any_text_is_a_request_or_one_clear_sentence(text: str) -> None:
    try:
        request = parse_tf(text)
    except InputError as problem:
        assert problem.message and "\n" not in problem.message
    else:
        assert request.given


@given(st.lists(st.integers(0, 30), min_size=3, max_size=3))
def test_a_whole_release_number_allows_exactly_itself(parts: list[int]) -> None:
    text = ".".join(map(str, parts))
    specifier = parse_tf(text).specifier
    assert specifier.contains(text)
    assert not specifier.contains(f"{text}.post1") and not specifier.contains(
        ".".join(map(str, [*parts[:2], 31]))
    )
