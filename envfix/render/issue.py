"""One Markdown block for an issue: nothing gets into it that `masked` has not seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from envfix.model.machine import Outcome, known
from envfix.model.outcome import Check, Status, Verification
from envfix.model.private import Private
from envfix.model.results import IssueFacts
from envfix.redaction import masked, masked_paths
from envfix.render.text import summary
from envfix.render.words import columns, one_line

LOG_LINES = 25
_VERSION = re.compile(r"[0-9][0-9A-Za-z.!-]*")


def issue(facts: IssueFacts) -> str:
    """The block, with a heading for each part; what is private of it is replaced by `<what it was>`."""
    private = facts.private
    done = facts.verification
    build = [(name, value) for name, value in sorted(done.build.items())]
    parts = [
        "### Environment",
        "",
        masked(
            f"Collected by envfix {facts.envfix} (matrix of {facts.matrix_date}); private parts replaced.",
            private,
        ),
        _block("machine", _pairs(_machine(facts), private)),
        _block("tensorflow", _pairs([("version", done.tensorflow or "not imported"), *build], private)),
        _block("checks", _checks(done.checks, done.proof.value if done.proof else "none", private)),
        _block("libraries", _libraries(facts)),
        _block("packages", _packages(facts.packages, private)),
        _block("variables", _pairs(sorted(known(facts.machine.environment, {}).items()), private)),
        _block(
            "what the compatibility matrix says",
            [masked(one_line(line), private, addresses=False) for line in facts.verdicts],
        ),
        _block("nvidia-smi", masked(facts.nvidia_smi, private).splitlines()),
        _block("the last lines of TensorFlow's log", _log(done, private)),
    ]
    return "\n".join(parts) + "\n"


def _block(title: str, lines: Sequence[str]) -> str:
    """A heading and a fence that nothing in the lines can close (CommonMark, "Fenced code blocks")."""
    body = "\n".join(lines) or "-"
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n**{title}**\n\n{fence}text\n{body}\n{fence}"


def _pairs(rows: Iterable[tuple[str, str]], private: Private) -> list[str]:
    return columns([(masked(name, private), masked_paths(one_line(value), private)) for name, value in rows])


def _machine(facts: IssueFacts) -> list[tuple[str, str]]:
    machine = facts.machine
    toolkit, cudnn = known(machine.toolkit, None), known(machine.cudnn, None)
    rows = [
        ("summary", summary(machine)),
        ("platform", getattr(known(machine.platform, None), "value", "unknown")),
        *facts.system,
        ("python", facts.python),
        (
            "toolkit",
            f"{known(toolkit.version, '?')} in {known(toolkit.path, '?')}" if toolkit else "none found",
        ),
        (
            "cuDNN of the system",
            f"{known(cudnn.version, '?')} in {known(cudnn.path, '?')}" if cudnn else "none found",
        ),
    ]
    rows += [
        (f"trouble: {piece.fact}", f"{piece.source}: {piece.detail}")
        for piece in known(machine.evidence, ())
        if piece.outcome in (Outcome.FAILED, Outcome.TIMEOUT)
    ]
    return rows


def _checks(checks: Sequence[Check], proof: str, private: Private) -> list[str]:
    lines = []
    for check in checks:
        # The libraries have a part of their own.
        short = check.name == "libraries" and check.status is Status.PASSED
        observed = "all opened" if short else check.observed
        cause = f" ({check.cause})" if check.cause else ""
        lines.append(f"{check.status.value:<7} {check.name}: {observed}{cause}")
    return [masked(one_line(line), private) for line in (*lines, f"proof: {proof}")]


def _libraries(facts: IssueFacts) -> list[str]:
    done = facts.verification
    rows = sorted(done.libraries.items())
    missed = [(name, f"not opened: {reason}") for name, reason in sorted(done.not_opened.items())]
    return _pairs([*rows, *missed], facts.private)


def _log(done: Verification, private: Private) -> list[str]:
    lines = masked(done.stderr, private).splitlines()[-LOG_LINES:]
    return [*lines, f"ended: {masked(one_line(done.ended), private) or 'not run'}"]


def _packages(packages: Sequence[tuple[str, str]], private: Private) -> list[str]:
    """`name==version`; a version of four numbers is no address, what else stands there may be anything."""
    return [
        f"{masked(name, private)}=={masked(version, private, addresses=not _VERSION.fullmatch(version))}"
        for name, version in packages
    ]
