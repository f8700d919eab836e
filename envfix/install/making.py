"""A virtual environment that is being made: marked from its first moment, so that the next envfix knows.

    DIR/.envfix-making/lock        held by the envfix that makes it
    DIR/.envfix-making/venv.json   the folder, and the deepest one on the way to it that was there before

The folder itself is the transaction: until the mark is gone, it is removed as a whole.
"""

from __future__ import annotations

import json
import time
from pathlib import PurePath
from typing import TYPE_CHECKING

from envfix.errors import InputError

if TYPE_CHECKING:
    from envfix.ports import Outside
    from envfix.tree import Held

MARK = ".envfix-making"
_LOOK_AGAIN = 0.2  # seconds


def mark(outside: Outside, folder: str, kept: str) -> Held | None:
    """Mark the folder and lock the mark; None where another process has it."""
    place = f"{folder}/{MARK}"
    if not outside.claim_dir(place):
        return None
    held = outside.hold(f"{place}/lock")
    if held is not None:
        text = json.dumps({"folder": folder, "kept": kept})
        # Where it is lost, the folder alone is removed, and not those that were made on the way to it.
        outside.write_text(f"{place}/venv.json", text, lasting=False)
    return held


def unmark(outside: Outside, folder: str) -> None:
    """Take the mark off an environment: it is whole, and no later run removes it."""
    outside.remove_tree(f"{folder}/{MARK}")


def is_marked(outside: Outside, folder: str) -> bool:
    """Whether envfix is making this environment, or was killed while it did."""
    return outside.is_dir(f"{folder}/{MARK}")


def remove_abandoned(outside: Outside, folder: str) -> bool:
    """Remove what an envfix that was killed has left of the environment that it made; whether there was any.

    Waits for one that is still making it. Raises InputError where the mark is that of another folder.
    """
    place, waited = f"{folder}/{MARK}", False
    while outside.is_dir(place):
        try:
            held = outside.hold(f"{place}/lock")
        except FileNotFoundError:
            continue  # its maker has just finished
        if held is None:
            if not waited:
                outside.say(f"another envfix makes `{folder}`: waiting until it has ended (Ctrl-C leaves)")
                waited = True
            time.sleep(_LOOK_AGAIN)
            continue
        try:
            with outside.undisturbed():
                remove_made(outside, folder, _kept(outside, folder))
        finally:
            held.release()
        return True
    return False


def _kept(outside: Outside, folder: str) -> str:
    """The deepest folder that was there before; the environment's own where that was not written down yet."""
    try:
        value = json.loads(outside.read_text(f"{folder}/{MARK}/venv.json"))
        made, kept = str(value["folder"]), str(value["kept"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder
    if outside.realpath(made) != outside.realpath(folder):
        raise InputError(
            f"`{folder}` is a copy of `{made}`, which envfix has not finished",
            "remove it, or name another folder: --venv .venv",
        )
    return kept


def remove_made(outside: Outside, folder: str, kept: str) -> None:
    """Remove the environment, its mark last, then the folders that were made on the way to it."""
    if not outside.is_dir(folder):
        return
    clear(outside, folder)
    unmark(outside, folder)
    path = PurePath(folder)
    while str(path) != kept and kept in map(str, path.parents) and not outside.listdir(str(path)):
        outside.remove_dir(str(path))
        path = path.parent


def clear(outside: Outside, folder: str) -> None:
    """Empty the folder but for the mark: a shell may be in it, or a link lead to it."""
    real = outside.realpath(folder)
    for name in outside.listdir(real):
        path = f"{real}/{name}"
        if name == MARK:
            continue
        # A virtual environment has a link to one of its own folders (`lib64`).
        if outside.is_dir(path) and outside.realpath(path) == path:
            outside.remove_tree(path)
        else:
            outside.remove(path)
