"""envfix makes TensorFlow see and use the NVIDIA GPU, and proves it."""

from __future__ import annotations

__version__ = "0.1.0"
