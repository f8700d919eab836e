"""The constraints files that bind every install on a machine, as the images of notebook services have them.

pip is told of them by PIP_CONSTRAINT or its configuration, uv by UV_CONSTRAINT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from envfix.errors import EnvfixError, ResolutionFailed
from envfix.ports import Outside

LARGEST = 1 << 20  # bytes of a file that is read
_SHOWN = 3
_VARIABLES = ("PIP_CONSTRAINT", "UV_CONSTRAINT")


def blamed(outside: Outside, problem: EnvfixError, files: Sequence[str]) -> EnvfixError:
    """The same failure; where a constraint of the files has a part in it, with the file that it stands in."""
    if not isinstance(problem, ResolutionFailed):
        return problem
    found = {
        line: f"`{line}` stands in the constraints file `{file}`"
        for file in dict.fromkeys(files)
        for line, constraint in _constraints(outside, file)
        if _is_in(constraint, problem.message)
    }
    if not found:
        return problem
    unset = " ".join(f"{name}=" for name in _VARIABLES if outside.environ.get(name))
    hint = f"to go without constraints, begin the command with: {unset}" if unset else problem.hint
    return ResolutionFailed("; ".join([problem.message.rstrip("."), *list(found.values())[:_SHOWN]]), hint)


def _is_in(constraint: Requirement, message: str) -> bool:
    """Whether a resolver's words are about the constraint: they have its name, and what it demands."""
    if not constraint.specifier and not constraint.url:
        return False  # a bare name demands nothing
    name = re.escape(canonicalize_name(constraint.name))
    words = message.replace(" ", "")
    return bool(re.search(rf"(?<![\w.-]){name}(?![\w-])", message)) and all(
        str(one) in words for one in constraint.specifier
    )


def _constraints(outside: Outside, file: str) -> Iterator[tuple[str, Requirement]]:
    """Line and meaning of each requirement in the file; none of a file that cannot be read."""
    try:
        text = outside.read_text(file, LARGEST)
    except OSError:
        return
    for whole in text.splitlines():
        line = whole.partition("#")[0].strip()
        try:
            yield line, Requirement(line)
        except InvalidRequirement:
            continue  # an option, or nothing
