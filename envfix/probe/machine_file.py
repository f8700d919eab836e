"""Machines that are named with `--machine`: the shipped ones, and files of the user's."""

from __future__ import annotations

import difflib
import enum
import functools
import re
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, structs

from envfix.errors import InputError
from envfix.model.machine import Machine
from envfix.ports import Outside
from envfix.reading import decode_hook, parse_json, parse_yaml

SUFFIXES = (".yaml", ".yml", ".json")
LIMIT = 256 << 10  # bytes; what `envfix probe --json` prints is some 20 kB
MOST_GPUS = 1024  # far more than any one machine has
LEAST_RELEASE = 100  # every driver's release is above, every driver's CUDA below


def load_machine(outside: Outside, name_or_path: str, shipped_dir: str) -> Machine:
    """The shipped machine of that name, or the one in the YAML or JSON file.

    A file may also hold the whole object that `envfix probe --json` prints. Raises InputError with file, key,
    value and a hint for whatever is wrong in it, and with the names there are for a name that is none.
    """
    shipped = _shipped(outside, shipped_dir)
    if name_or_path in shipped:
        return _read(outside, shipped[name_or_path], name_or_path)
    if (
        "/" in name_or_path
        or "\\" in name_or_path
        or name_or_path.endswith(SUFFIXES)
        or outside.exists(name_or_path)
    ):
        return _read(outside, name_or_path, None)
    raise InputError(
        f"`{short(name_or_path)}` is neither a machine that envfix knows nor a file",
        _meant(name_or_path, shipped) or f"there are: {', '.join(shipped)}",
    )


def list_machines(outside: Outside, shipped_dir: str) -> tuple[tuple[str, Machine], ...]:
    """Name and facts of every shipped machine, sorted by name."""
    return tuple((name, _read(outside, path, name)) for name, path in _shipped(outside, shipped_dir).items())


def _shipped(outside: Outside, folder: str) -> dict[str, str]:
    return {
        name.removesuffix(".yaml"): f"{folder}/{name}"
        for name in outside.listdir(folder)
        if name.endswith(".yaml")
    }


def _read(outside: Outside, path: str, name: str | None) -> Machine:
    try:
        data = outside.read_bytes(path, LIMIT + 1)
    except OSError as problem:
        raise InputError(
            f"the machine file `{short(path)}` cannot be read: {problem.strerror or problem}",
            "`envfix machines` lists the machines that can be named instead",
        ) from None
    if len(data) > LIMIT:
        raise InputError(f"{path}: expected a machine file of at most {LIMIT >> 10} KiB, found a larger one")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(
            f"{path}: not UTF-8: byte {problem.start} cannot be decoded", "save the file as UTF-8"
        ) from None
    value, place = _machine_in(_parse(text, path), path)
    machine = parse_machine(value, place)
    return structs.replace(machine, name=name) if name and machine.name is UNSET else machine


def _parse(text: str, path: str) -> Any:
    """A `.json` file is JSON; in any other, what starts like an object may be either."""
    if path.endswith(".json"):
        return parse_json(text, path)
    if text.lstrip().startswith("{"):
        try:
            return parse_json(text, path)
        except InputError:
            return parse_yaml(text, path)
    return parse_yaml(text, path)


def _machine_in(value: Any, path: str) -> tuple[Any, str]:
    """The machine in the value, and its place for messages: it may be the `data` of `envfix probe --json`."""
    if not isinstance(value, dict) or "envfix" not in value or "data" not in value:
        return value, path
    command = value.get("command")
    if command != "probe":
        raise InputError(
            f"{path}: command: holds what `envfix {command}` printed, not a machine",
            "`envfix probe --json > machine.json` writes one",
        )
    return value["data"], f"{path}: data"


def parse_machine(value: Any, place: str) -> Machine:
    """The machine of a plain value. Raises InputError such as
    `t4.yaml: gpus[0].memory_mib: expected ..., found ...`; `place` names the file.
    """
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"`{short(value)}`"
        raise InputError(f"{place}: expected the keys of a machine, found {found}", _KEYS_HINT)
    gpus = value.get("gpus")
    if isinstance(gpus, list) and len(gpus) > MOST_GPUS:
        raise InputError(f"{place}: gpus: expected at most {MOST_GPUS}, found {len(gpus)}")
    _check(value, Machine, "", place)
    try:
        machine = msgspec.convert(value, Machine, dec_hook=decode_hook)
    except msgspec.ValidationError as problem:
        raise _explained(str(problem), value, place) from None
    except (RecursionError, ValueError, OverflowError) as problem:
        raise InputError(f"{place}: {problem}") from None
    return _sensible(machine, place)


_KEYS_HINT = "`envfix probe --json` prints every key that a machine may have"


def _check(value: Any, kind: Any, where: str, place: str) -> None:
    """Unknown keys and unknown values of closed sets, anywhere in the value, with the nearest known one."""
    for option in _options(kind):
        if isinstance(option, type) and issubclass(option, enum.Enum) and isinstance(value, str):
            known = [str(member.value) for member in option]
            if value not in known:
                message = f"{place}: {where}: `{short(value)}` is not one of {', '.join(known)}"
                raise InputError(message, _meant(value, known))
        elif isinstance(option, type) and issubclass(option, msgspec.Struct) and isinstance(value, dict):
            hints = _hints(option)
            for key, inner in value.items():
                path = f"{where}.{key}" if where else str(key)
                if key not in hints:
                    raise InputError(
                        f"{place}: unknown key `{short(path)}`", _meant(str(key), hints) or _keys_of(option)
                    )
                _check(inner, hints[key], path, place)
        elif typing.get_origin(option) is tuple and isinstance(value, list):
            for index, inner in enumerate(value):
                _check(inner, typing.get_args(option)[0], f"{where}[{index}]", place)


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _options(kind: Any) -> Iterator[Any]:
    """The alternatives of a union, or the type itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        yield from typing.get_args(kind)
    else:
        yield kind


def _explained(problem: str, value: Any, place: str) -> InputError:
    """msgspec's sentence with the value that it is about."""
    found = re.search(r" - at `\$(.*)`$", problem)
    what = problem[: found.start()] if found else problem
    path = found[1].lstrip(".") if found else ""
    here = _at(value, path)
    shown = "" if "found" in what else f", found `{short(here)}`"
    hint = None
    if here is None:
        hint = "leave the key out where the value is not known"
    elif isinstance(here, (int, float)) and not isinstance(here, bool) and "str" in what:
        hint = f'put it into quotes: "{here}"'
    where = f"{place}: {path}" if path else place
    return InputError(f"{where}: {what[:1].lower()}{what[1:]}{shown}", hint)


def _at(value: Any, path: str) -> Any:
    """The value at msgspec's path (`gpus[0].memory_mib`); a `[...]` stands for any key of a mapping."""
    for key, index in re.findall(r"([A-Za-z_]+)|\[([0-9]+|\.\.\.)\]", path):
        if key and isinstance(value, dict):
            value = value.get(key)
        elif index.isdigit() and isinstance(value, list):
            value = value[int(index)] if int(index) < len(value) else None
        elif index == "..." and isinstance(value, dict):
            value = next((inner for inner in value.values() if not isinstance(inner, str)), None)
        elif index == "..." and isinstance(value, list):
            value = next((inner for inner in value if not isinstance(inner, str)), None)
    return value


def _sensible(machine: Machine, place: str) -> Machine:
    """What the types cannot say: a release is no CUDA, memory is not negative, Python has two numbers."""
    if isinstance(machine.driver, msgspec.Struct):
        release, cuda = machine.driver.release, machine.driver.cuda
        hint = "a driver has a release such as 550.54.15 and its own CUDA such as 12.4"
        if release is not UNSET and release.major < LEAST_RELEASE:
            raise InputError(f"{place}: driver.release: expected a driver's release, found `{release}`", hint)
        if cuda is not UNSET and cuda.major >= LEAST_RELEASE:
            raise InputError(f"{place}: driver.cuda: expected the driver's CUDA, found `{cuda}`", hint)
    for index, gpu in enumerate(machine.gpus if machine.gpus is not UNSET else ()):
        if gpu.memory_mib is not UNSET and gpu.memory_mib <= 0:
            found = gpu.memory_mib
            raise InputError(f"{place}: gpus[{index}].memory_mib: expected a size in MiB, found `{found}`")
    if machine.python is not UNSET:
        if len(machine.python.parts) < 2:
            raise InputError(f"{place}: python: expected a release such as `3.12`, found `{machine.python}`")
        machine = structs.replace(machine, python=machine.python.cut(2))
    return _with_normal_names(machine, place)


def _with_normal_names(machine: Machine, place: str) -> Machine:
    """`installed` with names as indexes compare them, and only versions that are some."""
    if machine.installed is UNSET:
        return machine
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    installed = {}
    for name, version in machine.installed.items():
        try:
            Version(version)
        except ValueError:  # InvalidVersion, and Python's own for thousands of digits
            raise InputError(
                f"{place}: installed.{short(name)}: expected a version, found `{short(version)}`"
            ) from None
        installed[str(canonicalize_name(name))] = version
    return structs.replace(machine, installed=installed)


def _meant(word: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def _keys_of(kind: type[Any]) -> str:
    return f"the keys are: {', '.join(field.name for field in structs.fields(kind))}"


def short(value: Any) -> str:
    """The value as one line of a length that can be read."""
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
