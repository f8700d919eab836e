"""Every parser of what others write returns a value or raises one of envfix's errors, and soon.

`ENVFIX_FUZZ=5000 pytest tests/test_fuzz.py` looks longer. What it finds becomes a case of its own in the
tests of that parser, or an example below.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from envfix.errors import EnvfixError
from envfix.explanation import why_failed
from envfix.lock.pylock import read_pylock
from envfix.matrix.build_info import parse_build_info
from envfix.matrix.metadata import read_requirements
from envfix.matrix.page import read_page, releases_on
from envfix.model.filenames import wheel_name
from envfix.model.request import Accelerator
from envfix.model.target import PipConfig
from envfix.model.versions import PythonRelease
from envfix.ports import Ran
from envfix.probe import cpu, cudnn, kernel, kernel_module, nvidia_smi, session, toolkit
from envfix.probe.driver_api import read_driver_api
from envfix.probe.interpreter import read_target
from envfix.probe.loader_cache import parse_loader_cache
from envfix.probe.machine_file import load_machine
from envfix.probe.nvml import read_nvml
from envfix.record import recorded, recorded_files
from envfix.resolve import pip_tools_failure, uv_failure
from envfix.resolve.pip_config import read_pip_config
from envfix.resolve.uv import read_resolution
from envfix.system.index import RealIndex
from envfix.verify import checks
from tests.fakes import FakeOutside
from tests.index_server import build_wheel
from tests.test_hostile_files import TEXT as LOCK_TEXT
from tests.values import TARGET as HERE

DATA = Path(__file__).parent / "data"
EXAMPLES = int(os.environ.get("ENVFIX_FUZZ", "25"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LIMIT = 10.0  # seconds for one text of some kilobytes, on a machine that does other things too
HOSTILE = (
    "\0",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "9" * 5000,
    "[" * 500,
    "(" * 3000,
    "{",
    '"',
    "\n",
    "\r",
    "\t",
    ",",
    ";",
    "../",
    "/",
    "\\",
    "-",
    "*",
    "&a",
    "!!x",
    "NaN",
    "1e999",
    "null",
    "²",
    "٣",
    "%s",
    "file:///etc/passwd",
    "http://[::1",
    "a" * 5000,
    " " * 5000,
    "1." * 3000,
)


@st.composite
def mangled(draw: st.DrawFn, *seeds: str) -> str:
    """A text that is right but for a few places."""
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from((0, 1, 2, 5, 20, 200)))
        put = draw(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=5), st.sampled_from(seeds)))
        text = text[:start] + put + text[start + length :]
    return text


def texts(*seeds: str) -> st.SearchStrategy[str]:
    return st.one_of(mangled(*seeds), st.text(max_size=60))


def holds(read: Callable[[], object]) -> None:
    """The property."""
    began = time.monotonic()
    with contextlib.suppress(EnvfixError):
        read()
    assert time.monotonic() - began < LIMIT


def samples(pattern: str) -> list[str]:
    found = [
        path.read_text(errors="replace")
        for path in sorted(DATA.glob(pattern))
        if path.stat().st_size < 20_000
    ]
    assert found, pattern
    return found


MACHINES = [
    'name: x\ndriver: {release: 550.54.15, cuda: "12.4"}\ngpus: [{name: T4, memory_mib: 1, '
    'compute_capability: "7.5"}]\npython: "3.12"\ninstalled: {numpy: 2.0.2}\nwsl: false\n',
    '{"gpus": [{"memory_mib": 15360}], "driver": null, "os": "linux"}',
    '{"envfix": 1, "command": "probe", "data": {"name": "x"}}',
]


@given(texts(*MACHINES), st.sampled_from(("m.yaml", "m.json", "m")))
@fuzzed
def test_machine_files(text: str, name: str) -> None:
    outside = FakeOutside(files={f"/{name}": text.encode("utf-8", "surrogatepass")})
    holds(lambda: load_machine(outside, f"/{name}", "/none"))


@given(texts(LOCK_TEXT))
@fuzzed
def test_locks(text: str) -> None:
    holds(lambda: read_pylock(text, "lock"))
    holds(lambda: read_resolution(text, HERE))


PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "query": (nvidia_smi.parse_query, "probe/query_*.csv"),
    "table": (nvidia_smi.parse_table, "probe/smi_*.txt"),
    "ldconfig": (parse_loader_cache, "probe/ldconfig_*.txt"),
    "cgroup": (session.parse_cgroup, "probe/cgroup_*.txt"),
    "version.json": (toolkit.parse_version_json, "probe/version_*.json"),
    "nvcc": (toolkit.parse_nvcc, "probe/nvcc_*.txt"),
    "cudnn": (cudnn.parse_header, "probe/cudnn_version_*.h"),
    "stat": (kernel.parse_stat, "probe/cgroup_*.txt"),
    "cmdline": (kernel.parse_cmdline, "probe/cgroup_*.txt"),
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@fuzzed
def test_what_the_system_prints(name: str, data: st.DataObject) -> None:
    parse, pattern = PARSERS[name]
    text = data.draw(texts(*samples(pattern)))
    holds(lambda: parse(text))


@given(texts(*samples("probe/cpuinfo_*.txt")), texts(*samples("probe/nvrm_*.txt")), texts("550.54.15\n"))
@fuzzed
def test_files_of_proc_and_sys(cpuinfo: str, nvrm: str, release: str) -> None:
    outside = FakeOutside(
        files={
            "/proc/cpuinfo": cpuinfo.encode("utf-8", "surrogatepass"),
            "/proc/driver/nvidia/version": nvrm.encode("utf-8", "surrogatepass"),
            "/sys/module/nvidia/version": release.encode("utf-8", "surrogatepass"),
        }
    )
    holds(lambda: cpu.read_cpu(outside))
    holds(lambda: kernel_module.read_proc_version(outside))
    holds(lambda: kernel_module.read_sys_version(outside))


KEYS = (
    "status",
    "gpus",
    "cuda",
    "name",
    "init",
    "count",
    "code",
    "capability",
    "memory",
    "release",
    "missed",
)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=4), st.sampled_from(KEYS)),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@given(ANY, st.sampled_from(("ok", "error", "not-loaded", None)))
@fuzzed
def test_what_the_probes_children_answer(answer: Any, status: str | None) -> None:
    value = {**answer, "status": status} if isinstance(answer, dict) and status else answer
    for read, mark in ((read_nvml, "envfix-nvml:"), (read_driver_api, "envfix-driver-api:")):
        ran = Ran(("python",), 0, f"noise\n{mark}{json.dumps(value)}\n", "")
        outside = FakeOutside(answers={"python": ran})
        holds(lambda read=read, outside=outside: read(outside, 1.0, "/usr/bin/python"))  # type: ignore[misc]


TARGET = {
    "python": "3.11.7",
    "executable": "/p",
    "implementation": "cpython",
    "system": "linux",
    "machine": "x86_64",
    "glibc": "2.35",
    "prefix": "/",
    "base_prefix": "/",
    "purelib": "/s",
    "platlib": "/s",
    "virtual": True,
    "externally_managed": "",
    "installed": [["numpy", "1.0", ["x>1"], "/s", "pip"]],
}


@given(texts(json.dumps(TARGET)), st.sampled_from(sorted(TARGET)), ANY)
@fuzzed
@example(json.dumps(TARGET), "installed", None)
@example(json.dumps(TARGET), "python", "3")
def test_what_an_interpreter_answers(text: str, key: str, value: Any) -> None:
    for line in (text.replace("\n", " "), json.dumps({**TARGET, key: value})):
        outside = FakeOutside(
            files={"/usr/bin/python": ""},
            answers={"python": Ran(("p",), 0, f"envfix-interpreter:{line}\n", "")},
        )
        holds(lambda outside=outside: read_target(outside, "/usr/bin/python"))  # type: ignore[misc]


METADATA = (
    "Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.20.0\nRequires-Dist: absl-py>=1.0.0\n"
    'Requires-Dist: nvidia-cudnn-cu12<10.0,>=9.3; extra == "and-cuda"\n\nLong description\n'
)


@given(texts(METADATA), texts(METADATA))
@fuzzed
@example("Requires-Dist: a; " + "(" * 4000 + 'os_name == "x"' + ")" * 4000, METADATA)
@example("Requires-Dist: a==" + "9" * 5000, METADATA)
def test_metadata(one: str, two: str) -> None:
    holds(lambda: read_requirements({PythonRelease("3.11"): one, PythonRelease("3.12"): two}))


@given(texts("build_info = dict([('cuda_version', '12.5.1'), ('is_cuda_build', True)])\n"))
@fuzzed
def test_build_info(text: str) -> None:
    with contextlib.suppress(ValueError):  # its caller adds the file's name
        holds(lambda: parse_build_info(text))


@given(texts("a/b.py,sha256=abc,12\na/RECORD,,\n", '"a,b",,3\n'))
@fuzzed
@example("a,b," + "9" * 5000)
def test_records(text: str) -> None:
    outside = FakeOutside(files={"/i/RECORD": text.encode("utf-8", "surrogatepass")})
    holds(lambda: recorded(outside, "/i"))
    holds(lambda: recorded_files(outside, "/i"))


@given(
    texts(
        "tensorflow-2.20.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-1-2b-py3-none-any.whl",
    )
)
@fuzzed
@example("a-1-" + ".".join(["a"] * 80) + "-" + ".".join(["b"] * 80) + "-" + ".".join(["c"] * 80) + ".whl")
def test_names_of_wheels(name: str) -> None:
    holds(lambda: wheel_name(name))


@given(
    texts(
        "[global]\nindex-url = https://u:p@index.example/simple\nfind-links = /tmp\n[install]\ntimeout = 3\n"
    )
)
@fuzzed
def test_pip_configuration(text: str) -> None:
    outside = FakeOutside(
        files={"/etc/pip.conf": text.encode("utf-8", "surrogatepass"), "/tmp/a.whl": ""},
        environ={"HOME": "/home/me"},
    )
    holds(lambda: read_pip_config(outside, None))


WORDS = (
    "error: Request failed after 3 retries\n  Caused by: Failed to fetch: `https://u:s3cr3t@index.example/x/`\n"
    "  Caused by: HTTP status client error (401 Unauthorized) for url (https://u:s3cr3t@index.example/x)\n",
    "  x No solution found when resolving dependencies:\n  `-> Because a==1 depends on b>2 and ...\n",
    "ERROR: Cannot install a==1 and b==2 because these have conflicting dependencies.\n",
    "ERROR: HTTP error 404 while getting https://index.example/a?token=s3cr3t\n",
    "Could not load dynamic library 'libcudnn.so.8'; dlerror: libcudnn.so.8: no such file\n"
    "failed call to cuInit: CUDA_ERROR_NO_DEVICE\nF0000 file.cc:1] Check failed\n",
)


@given(texts(*WORDS), st.sampled_from((1, 2, 101, -9, -11, -99, None)))
@fuzzed
def test_what_a_program_says_when_it_fails(text: str, code: int | None) -> None:
    ran = Ran(("uv", "pip"), code, text, text)
    for said in (
        uv_failure.failure(ran, 1.0, False, "/cache"),
        uv_failure.failure(ran, 1.0, True, "/cache"),
        pip_tools_failure.failure(ran, 1.0, False),
    ):
        assert "https://u:s3cr3t@" not in said.message + str(said.hint)
    holds(lambda: uv_failure.refusal(ran))
    holds(lambda: why_failed(ran))


@example("", "\ud800")
@given(texts(*WORDS), st.one_of(ANY, st.fixed_dictionaries({"done": ANY, "doing": ANY, "libraries": ANY})))
@fuzzed
def test_what_the_verification_says(err: str, answer: Any) -> None:
    ran = Ran(("python",), 0, f"\n@envfix-verify@ {json.dumps(answer)}\n", err)
    outside = FakeOutside(answers={"python": ran})
    holds(
        lambda: checks.verify(
            outside,
            "/usr/bin/python",
            accelerator=Accelerator.GPU,
            machine=load_machine(FakeOutside(files={"/m.yaml": MACHINES[0]}), "/m.yaml", "/none"),
        )
    )


class Answering(BaseAdapter):
    """Answers every request with the same body."""

    def __init__(self, body: bytes, kind: str) -> None:
        super().__init__()
        self.body, self.kind = body, kind

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 200, request.url or "", request
        answer.headers["Content-Type"] = self.kind
        answer.raw = _Body(self.body)
        return answer

    def close(self) -> None:
        pass


class _Body:
    def __init__(self, body: bytes) -> None:
        self.body = body

    def read(self, amount: int = -1, decode_content: bool = False) -> bytes:
        taken, self.body = self.body[:amount], self.body[amount:]
        return taken

    def close(self) -> None:
        self.body = b""


def pages() -> Iterator[str]:
    from tests.index_server import IndexServer

    server = IndexServer(url="http://index.example")
    server.add(
        build_wheel("tensorflow", "2.20.0", tag="cp311-cp311-manylinux_2_17_x86_64"),
        build_wheel("tensorflow", "2.9"),
    )
    for as_json in (True, False):
        yield (server.page("tensorflow", as_json) or b"").decode()


@given(
    texts(*pages()),
    st.sampled_from(("application/vnd.pypi.simple.v1+json", "text/html", "text/html; charset=x", "")),
)
@fuzzed
def test_index_pages(text: str, kind: str) -> None:
    index = RealIndex(PipConfig(index_url="http://index.example/simple/"))
    index._session.mount("http://", Answering(text.encode("utf-8", "surrogatepass"), kind))

    def read() -> None:
        files = index.files("tensorflow")
        releases = releases_on(files)
        for version in releases[:1]:
            read_page("tensorflow", version, files)
        assert not any(re.match("file:", file.url) for file in files)

    holds(read)
