"""uv and pip-tools give the same pins for the real TensorFlow from the real index."""

from __future__ import annotations

import sys
import time

import pytest

from envfix.model.plan import Resolution
from envfix.probe.interpreter import read_target
from envfix.resolve.pip_config import read_pip_config
from envfix.resolve.pip_tools import PipToolsResolver
from envfix.resolve.uv import UvResolver
from envfix.system.index import RealIndex
from envfix.system.outside import RealOutside

pytestmark = pytest.mark.live

REQUIREMENTS = ("tensorflow==2.20.0", "nvidia-cudnn-cu12==9.10.2.21")
CAPS = ("numpy<2.4",)


def pins(resolution: Resolution) -> dict[str, str]:
    return {package.name: package.version for package in resolution.packages}


def test_both_resolvers_pin_the_same_and_every_file_has_its_hash() -> None:
    outside = RealOutside()
    target = read_target(outside, sys.executable)
    config = read_pip_config(outside, target.prefix)
    found = []
    for resolver in (UvResolver(outside), PipToolsResolver(outside, RealIndex(config))):
        start = time.monotonic()
        found.append(resolver.resolve(REQUIREMENTS, CAPS, target, config, offline=False))
        print(f"{found[-1].resolver}: {time.monotonic() - start:.1f} s, {len(found[-1].packages)} packages")
    uv, pip_tools = found
    assert pins(uv) == pins(pip_tools)
    assert pins(uv)["tensorflow"] == "2.20.0"
    assert pins(uv)["nvidia-cudnn-cu12"] == "9.10.2.21"
    for ours, theirs in zip(uv.packages, pip_tools.packages, strict=True):
        # uv takes the files of one index; pip, and so the other lock, those of all that are configured.
        wheels = {file.sha256 for file in ours.wheels}
        assert wheels <= {file.sha256 for file in theirs.wheels}, ours.name
        assert wheels or ours.sdist == theirs.sdist, ours.name
