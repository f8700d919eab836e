"""Distributions that install the same import package, so that only one of them can be there."""

from __future__ import annotations

from collections.abc import Iterable

from envfix.model.target import Distribution

# What may hold TensorFlow with CUDA kernels, each with rows of its own in the matrix. The second is an empty
# name reservation up to 0.0.1rc1.
PACKAGES = ("tensorflow", "tensorflow-cuda13")
# Each of these writes the folder `tensorflow/`; whichever is installed last overwrites the other's files,
# and uninstalling either breaks both.
TENSORFLOWS = frozenset(
    {
        "tensorflow",
        "tensorflow-cpu",
        "tensorflow-cuda13",
        "tensorflow-gpu",
        "tensorflow-intel",
        "tensorflow-macos",
        "tensorflow-rocm",
        "tensorflow-aarch64",
        "tensorflow-cpu-aws",
        "tf-nightly",
        "tf-nightly-cpu",
        "tf-nightly-gpu",
        "intel-tensorflow",
    }
)


def package_of(name: str) -> str:
    """The package that a build belongs to: the releases of `tensorflow-cpu` are those of `tensorflow`."""
    return name if name in PACKAGES else PACKAGES[0]


def in_the_way(solution: Iterable[str], installed: Iterable[Distribution]) -> tuple[Distribution, ...]:
    """The installed distributions that must go before the packages named in `solution` are installed.

    Nothing is in the way of a solution without TensorFlow, nor what the solution itself holds (the
    Windows wheels of `tensorflow` depend on `tensorflow-intel`).
    """
    names = frozenset(solution)
    if not names & TENSORFLOWS:
        return ()
    return tuple(dist for dist in installed if dist.name in TENSORFLOWS and dist.name not in names)
