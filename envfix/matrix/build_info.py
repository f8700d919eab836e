"""What a wheel's `tensorflow/python/platform/build_info.py` says; it is parsed, never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from msgspec import Struct

from envfix.model.versions import CudaRelease

MEMBER = "tensorflow/python/platform/build_info.py"


class BuildInfo(Struct, frozen=True, kw_only=True):
    """`cuda` is None and `compute_capabilities` empty where the file does not name them.

    `is_cuda_build` is None where it does not say, which is not no. `cudnn_major` is all that any release
    says of cuDNN.
    """

    is_cuda_build: bool | None
    cuda: CudaRelease | None = None
    cudnn_major: int | None = None
    compute_capabilities: tuple[str, ...] = ()


def parse_build_info(text: str) -> BuildInfo:
    """Raises ValueError where the text holds no `build_info` table of plain values."""
    table = _table(text)
    cuda = _windows_form(table.get("cuda_version"))
    major = _windows_form(table.get("cudnn_version"))
    listed = table.get("cuda_compute_capabilities") or []
    capabilities = listed.split(",") if isinstance(listed, str) else listed
    is_cuda = table.get("is_cuda_build", True if cuda else None)
    if not isinstance(is_cuda, (bool, type(None))) or not isinstance(capabilities, list):
        raise ValueError("`is_cuda_build` or `cuda_compute_capabilities` has an unknown form")
    return BuildInfo(
        is_cuda_build=is_cuda,
        cuda=CudaRelease(cuda) if is_cuda and cuda else None,
        cudnn_major=int(major.split(".")[0]) if is_cuda and major else None,
        compute_capabilities=tuple(str(name).strip() for name in capabilities) if is_cuda else (),
    )


def _table(text: str) -> Mapping[str, object]:
    """The literal behind `build_info =`: a dict, or `collections.OrderedDict` of a list of pairs."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise ValueError(f"not Python: {problem}") from None
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not any(
            isinstance(target, ast.Name) and target.id == "build_info" for target in node.targets
        ):
            continue
        literal = node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
        try:
            return dict(ast.literal_eval(literal))
        except (ValueError, TypeError) as problem:
            raise ValueError(f"`build_info` is no table of plain values: {problem}") from None
    raise ValueError("no `build_info` in it")


def _windows_form(value: object) -> str:
    """`11.2` also from the Windows form `64_112`, which names the DLL; empty where there is none."""
    text = "" if value is None else str(value)
    if not text.startswith("64_"):
        return text
    digits = text[3:]
    return f"{digits[:-1]}.{digits[-1]}" if len(digits) > 2 else digits
