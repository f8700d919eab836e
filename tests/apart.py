"""The real outside without the user's settings of uv and pip."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from envfix.system.outside import RealOutside


class Apart(RealOutside):
    """It has a cache of uv's and an environment of its own, and asks a broken index once."""

    def __init__(self, cache: Path, more: Mapping[str, str] | None = None) -> None:
        super().__init__(quiet=True)
        self.cache = cache
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_")) and "proxy" not in name.lower()
        }
        own = {
            "UV_CACHE_DIR": str(cache),
            "UV_HTTP_RETRIES": "0",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "0",
            "PIP_NO_CACHE_DIR": "1",
        }
        self._own = {**kept, **own, **(more or {})}

    @property
    def environ(self) -> Mapping[str, str]:
        return self._own
