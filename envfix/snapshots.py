"""Snapshots on disk: taken after every install and verification, looked for by `report --since`.

They lie in the user's state folder, or where ENVFIX_STATE_DIR says. A folder that cannot be written costs a
warning and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import structs

from envfix import state
from envfix.errors import EnvfixError, InputError
from envfix.model.machine import Platform
from envfix.model.snapshot import Snapshot
from envfix.ports import Outside
from envfix.reading import convert, parse_json

VARIABLE = state.VARIABLE
MOST = 40  # snapshots that are kept, of some 3 kB each
LARGEST = 64 << 10  # bytes of one that is read
_NAME = re.compile(r"([0-9]{8}-[0-9]{6}-[0-9a-f]{6})\.json")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHORTEST = 4  # characters of an id that are enough


def stamp(now: datetime) -> str:
    """`2026-11-23T07:05:12Z` of a moment in UTC."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def folder(outside: Outside) -> str:
    """Where snapshots are kept. Raises OSError where there is no such place."""
    return state.folder(outside, "snapshots")


def keep(outside: Outside, snapshot: Snapshot) -> None:
    """Write it and let the oldest go; what cannot be written is said and costs nothing else."""
    try:
        place = folder(outside)
        outside.make_dirs(place)
        text = msgspec.json.format(msgspec.json.encode(snapshot), indent=1).decode()
        outside.write_text(f"{place}/{snapshot.id}.json", text + "\n", 0o600)
        for old in _too_many(kept(outside)):
            outside.remove(f"{place}/{old.id}.json")
    except (OSError, RuntimeError) as problem:
        why = getattr(problem, "strerror", None) or str(problem)
        outside.say(f"warning: what this run saw is not recorded for `report --since`: {why}")


def named(snapshot: Snapshot) -> Snapshot:
    """The snapshot with its id: the moment, and six digits of what it holds."""
    content = hashlib.sha256(msgspec.json.encode(structs.replace(snapshot, id=""))).hexdigest()
    moment = re.sub(r"[-:Z]", "", snapshot.taken).replace("T", "-")
    return structs.replace(snapshot, id=f"{moment}-{content[:6]}")


def kept(outside: Outside) -> tuple[Snapshot, ...]:
    """The snapshots that are there, newest first; what is none is said and passed over."""
    found = []
    try:
        place = folder(outside)
    except (OSError, RuntimeError):
        return ()
    for name in outside.listdir(place):
        matched = _NAME.fullmatch(name)
        if matched is None:
            continue
        try:
            text = outside.read_text(f"{place}/{name}", LARGEST)
            found.append(structs.replace(convert(parse_json(text, name), Snapshot, name), id=matched[1]))
        except (OSError, EnvfixError) as problem:
            outside.say(f"warning: `{place}/{name}` is no snapshot and passed over: {problem}")
    return tuple(sorted(found, key=lambda one: one.id, reverse=True))


def find(snapshots: Sequence[Snapshot], wanted: str, machine: str, environment: str, lost: str) -> Snapshot:
    """The snapshot that `wanted` means: `LAST`, a date (UTC; the last that worked until its end), or an id.

    The first two look only among those of the same `--machine` and interpreter (any, where `environment` is
    empty), and pass over a proof on the CPU alone while there is another. Raises InputError.
    """
    last = wanted.lower() == "last"
    if not last and not _DATE.fullmatch(wanted):
        return _by_id(snapshots, wanted)
    until = "9" if last else f"{wanted}T99"
    same = [
        one
        for one in snapshots
        if one.machine == machine and (not environment or one.environment == environment)
    ]
    worked = [one for one in same if one.worked and one.taken <= until]
    found = next((one for one in worked if one.proof != "cpu"), next(iter(worked), None))
    if found is None:
        when = "" if last else f" up to {wanted}"
        others = len(snapshots) - len(same)
        said = f"no install or verification that worked is recorded for this machine and interpreter{when}"
        if others:
            said += f" ({others} of others are)"
        raise InputError(said, lost or "`envfix report --since list` lists what is recorded")
    return found


def _by_id(snapshots: Sequence[Snapshot], wanted: str) -> Snapshot:
    found = [one for one in snapshots if len(wanted) >= _SHORTEST and one.id.startswith(wanted)]
    found = [one for one in found if one.id == wanted] or found
    if len(found) == 1:
        return found[0]
    what = "several snapshots have" if found else "no snapshot has"
    raise InputError(
        f"{what} the id `{wanted}`",
        "--since takes LAST, a date such as 2026-11-23, or an id of `envfix report --since list`",
    )


def losing(outside: Outside, platform: object) -> str:
    """What to do where the state folder goes with the machine: on Colab and Kaggle; empty elsewhere."""
    if outside.environ.get(VARIABLE, "").strip() or platform not in (Platform.COLAB, Platform.KAGGLE):
        return ""
    if platform is Platform.COLAB:
        return (
            "on Colab the home folder is lost with the virtual machine: mount Drive and set "
            f"{VARIABLE}=/content/drive/MyDrive/envfix before `envfix install`"
        )
    return f"on Kaggle the home folder is lost with the session: set {VARIABLE} to a folder that stays"


def _too_many(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Those beyond the number that is kept; the last that worked of an interpreter stays longer."""
    precious: dict[tuple[str, str, bool], str] = {}
    for one in snapshots:
        if one.worked:
            precious.setdefault((one.machine, one.environment, one.proof == "cpu"), one.id)
    stays = frozenset(precious.values())
    beyond = enumerate(snapshots[MOST:])
    return [one for at, one in beyond if one.id not in stays or at >= MOST]
