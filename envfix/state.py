"""Where envfix keeps what it has to remember: the user's state folder, or the one that is named."""

from __future__ import annotations

from pathlib import Path

from envfix.ports import Outside

VARIABLE = "ENVFIX_STATE_DIR"


def folder(outside: Outside, name: str) -> str:
    """The absolute path of the folder `name` in it. Raises OSError where there is no such place."""
    named = outside.environ.get(VARIABLE, "").strip()
    if named:
        place = Path(named).expanduser().absolute()
    else:
        import platformdirs

        place = platformdirs.user_state_path("envfix", appauthor=False)
    if not place.is_absolute():
        raise OSError(2, "this user has no home folder", str(place))
    return place.joinpath(name).as_posix()
