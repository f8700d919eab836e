"""What is private does not get into a text for an issue, wherever it stands."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from envfix.model.machine import Evidence, Outcome
from envfix.model.outcome import Check, Status, Verification
from envfix.model.private import Private
from envfix.model.results import IssueFacts
from envfix.redaction import masked, masked_paths
from envfix.render.issue import issue
from tests.values import T4

ALNUM = string.ascii_letters + string.digits
LETTERS = string.ascii_lowercase
HEX = "0123456789abcdef"
NOBODY = Private()

# None of them is a word of the block itself.
names = st.text(LETTERS, min_size=7, max_size=12).map(lambda name: f"zq{name}")
mixed = st.text(ALNUM, min_size=36, max_size=60).filter(
    lambda text: (
        any(c.isdigit() for c in text) and any(c.isupper() for c in text) and any(c.islower() for c in text)
    )
)


def uuids() -> st.SearchStrategy[str]:
    groups = [st.text(HEX, min_size=size, max_size=size) for size in (8, 4, 4, 4, 12)]
    return st.tuples(*groups).map("-".join)


def planted() -> st.SearchStrategy[tuple[str, str, Private]]:
    """What is to disappear, a text that holds it, and what is known of the session."""
    shapes: list[st.SearchStrategy[tuple[str, str, Private]]] = [
        names.map(lambda name: (name, f"/home/{name}/venv/lib/libcudnn.so.9", NOBODY)),
        names.map(lambda name: (name, f"/Users/{name}/x.py", NOBODY)),
        names.map(lambda name: (name, f"C:\\Users\\{name}\\env\\python.exe", NOBODY)),
        names.map(lambda name: (name, f"by {name.upper()} on", Private(users=(name,)))),
        names.map(lambda name: (name, f"{name}-work_{name}", Private(users=(name,)))),
        names.map(
            lambda name: (
                name,
                f"gpu on {name}.corp.example:8888",
                Private(hosts=(f"{name}.corp.example", name)),
            )
        ),
        names.map(
            lambda name: (
                name,
                f"/srv/{name} data/env/bin/python",
                Private(folders=(f"/srv/{name} data/env",)),
            )
        ),
        names.map(lambda name: (name, f"/data/{name}/model", NOBODY)),
        names.map(lambda name: (name, f"LD_LIBRARY_PATH=/usr/lib:/opt/{name}/lib", NOBODY)),
        names.map(lambda name: (name, f"/usr/lib/python3/dist-packages/{name}/core.py", NOBODY)),
        names.map(lambda name: (name, f"https://{name}:pw@index.example/simple?u={name}", NOBODY)),
        names.map(lambda name: (name, f"git+ssh://git@host.example/{name}/repo.git", NOBODY)),
        names.map(lambda name: (name, f'File "/srv/a {name} project/train.py", line 3', NOBODY)),
        names.map(lambda name: (name, f"in ../{name}/train.py and ./{name}/x", NOBODY)),
        names.map(lambda name: (name, f"on \\\\server\\{name} and D:/{name}/x", NOBODY)),
        names.map(lambda name: (name, f"at {name}.internal and a.{name}.corp", NOBODY)),
        st.ip_addresses(v=4).map(
            lambda ip: (str(ip).replace(".", "-"), f"ip-{ip}".replace(".", "-"), NOBODY)
        ),
        names.map(lambda name: (name, f"mail {name}@mail.example", NOBODY)),
        names.map(lambda name: (name, f"me@{name}.example", NOBODY)),
        names.map(lambda name: (name, f"PASSWORD={name}", NOBODY)),
        names.map(lambda name: (name, f'{{"api_key": "{name}"}}', NOBODY)),
        names.map(lambda name: (name, f"--hf-token {name} x", NOBODY)),
        names.map(lambda name: (name, f"Authorization: Bearer {name}", NOBODY)),
        names.map(lambda name: (name, f"xx{name}yy", Private(secrets=(name,)))),
        mixed.map(lambda token: (token, f"token was {token}.", NOBODY)),
        mixed.map(lambda token: (token, f"hf_{token}", NOBODY)),
        mixed.map(lambda token: (token, f"ghp_{token}", NOBODY)),
        uuids().map(lambda uuid: (uuid, f"GPU 0: Tesla T4 (UUID: GPU-{uuid})", NOBODY)),
        uuids().map(lambda uuid: (uuid, f"MIG-{uuid}", NOBODY)),
        uuids().map(lambda uuid: (uuid[:13], f"(UUID: GPU-{uuid[:13]}", NOBODY)),
        st.integers(10**11, 10**12).map(lambda n: (str(n), f"Serial Number : {n}", NOBODY)),
        st.ip_addresses(v=4).map(lambda ip: (str(ip), f"from {ip}:8888 to", NOBODY)),
        st.ip_addresses(v=6).map(lambda ip: (str(ip), f"from {ip} to", NOBODY)),
        st.binary(min_size=6, max_size=6).map(
            lambda mac: (mac.hex(":"), f"link/ether {mac.hex(':')} x", NOBODY)
        ),
    ]
    return st.one_of(shapes)


def everywhere(text: str, private: Private) -> IssueFacts:
    """The facts of an issue with the text in every place that may hold one."""
    one = " ".join(text.split())
    bad = Check(name=text, status=Status.FAILED, expected=text, observed=text, cause=text, hint=text)
    done = Verification(
        checks=(bad, structs.replace(bad, name="libraries", status=Status.PASSED)), proof=None, python=text,
        tensorflow=text, devices=(text,), ended=text, stderr=f"a\n{text}\n```\nb", build={one: text},
        libraries={one: text}, not_opened={one: text},
    )  # fmt: skip
    machine = structs.replace(
        T4,
        environment={one: text},
        evidence=(Evidence(fact=one, source=one, outcome=Outcome.FAILED, detail=text),),
    )
    return IssueFacts(
        envfix="0.1.0", matrix_date="2026-01-01", machine=machine, python=text, system=((one, text),),
        packages=((one, text), (one, "12.4.5.8")), verification=done, nvidia_smi=text, verdicts=(text,),
        private=private,
    )  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(planted(), st.sampled_from(["", "\n", "`", '"', "'", "(", "[", "<", " ", "=", ",", ":"]))
def test_no_planted_secret_survives(case: tuple[str, str, Private], around: str) -> None:
    secret, text, private = case
    assume(secret not in ("::", "::1"))
    text = f"{around}{text}{around}"
    assert secret.lower() not in masked(text, private).lower()
    # The verdicts are the matrix' own sentences, whose versions are no addresses.
    facts = structs.replace(everywhere(text, private), verdicts=())
    block = issue(facts)
    assert secret.lower() not in block.lower(), block


@given(st.text())
def test_any_text_is_taken_and_stays_in_its_fence(text: str) -> None:
    block = issue(everywhere(text, NOBODY))
    fences: list[str] = []
    for line in block.splitlines():
        run = len(line) - len(line.lstrip("`"))
        if not fences and run >= 3 and line.endswith("text"):
            fences.append(line[:run])
        elif fences and line == fences[-1]:
            fences.pop()
        elif not fences:
            assert line == "" or line.startswith(("### ", "**", "Collected by")), line
    assert not fences


@pytest.mark.parametrize(
    "text",
    [
        "W0000 00:00:1795416355.839329   22263 cuda_dnn.cc:12] 06:40:28.123 failed call to cuInit: (303)",
        "2026-11-23 07:13:11.927207: I tensorflow/core/common_runtime/placer.cc:114] MatMul: (MatMul): "
        "/job:localhost/replica:0/task:0/device:GPU:0",
        "pci bus id: 0000:00:04.0, compute capability: 7.5",
        "libcuda.so.1 (/usr/lib/x86_64-linux-gnu/libcuda.so.1)",
        "toolkit 12.5 in /usr/local/cuda-12.5/lib64:/usr/local/cuda",
        "needs driver >= 525.60.13, found 470.82.01; tensorflow[and-cuda]==2.20.0",
        "['sm_60', 'sm_70', 'sm_80', 'sm_89', 'compute_90'] v2.21.0-rc1-5-ga481b10260d Clang 18.1.8",
        "| N/A   41C    P0    27W /  70W |    812MiB / 15360MiB |      0%      Default |",
        "Loaded runtime CuDNN library: 9.1.0 but source was compiled with: 9.3.0",
        "std::bad_alloc in tensorflow::Status; see https://www.tensorflow.org/install/gpu",
    ],
)
def test_what_an_issue_is_about_stays(text: str) -> None:
    private = Private(
        users=("root", "nvidia"), hosts=("localhost",), folders=("/", "/root", "/usr"), secrets=("cuda",)
    )
    assert masked(text, private) == text


def test_paths_keep_what_every_environment_has() -> None:
    private = Private(folders=("/data/My Project/env",))
    assert (
        masked("/data/My Project/env/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9", private)
        == "…/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9"
    )
    assert masked("/data/My Project/env/bin/python3.12", private) == "…/python3.12"
    assert masked("/data/My Project/env-of-anna", private) == "<path> Project/env-of-anna"
    assert masked("/home/anna/notes.txt ~/notes.txt", NOBODY) == "<path> <path>"


def test_a_path_with_spaces_is_one_where_nothing_else_stands() -> None:
    assert masked_paths("/usr/lib:/data/My Project/lib", NOBODY) == "/usr/lib:<path>"
    inside = "/data/My Project/env/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2"
    assert masked_paths(inside, NOBODY) == "…/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2"


def test_versions_of_four_numbers_are_no_addresses_in_the_list_of_packages() -> None:
    facts = everywhere("x", NOBODY)
    packages = (("nvidia-cublas-cu12", "12.4.5.8"), ("mine", "1.0+10.0.0.7"))
    block = issue(structs.replace(facts, packages=packages))
    assert "nvidia-cublas-cu12==12.4.5.8" in block and "10.0.0.7" not in block


@pytest.mark.parametrize(
    "piece",
    [
        "a.b-c.",
        "a",
        "a1B",
        "12:",
        "/a b",
        "'/a",
        "1.2.3.4 ",
        "a.b+",
        "ab12-",
        "token",
        "--key",
        "ip-1-2",
        "~/",
    ],
)
def test_a_line_of_twenty_kilobytes_takes_no_time(piece: str) -> None:
    """TensorFlow 2.21 prints a RUNPATH of that length. A pattern that looks far from each sign takes long."""
    text = (piece * 24000)[:24000]
    begun = time.process_time()
    masked(text, Private(users=("anna",), hosts=("ws17",)))
    assert time.process_time() - begun < 5


def test_control_characters_do_not_get_through() -> None:
    assert "\x1b" not in issue(everywhere("a\x1b[31mb\u202e", NOBODY))


@pytest.mark.parametrize(
    "text",
    [
        "|    0   N/A  N/A   12345      C   ...a3/envs/hush/bin/python   1000MiB |",
        "Authorization: token hush123",
        '{"authorization": "Negotiate hush123 more"}',
    ],
)
def test_what_other_programs_cut_or_name_otherwise_goes_too(text: str) -> None:
    assert "hush" not in masked(text, Private())
