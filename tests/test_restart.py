"""Whether the kernel holds what was changed: from transcripts of /proc/PID/maps, and from a real process."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envfix.model.machine import Platform
from envfix.model.target import Caller, Kernel
from envfix.record import paths_in
from envfix.restart.contents import contents_among
from envfix.restart.stale import HOW, Mapped, advise, parse_maps
from envfix.system.outside import RealOutside
from tests.fakes import FakeOutside

MAPS = (Path(__file__).parent / "data" / "probe" / "maps_colab_stale.txt").read_text()
SITE = "/usr/local/lib/python3.12/dist-packages"
KERNEL = Kernel(
    pid=42, python="/usr/bin/python3", command=("/usr/bin/python3", "-m", "colab_kernel_launcher")
)


def mapping(path: str) -> str:
    return f"7e5a70000000-7e5a88000000 r-xp 00000000 00:31 2231904                    {path}\n"


def kernel_with(*paths: str, **files: str) -> FakeOutside:
    return FakeOutside(files={"/proc/42/maps": "".join(map(mapping, paths)), **files})


def record(name: str, *lines: str) -> dict[str, str]:
    return {f"{SITE}/{name}.dist-info/RECORD": "".join(f"{line},sha256=abc,1\n" for line in lines)}


# -- the maps


def test_maps_list_each_file_once_with_spaces_and_deletions() -> None:
    mapped = parse_maps(MAPS)
    assert Mapped(f"{SITE}/tensorflow/libtensorflow_cc.so.2", True) in mapped
    assert Mapped(f"{SITE}/numpy/_core/_multiarch umath.so", False) in mapped
    assert [one.path for one in mapped if one.path.startswith("[")] == []
    assert len(mapped) == 5


@given(st.text())
def test_no_text_makes_the_parser_raise(text: str) -> None:
    assert all(one.path.startswith("/") for one in parse_maps(text))


# -- the advice


def test_nothing_changed_needs_no_restart() -> None:
    assert advise(FakeOutside(), KERNEL, Platform.COLAB, (), [SITE]).needed is False


def test_a_replaced_tensorflow_in_the_kernel_needs_a_restart_and_says_where() -> None:
    outside = FakeOutside(files={"/proc/42/maps": MAPS})
    advice = advise(outside, KERNEL, Platform.COLAB, ("tensorflow",), [SITE])
    assert advice.needed and advice.kernel_pid == 42
    assert advice.loaded == (f"{SITE}/tensorflow/libtensorflow_cc.so.2",)
    assert advice.reason == "1 library (tensorflow) was replaced since the kernel started"
    assert "Restart session" in advice.how


def test_a_changed_library_that_is_mapped_needs_a_restart_even_when_it_was_not_deleted() -> None:
    files = record(
        "nvidia_cudnn_cu12-9.10.2.21", "nvidia/cudnn/lib/libcudnn.so.9", "nvidia/cudnn/__init__.py"
    )
    outside = kernel_with(f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9", f"{SITE}/numpy/a.so", **files)
    advice = advise(outside, KERNEL, Platform.KAGGLE, ("nvidia-cudnn-cu12",), [SITE])
    assert advice.needed and advice.loaded == (f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9",)
    assert "nvidia/cudnn" in advice.reason and "clear cell outputs" in advice.how


def test_a_tensorflow_that_started_without_the_new_libraries_needs_a_restart() -> None:
    outside = kernel_with(f"{SITE}/tensorflow/libtensorflow_framework.so.2")
    advice = advise(outside, KERNEL, Platform.JUPYTER, ("nvidia-cublas-cu12",), [SITE])
    assert advice.needed and "only when it starts" in advice.reason and "Restart Kernel" in advice.how


def test_a_kernel_that_has_not_loaded_what_changed_needs_none() -> None:
    outside = kernel_with(
        f"{SITE}/numpy/a.so", "/usr/lib/libc.so.6", **record("h5py-3.1", "h5py/defs.so", "h5py/__init__.py")
    )
    advice = advise(outside, KERNEL, Platform.COLAB, ("tensorflow", "nvidia-cublas-cu12", "h5py"), [SITE])
    assert not advice.needed and advice.how == "" and "none of the changed" in advice.reason


KERAS = record("keras-3.11", "keras/__init__.py", "keras/src/__init__.py", "../../bin/k")
PROTOBUF = record("protobuf-6.33", "google/protobuf/__init__.py", "google/protobuf/pyext/__init__.py")
SIX = record("six-1.17.0", "six.py", "six-1.17.0.dist-info/WHEEL")


def test_plain_python_that_was_replaced_is_named_because_nobody_can_see_it_from_outside() -> None:
    outside = kernel_with(f"{SITE}/numpy/a.so", **KERAS, **PROTOBUF, **SIX)
    changed = ("keras", "protobuf", "six", "termcolor")
    advice = advise(outside, KERNEL, Platform.COLAB, changed, [SITE], added=("six",))
    assert advice.needed is None and advice.kernel_pid == 42
    assert advice.if_imported == ("google.protobuf", "keras")
    assert "cannot be seen from outside" in advice.reason and "Restart session" in advice.how


def test_plain_python_that_was_only_added_needs_no_restart() -> None:
    outside = kernel_with(f"{SITE}/numpy/a.so", **KERAS)
    advice = advise(outside, KERNEL, Platform.COLAB, ("keras",), [SITE], added=("keras",))
    assert advice.needed is False and advice.if_imported == ()


def test_a_changed_library_that_is_seen_outweighs_what_cannot_be_seen() -> None:
    outside = kernel_with(
        f"{SITE}/numpy/a.so", **KERAS, **record("numpy-2.1", "numpy/a.so", "numpy/__init__.py")
    )
    advice = advise(outside, KERNEL, Platform.COLAB, ("keras", "numpy"), [SITE])
    assert advice.needed is True and advice.if_imported == ()


@pytest.mark.parametrize(
    ("lines", "libraries", "imports"),
    [
        ('"a,b/__init__.py",sha256=x,1\n"a,b.so",,', {"a,b.so"}, ("a,b",)),
        ("ns/one/__init__.py,,\nns/one/two/__init__.py,,\nns/c.so.9,,", {"ns/c.so.9"}, ("ns.one",)),
        ("_hidden.py,,\nplain.py,,\nx.sofa,,\n../../../bin/tool,,\n/etc/x.py,,", set(), ("plain",)),
        ("", set(), ()),
    ],
)
def test_a_record_lists_libraries_and_the_topmost_names(
    lines: str, libraries: set[str], imports: tuple[str, ...]
) -> None:
    assert contents_among(paths_in(lines)) == (frozenset(libraries), imports)


@given(st.text())
def test_no_record_makes_the_parser_raise(text: str) -> None:
    contents_among(paths_in(text))


def test_a_distribution_without_a_record_is_taken_by_its_name() -> None:
    outside = kernel_with(f"{SITE}/numpy/a.so")
    outside.files[f"{SITE}/Google_Pasta-0.2.dist-info/METADATA"] = ""
    assert advise(outside, KERNEL, Platform.COLAB, ("google-pasta",), [SITE]).if_imported == ("google_pasta",)


def test_a_hook_that_the_kernel_started_without_needs_a_restart() -> None:
    outside = kernel_with(f"{SITE}/numpy/a.so")
    advice = advise(outside, KERNEL, Platform.COLAB, ("envfix-loader",), [SITE])
    assert advice.needed and "started before envfix-loader" in advice.reason and advice.how


def test_another_environment_than_the_kernels_needs_none() -> None:
    outside = kernel_with(f"{SITE}/tensorflow/libtensorflow_cc.so.2")
    advice = advise(
        outside, KERNEL, Platform.COLAB, ("tensorflow",), ["/content/demo/lib/python3.12/site-packages"]
    )
    assert not advice.needed and "not the environment that was changed" in advice.reason


def test_the_kernels_files_are_known_by_their_real_paths() -> None:
    outside = kernel_with("/real/lib/python3.12/site-packages/tensorflow/a.so (deleted)")
    outside.links["/env"] = "/real"
    kernel = Kernel(pid=42, python="/env/bin/python", command=())
    advice = advise(outside, kernel, Platform.JUPYTER, ("tensorflow",), ["/env/lib/python3.12/site-packages"])
    assert advice.needed


def test_a_kernel_that_may_not_be_looked_into_is_advised_to_restart() -> None:
    outside = FakeOutside(files={"/proc/42/maps": PermissionError(13, "Permission denied")})
    advice = advise(outside, KERNEL, Platform.SAGEMAKER, ("tensorflow",), [SITE])
    assert advice.needed and "Permission denied" in advice.reason and advice.how


def test_a_kernel_that_has_ended_needs_none() -> None:
    advice = advise(FakeOutside(), KERNEL, Platform.COLAB, ("tensorflow",), [SITE])
    assert not advice.needed and "ended" in advice.reason


@pytest.mark.parametrize(
    ("platform", "needed"),
    [
        (Platform.COLAB, True),
        (Platform.KAGGLE, True),
        (Platform.JUPYTER, True),
        (Platform.TERMINAL, False),
        (Platform.CI, False),
    ],
)
def test_without_a_kernel_a_terminal_needs_nothing_and_a_notebook_a_restart(
    platform: Platform, needed: bool
) -> None:
    advice = advise(FakeOutside(), None, platform, ("tensorflow",), [SITE])
    assert advice.needed is needed and bool(advice.how) is needed


@pytest.mark.parametrize("platform", [Platform.COLAB, Platform.KAGGLE, Platform.JUPYTER, Platform.VSCODE])
def test_every_front_end_is_told_its_own_words(platform: Platform) -> None:
    outside = kernel_with(f"{SITE}/tensorflow/a.so (deleted)")
    assert advise(outside, KERNEL, platform, ("tensorflow",), [SITE]).how == HOW[platform]


def test_a_real_process_that_maps_a_replaced_file(tmp_path: Path) -> None:
    site = tmp_path / "env" / "lib" / "python3" / "site-packages"
    library = site / "tensorflow" / "libtensorflow_cc.so.2"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"\x7fELF" + bytes(mmap.PAGESIZE))
    code = (
        "import mmap, sys\n"
        f"file = open({str(library)!r}, 'rb')\n"
        "held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        kernel = Kernel(pid=child.pid, python=str(tmp_path / "env/bin/python"), command=())
        outside = RealOutside(quiet=True)
        before = advise(outside, kernel, Platform.JUPYTER, ("h5py",), [str(site)])
        assert not before.needed
        library.unlink()
        library.write_bytes(b"\x7fELF new")
        after = advise(outside, kernel, Platform.JUPYTER, ("tensorflow",), [str(site)])
        assert after.needed and after.loaded == (str(library),)
    finally:
        child.communicate(timeout=10)
    assert not advise(outside, kernel, Platform.JUPYTER, ("tensorflow",), [str(site)]).needed


@pytest.mark.parametrize(
    ("imported", "changed", "needed", "reason"),
    [
        ({"sys"}, ("keras",), False, "the kernel has imported nothing that was changed"),
        ({"keras", "keras.layers"}, ("keras",), True, "imported in the kernel and changed: keras"),
        ({"sys"}, ("envfix-loader",), False, "the kernel has imported nothing that was changed"),
        ({"tensorflow"}, ("envfix-loader",), True, "TensorFlow was imported before envfix-loader"),
    ],
)
def test_a_caller_that_says_what_it_has_imported_is_not_guessed_about(
    imported: set[str], changed: tuple[str, ...], needed: bool, reason: str
) -> None:
    outside = kernel_with(f"{SITE}/numpy/x.so", **record("keras-3.0.0", "keras/__init__.py"))
    caller = Caller(pid=42, python=KERNEL.python, imported=frozenset(imported))
    for kernel in (KERNEL, None):
        advice = advise(outside, kernel, Platform.COLAB, changed, [SITE], caller=caller)
        assert advice.needed is needed and advice.reason.startswith(reason)
    # Of another process than the kernel it says nothing.
    other = Caller(pid=43, python=KERNEL.python, imported=frozenset(imported))
    guessed = advise(outside, KERNEL, Platform.COLAB, changed, [SITE], caller=other)
    assert guessed == advise(outside, KERNEL, Platform.COLAB, changed, [SITE])
