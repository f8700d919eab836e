"""A log of 50 MB: in time, in flat memory, and with what matters found wherever it stands."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from envfix.diagnose import condense
from envfix.diagnose.explain import document_of, findings, wanted
from tests.test_diagnose_cases import whole

FIFTY_MB = 50 << 20
FAILURE = (
    "2021-11-10 11:34:35.330749: E tensorflow/stream_executor/cuda/cuda_dnn.cc:362] Loaded runtime CuDNN "
    "library: 8.0.5 but source was compiled with: 8.1.0.\n"
)
HARMLESS = "2021-11-10 11:34:{:02}.{:06}: I x.cc:9] successful NUMA node read from SysFS had negative value\n"


def training(size: int, failure_at: float) -> Iterator[bytes]:
    """A training log with its progress bars in pieces of 1 MB; the failure once, at a share of the whole."""
    chance = random.Random(1)
    done, told = 0, False
    while done < size:
        lines = [
            f"{step}/1000 [====>.....] - ETA: {step % 99}s - loss: {chance.random():.4f} - auc: {step}\r"
            for step in range(13_000)
        ]
        lines.append(HARMLESS.format(chance.randrange(60), chance.randrange(1_000_000)))
        if not told and done >= size * failure_at:
            lines.insert(chance.randrange(len(lines)), "\n" + FAILURE)
            told = True
        piece = "".join(lines).encode()
        done += len(piece)
        yield piece


@pytest.mark.slow
@pytest.mark.parametrize("failure_at", [0, 0.5, 0.97])
def test_50_mb_are_read_in_two_seconds_and_the_failure_is_found(failure_at: float) -> None:
    wanted(whole())
    pieces = list(training(FIFTY_MB, failure_at))
    begun = time.process_time()
    found = findings(document_of(iter(pieces), whole()), None, whole())
    assert time.process_time() - begun < 2
    assert found[0].cause == "cudnn-older-than-compiled"
    assert FAILURE.strip() in found[0].evidence


@pytest.mark.slow
def test_memory_stays_flat() -> None:
    tracemalloc.start()
    try:
        document = document_of(training(FIFTY_MB // 12, 0.9), whole())
        small = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        document_of(training(FIFTY_MB // 3, 0.9), whole())
        large = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(document.text) < condense.BODY + condense.TAIL
    assert large < small * 1.5


def test_lines_that_never_repeat_do_not_crowd_out_the_failure() -> None:
    chance = random.Random(2)
    names = ["".join(chance.choices("bcdfghklmnprstvz aeiou", k=9)) for _ in range(3000)]
    lines = [" ".join(chance.choices(names, k=9)) + "\n" for _ in range(60_000)]
    lines.insert(40_000, FAILURE)
    document = document_of(iter(["".join(lines).encode()]), whole())
    assert findings(document, None, whole())[0].cause == "cudnn-older-than-compiled"


def test_what_differs_in_its_message_is_kept_although_it_looks_alike() -> None:
    lines = "".join(f"step {number}: loss {number / 7:.4f}\n" for number in range(60_000))
    names = ("libcudart.so.11.0", "libcublas.so.11", "libcufft.so.10", "libcusparse.so.11")
    missing = "".join(f"W dso_loader.cc:64] Could not load dynamic library '{name}'\n" for name in names)
    document = document_of(iter([(lines + missing + lines).encode()]), whole())
    assert all(name in document.text for name in names)


def test_of_random_words_only_the_lines_with_something_wanted_are_read() -> None:
    letters = random.Random(2).randbytes(8 << 20).hex().translate(str.maketrans("0123456789", "ghijklmnop"))
    words = [letters[at : at + 7] for at in range(0, len(letters), 7)]
    middle = len(words) // 2
    text = "\n".join([*words[:middle], FAILURE + "the line after it", *words[middle:]]).encode()
    pieces = [text[at : at + (1 << 20)] for at in range(0, len(text), 1 << 20)]
    begun = time.process_time()
    document = document_of(iter(pieces), whole())
    # 16 MB in lines of one word each; before the words were looked for first it took three times as long.
    assert time.process_time() - begun < 1.2
    assert FAILURE + "the line after it" in document.text
    assert findings(document, None, whole())[0].cause == "cudnn-older-than-compiled"
