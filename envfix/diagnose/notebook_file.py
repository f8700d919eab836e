"""A notebook file → the text of its outputs, its installs and what it sets, in the order of its cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

LARGEST = 256 << 20
# Of a cell's source only what changes the process or the environment matters; comments are prose.
_TELLING = re.compile(
    r"^\s*[!%]|os\.environ|CUDA_VISIBLE_DEVICES|set_visible_devices|set_memory_growth|^\s*(?:import|from)\s+"
    r"(?:tensorflow|torch)\b|tf\.config|is_built_with_cuda|gpu_device_name"
)


def text_of(pieces: Iterable[bytes]) -> tuple[str | None, Iterable[bytes]]:
    """The notebook's text (None where it is none), and the pieces to read it as plain text instead."""
    pieces = iter(pieces)
    first = next(pieces, b"")
    if not first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None, _again(first, pieces)
    held, size = [first], len(first)
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > LARGEST:
            return None, _again(b"".join(held), pieces)
    whole = b"".join(held)
    try:
        value = json.loads(whole)
    except (ValueError, RecursionError):
        return None, (whole,)
    cells = _cells(value)
    return (None, (whole,)) if cells is None else ("\n".join(_lines(value, cells)), ())


def _again(first: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _cells(value: Any) -> list[Any] | None:
    """The cells of nbformat 4, or of the worksheets of nbformat 3; None for anything else."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("cells"), list):
        return list(value["cells"])
    sheets = value.get("worksheets")
    if not isinstance(sheets, list):
        return None
    return [cell for sheet in sheets if isinstance(sheet, dict) for cell in _list(sheet.get("cells"))]


def _lines(value: dict[str, Any], cells: list[Any]) -> Iterator[str]:
    yield from _metadata(_dict(value.get("metadata")))
    for cell in cells:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = _text(cell.get("source", cell.get("input")))
        yield from (
            line
            for line in source.splitlines()
            if _TELLING.search(line) and not line.lstrip().startswith("#")
        )
        for output in _list(cell.get("outputs")):
            if isinstance(output, dict):
                yield from _output(output)


def _metadata(metadata: dict[str, Any]) -> Iterator[str]:
    """What the notebook says of its session, as lines that the catalogue's readings know."""
    language = _dict(metadata.get("language_info"))
    if isinstance(language.get("version"), str) and language.get("name") == "python":
        yield f"notebook metadata: Python {language['version']}"
    if "colab" in metadata:
        yield f"notebook metadata: colab accelerator {metadata.get('accelerator') or 'None'}"
    kaggle = _dict(metadata.get("kaggle"))
    if kaggle:
        yield f"notebook metadata: kaggle accelerator {kaggle.get('accelerator') or 'none'}"


def _output(output: dict[str, Any]) -> Iterator[str]:
    yield _text(output.get("text"))
    if isinstance(output.get("data"), dict):
        yield _text(output["data"].get("text/plain"))
    if output.get("output_type") in ("error", "pyerr"):
        trace = [line for line in _list(output.get("traceback")) if isinstance(line, str)]
        yield from trace
        yield f"{output.get('ename', '')}: {_text(output.get('evalue'))}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
