"""The same log however it was pasted: quoted, wrapped, coloured, as HTML, as a notebook; and hostile text."""

from __future__ import annotations

import html
import json
import re
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envfix.diagnose.document import Document
from envfix.diagnose.explain import document_of, explain, findings
from tests.test_diagnose_cases import cases, whole

Paste = Callable[[str], bytes]


def coloured(text: str) -> str:
    return "".join(f"\x1b[0;31m{line}\x1b[0m\n" for line in text.splitlines())


def wrapped(text: str) -> str:
    return "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, 76) or [""])


def cut(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(line[at : at + 100] for line in lines for at in range(0, len(line) or 1, 100))


def new_format(text: str) -> str:
    """The log lines of TensorFlow 2.18 and later."""
    return re.sub(
        r"^\d{4}-\d\d-\d\d [\d:.]+: ([IWEF]) (?:\S*/)?(\S+\.cc:\d+\])",
        r"\g<1>0000 00:00:1737317404.258825   10111 \2",
        text,
        flags=re.MULTILINE,
    )


PASTES: dict[str, Paste] = {
    "quoted": lambda text: "".join(f"> {line}\n" for line in text.splitlines()).encode(),
    "quoted and wrapped": lambda text: textwrap.indent(wrapped(text), "> > ").encode(),
    "wrapped": lambda text: wrapped(text).encode(),
    "cut at 100 columns": lambda text: cut(text).encode(),
    "coloured": lambda text: coloured(text).encode(),
    "html": lambda text: f"<pre><code>{html.escape(text)}</code></pre>".encode(),
    "markdown": lambda text: f"I get this:\n\n```shell\n{text}\n```\nany idea?\n".encode(),
    "windows lines": lambda text: text.replace("\n", "\r\n").encode(),
    "utf-16": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "severity letters": lambda text: re.sub(r": [IWEF] ", ": I ", text).encode(),
    "new format": lambda text: new_format(text).encode(),
    "typographic": lambda text: text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}").encode(),
    "progress": lambda text: ("\r 1/10 [=>....]\r 2/10 [==>...]\r" + text).encode(),
    "notebook": lambda text: notebook(text),
}


def notebook(text: str) -> bytes:
    output = {"output_type": "stream", "name": "stderr", "text": text.splitlines(keepends=True)}
    cell = {"cell_type": "code", "source": ["model.fit(x)"], "outputs": [output]}
    prose = {"cell_type": "markdown", "source": ["OOM when allocating tensor is what others see"]}
    return json.dumps({"cells": [prose, cell], "metadata": {}, "nbformat": 4}).encode()


def first(content: bytes) -> str | None:
    found = explain([content], None, whole())
    return found[0].cause if found else None


# What users said in a sentence is no log: only messages must survive every paste.
LOGS = [case for case in cases("cases.yaml") if not case.get("machine") and "]" in case["text"]]


@pytest.mark.parametrize("paste", PASTES)
@pytest.mark.parametrize("case", LOGS, ids=lambda case: case["id"])
def test_how_it_was_pasted_changes_nothing(case: dict[str, Any], paste: str) -> None:
    assert first(PASTES[paste](case["text"])) == first(case["text"].encode())


def test_a_traceback_of_a_notebook_and_what_its_cells_do_are_read() -> None:
    cells = [
        {"cell_type": "code", "source": "import tensorflow as tf\nimport os", "outputs": []},
        {"cell_type": "code", "source": "os.environ['CUDA_VISIBLE_DEVICES'] = '-1'", "outputs": []},
    ]
    whole_file = {"cells": cells, "metadata": {"colab": {}}, "nbformat": 4}
    assert first(json.dumps(whole_file).encode()) == "no-gpu-in-session"
    whole_file["metadata"] = {"colab": {}, "accelerator": "GPU"}
    assert first(json.dumps(whole_file).encode()) == "hidden-device"
    trace = {"output_type": "error", "ename": "AttributeError", "evalue": "_ARRAY_API not found"}
    cells.insert(0, {"cell_type": "code", "source": "x", "outputs": [trace]})
    found = explain([json.dumps(whole_file).encode()], None, whole())
    assert "numpy-abi" in [finding.cause for finding in found]


ODD_CELLS = b'{"cells": [1, {"cell_type": "code", "outputs": [3, {}]}]}'


@pytest.mark.parametrize("content", [b"{", b'{"cells": 3}', ODD_CELLS, b"{" * 300_000, b"\0" * 99])
def test_what_is_no_notebook_is_read_as_text(content: bytes) -> None:
    assert explain([content], None, whole()) == ()


def test_a_docker_log_in_json_is_no_notebook() -> None:
    line = '{"log":"failed call to cuInit: CUDA_ERROR_UNKNOWN: unknown error\\n","stream":"stderr"}\n'
    assert first((line * 3).encode()) == "driver-unknown-error"


def test_evidence_shows_the_lines_and_nothing_that_moves_the_cursor() -> None:
    text = "x\nE driver.cc:1] failed call to cuInit: CUDA_ERROR_UNKNOWN: \x1b[2Junknown\x07 error\ny\n"
    finding = explain([text.encode()], None, whole())[0]
    assert finding.evidence == (
        "E driver.cc:1] failed call to cuInit: CUDA_ERROR_UNKNOWN: unknown\ufffd error",
    )


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=4000))
def test_any_text_is_answered(text: str) -> None:
    findings(Document(text), None, whole())


WORDS = sorted({word for case in cases("cases.yaml") for word in case["text"].split()})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=400))
def test_words_of_logs_in_any_order_are_answered_in_time(words: list[str]) -> None:
    begun = time.process_time()
    explain([" ".join(words).encode()], None, whole())
    assert time.process_time() - begun < 3


HOSTILE = (
    "a",
    "could not load cuda library version ",
    "libcudnn.so.8: ",
    "\\",
    "> ",
    "[",
    "&#",
    "<p ",
    "CUDA_",
)


@pytest.mark.parametrize("line", HOSTILE)
def test_one_line_of_ten_megabytes_is_no_trap(line: str) -> None:
    content = (line * (10_000_000 // len(line))).encode()
    begun = time.process_time()
    pieces = (content[at : at + (1 << 20)] for at in range(0, len(content), 1 << 20))
    findings(document_of(pieces, whole()), None, whole())
    assert time.process_time() - begun < 6
