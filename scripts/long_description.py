"""The README as an index shows it: without its pictures, which lie beside it and not on the index.

hatchling asks for it when it builds (`pyproject.toml`, `tool.hatch.metadata.hooks.custom`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A paragraph that begins with a picture of the checkout; what else is in it speaks of the picture.
PICTURE = re.compile(r"^!\[[^\]]*\]\(\.assets/[^)]+\)\n(?:.+\n)*\n?", re.MULTILINE)


class LongDescription(MetadataHookInterface):
    """Adds `readme` to the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": PICTURE.sub("", text)}
