"""What a verification is judged against when it fails: the environment, the notebook, the GPUs' memory."""

from __future__ import annotations

from msgspec import Struct

from envfix.model.diagnosis import Finding
from envfix.model.target import Kernel, Target
from envfix.model.usage import GpuUsage


class Surroundings(Struct, frozen=True, kw_only=True):
    """`target` is the interpreter that was verified, `kernel` the notebook's, if envfix runs in one.

    `gpus` is what the GPUs were seen doing, `repair` the command line that puts the target right, empty where
    that has just been run. `without_gpu` says what gets a GPU here, most likely first, `finding` what the
    catalogue of failures makes of TensorFlow's own words.
    """

    target: Target | None = None
    kernel: Kernel | None = None
    gpus: tuple[GpuUsage, ...] = ()
    repair: str = "envfix install"
    without_gpu: tuple[str, ...] = ()
    finding: Finding | None = None
