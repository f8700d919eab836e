"""Text to typed values: YAML, JSON and TOML of the user's, with the place in every message.

YAML here has no floats and no dates: `12.10` stays the text "12.10", so that nobody loses a zero by not
quoting a version. Anchors and tags are refused: a data file needs neither, and both can do harm. No key
stands twice, in JSON neither: two readers of one file must not see two machines. Numbers are below 10**18.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from envfix.errors import EnvfixError, InputError, MatrixError
from envfix.model.versions import Dotted

if TYPE_CHECKING:
    from envfix.ports import Outside

T = TypeVar("T")
DEEPEST = 100
_DIGITS = 18
# A key of many parts, `a.a.a`, each of which is a table: the reader takes the square of them in time.
_LONG_KEY = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){{{DEEPEST}}}""")
_PLACE = re.compile(r" - at `\$?(.*)`$")


def shipped_text(outside: Outside, path: str) -> str:
    """The text of one of the matrix's files. Raises MatrixError where it is missing or not UTF-8."""
    try:
        return outside.read_bytes(path).decode("utf-8")
    except OSError as problem:
        raise MatrixError(f"{path}: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise MatrixError(f"{path}: not UTF-8: {problem.reason} at byte {problem.start}") from None


def parse_yaml(text: str, name: str, error: type[EnvfixError] = InputError) -> Any:
    """The plain value of a YAML document (JSON is YAML too). Raises `error` with `name` and the line."""
    import yaml

    if _nests_too_deeply(text):
        raise error(f"{name}: not valid YAML: nested too deeply")
    try:
        if re.search("[&*!]", text):
            _refuse_anchors_and_tags(text)
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        what = getattr(problem, "problem", None) or str(problem).splitlines()[0]
        raise error(f"{where}: not valid YAML: {what}") from None
    except RecursionError:
        raise error(f"{name}: not valid YAML: nested too deeply") from None
    except ValueError as problem:
        raise error(f"{name}: {problem}") from None


def parse_toml(text: str, name: str, error: type[EnvfixError] = InputError) -> dict[str, Any]:
    """The table of a TOML document. Raises `error` with `name` and the line."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if _LONG_KEY.search(text):
        raise error(f"{name}: not valid TOML: nested too deeply")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{name}: not valid TOML: nested too deeply") from None
    except ValueError as problem:  # TOMLDecodeError, and Python's own for a number of thousands of digits
        raise error(f"{name}: not valid TOML: {problem}") from None


def convert(value: Any, kind: type[T], name: str, error: type[EnvfixError] = InputError) -> T:
    """`value` as a `kind`. Raises `error` such as `t4.yaml: gpus[0].memory_mib: expected ...`."""
    try:
        return msgspec.convert(value, kind, dec_hook=decode_hook)
    except UnicodeEncodeError:
        raise error(f"{name}: a text holds half a surrogate pair") from None
    except msgspec.ValidationError as problem:
        text = str(problem)
        place = _PLACE.search(text)
        what = text[: place.start()] if place else text
        where = f"{name}: {place[1].lstrip('.')}" if place and place[1] else name
        raise error(f"{where}: {what[:1].lower()}{what[1:]}{_quotes(what, name)}", _hint(what)) from None


def to_plain(value: Any) -> Any:
    """What JSON and YAML can hold of a value; the unknown (`UNSET`) is left out."""
    return msgspec.to_builtins(value, enc_hook=encode_hook)


def decode_hook(kind: type[Any], value: Any) -> Any:
    """One of our own types from its text; msgspec adds the place to the ValueError."""
    makers: dict[type[Any], tuple[Callable[[str], Any], type[Exception]]] = {
        Version: (Version, InvalidVersion),
        SpecifierSet: (SpecifierSet, InvalidSpecifier),
        Requirement: (Requirement, InvalidRequirement),
    }
    if isinstance(kind, type) and issubclass(kind, Dotted):
        maker, problem = kind, ValueError
    elif kind in makers:
        maker, problem = makers[kind]  # type: ignore[assignment]
    else:
        raise NotImplementedError(f"no reader for {kind}")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        found = "null" if value is None else f"`{value}`"
        what = "requirement" if kind is Requirement else "version"
        raise ValueError(f"expected a {what} as text, found {found}")
    try:
        return maker(str(value))
    except problem as error:
        raise ValueError(str(error)) from None


def encode_hook(value: Any) -> Any:
    """What msgspec writes for the values that it does not know: their text. Raises NotImplementedError."""
    if isinstance(value, (Dotted, Version, SpecifierSet, Requirement)):
        return str(value)
    raise NotImplementedError(f"no writer for {type(value)}")


def parse_json(text: str, name: str, error: type[EnvfixError] = InputError) -> Any:
    """The plain value of a JSON document; numbers with a point stay text. Raises `error`."""
    try:
        return json.loads(
            text, parse_float=str, parse_int=_whole, parse_constant=_no_number, object_pairs_hook=_each_once
        )
    except RecursionError:
        raise error(f"{name}: not valid JSON: nested too deeply") from None
    except ValueError as problem:
        raise error(f"{name}: not valid JSON: {problem}") from None


def _nests_too_deeply(text: str) -> bool:
    """Whether brackets or dashes nest deeper than any data file: libyaml overflows its stack on more."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{}\]]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > DEEPEST or re.search(rf"(?:[-?:][ \t\n]+){{{DEEPEST},}}", text) is not None


def _whole(digits: str) -> int:
    """Python itself refuses 4300 digits and more with an error of another kind, and slowly reads fewer."""
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _no_number(name: str) -> None:
    raise ValueError(f"`{name}` is no number of JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key `{twice}` stands twice")
    return found


def _refuse_anchors_and_tags(text: str) -> None:
    """Raise for an anchor or alias: ten nested ones make ten thousand million values out of one line. And for
    a tag, which makes another value of a text than the one that stands there."""
    import yaml

    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            what = "anchors and aliases"
        elif getattr(event, "tag", None):
            what = "tags"
        else:
            continue
        line = event.start_mark.line + 1 if event.start_mark else 0
        raise ValueError(f"not valid YAML: line {line}: {what} are not allowed")


def _quotes(problem: str, name: str) -> str:
    """What to do where YAML has made a truth value of a text such as `effect: no`."""
    made = re.search("str.*got `bool`|found `(True|False)`", problem)
    if not made or re.search(r"\.(json|toml)\b", name):
        return ""
    return "; without quotes YAML reads yes, no, on and off as true and false: write 'no'"


def _hint(problem: str) -> str | None:
    if "unknown field" in problem:
        return (
            "`envfix probe --json` prints every key that a machine may have" if "machine" in problem else None
        )
    return None


def _loader() -> type[Any]:
    """The C loader (libyaml) where PyYAML has it, without floats, dates, anchors, tags and double keys."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    global _LOADER
    if _LOADER is not None:
        return _LOADER

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                # The value of a list or mapping is no text.
                if not isinstance(key.value, str):
                    self._refuse(key, "a key is no text")
                if key.value in seen:
                    self._refuse(key, f"the key `{key.value}` stands twice")
                seen.add(key.value)
            return dict(super().construct_mapping(node, deep))

        def _refuse(self, node: Any, why: str) -> NoReturn:
            raise yaml.constructor.ConstructorError(None, None, why, node.start_mark)

    keep = {"tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag in keep]
        for first, rules in base.yaml_implicit_resolvers.items()
    }
    # YAML 1.1 has whole numbers of base 2, 8, 16 and 60 too: `010` is 8, and `1:30` is 90.
    whole = re.compile(rf"[-+]?(?:0|[1-9][0-9]{{0,{_DIGITS - 1}}})\Z")
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", whole, list("-+0123456789"))
    _LOADER = Loader
    return Loader


_LOADER: type[Any] | None = None
