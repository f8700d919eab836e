"""Whether what was installed is what its RECORD says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from envfix import record
from envfix.errors import InstallFailed
from envfix.install import digests, seals
from envfix.install.transaction.claims import Claim, Listed, listed, listed_at
from envfix.install.transaction.putback import few
from envfix.model.target import Target
from envfix.ports import Outside


class Wrong(NamedTuple):
    """A file that is not what the RECORD of its `package` says."""

    package: str
    path: str


def wrong_files(
    outside: Outside,
    target: Target,
    names: Collection[str],
    ahead: Collection[str] = (),
    over: threading.Event | None = None,
) -> tuple[Wrong, ...]:
    """The files of the distributions `names` that are missing or have another SHA-256 than their RECORD's.

    A file that several packages bring, each with its own content, is right where it is what one of them says.
    What was right before, in whatever environment, and was not touched since is not read again, nor what has
    one of the seals `ahead`. Raises Interrupted once `over` is set.
    """
    packages = [listed(outside, dist, target) for dist in target.installed if dist.name in names]
    marks = {(one.package, part): mark for one in packages for part, mark in _marks(outside, one).items()}
    before = seals.known(outside)
    known = {*before, *ahead}
    libraries = {claim.path: claim.digest for one in packages for claim in one.libraries()}
    entries = {path: outside.look(path) for path in libraries}
    doubted = [
        claim
        for one in packages
        for part in one.parts()
        if marks.get((one.package, part.name)) not in known
        for claim in one.claims(part)
    ]
    # The large ones first: beside a thread at small ones, which keep the interpreter's lock, another waits
    # for it after every piece of a large one (half of the time over TensorFlow's 20,000 files).
    ordered = sorted(doubted, key=lambda claim: -claim.size)
    now = digests.computed(outside, (claim.path for claim in ordered), over)
    found = [claim for claim in doubted if now[claim.path] != claim.digest]
    wrong = {(claim.package, claim.part) for claim in found}
    seals.remember(outside, before, (mark for part, mark in marks.items() if part not in wrong))
    # The next command looks at the libraries again, and need not read 3 GB for that.
    digests.remember(outside, {path: now.get(path, said) for path, said in libraries.items()}, entries)
    return tuple(_not_of_others(outside, target, found)) if found else ()


def seals_of_unpacked(
    outside: Outside, folder: str, names: Collection[str], go_on: Callable[[], bool]
) -> tuple[str, ...]:
    """The seals of the wheel that uv has just unpacked in `folder`, which environments share; none for one of
    another package than `names`, where a file is not what its RECORD says, and where `go_on` ended it before
    all were looked at.

    uv has compared the SHA-256 of a wheel that it installs with the plan's (uv 0.13.9, for `--require-hashes`
    and for locks: "Hash mismatch for"), and what it wrote is in memory still: of the large files the size is
    compared. Reading them again too would be a sixth of the time of an install on two cores.
    """
    info = next(iter(outside.glob(folder, "*.dist-info")), "")
    package = record.normalised(info.rpartition("/")[2].partition("-")[0])
    if package not in names:
        return ()
    one = listed_at(outside, package, record.Place(info, folder))
    marks = _marks(outside, one)
    for part in one.parts():
        if part.name is None:
            continue  # what uv writes anew for each environment
        for claim in one.claims(part):
            enough = part.name and claim.size and outside.size(claim.path) == claim.size
            if not go_on() or not (enough or digests.digest(outside, claim.path) == claim.digest):
                return ()
    return tuple(marks.values())


def damaged(wrong: Sequence[Wrong], installer: str) -> InstallFailed:
    """What to raise for such files; `installer` is `uv` or `pip`."""
    names = sorted({one.package for one in wrong})
    # uv links what it has unpacked before; pip unpacks each wheel anew, and checks its hash before.
    hint = "run it again" if installer == "pip" else f"uv cache clean {' '.join(names)}"
    return InstallFailed(
        f"what {installer} installed is not as its RECORD says: " + few([one.path for one in wrong]), hint
    )


def _marks(outside: Outside, one: Listed) -> dict[str | None, str]:
    """The seal of each part that another environment may share with this one, by its name."""
    marks: dict[str | None, str] = {}
    for part in one.parts():
        if part.name is not None and part.files:
            marks[part.name] = seals.seal(part.files, outside.stamps(one.paths(part.files)))
    return {name: mark for name, mark in marks.items() if mark}


def _not_of_others(outside: Outside, target: Target, found: Sequence[Claim]) -> Iterator[Wrong]:
    owners = {claim.path: claim.package for claim in found}
    allowed: dict[str, set[bytes]] = {path: set() for path in owners}
    for dist in target.installed:
        one = listed(outside, dist, target)
        for claim in (claim for part in one.parts() for claim in one.claims(part)):
            if claim.path in allowed:
                allowed[claim.path].add(claim.digest)
    for path, package in owners.items():
        if digests.digest(outside, path) not in allowed[path]:
            yield Wrong(package, path)
