"""What releases must have in common for every rule to answer alike: patch releases mostly do."""

from __future__ import annotations

from collections.abc import Hashable

from envfix.matrix.rules.proof import proven_pythons
from envfix.model.matrix import Matrix, Release
from envfix.nvidia.pins import is_for


def alike(matrix: Matrix, release: Release) -> Hashable:
    """Equal for two releases of which the rules say the same on every machine, for every request.

    The version counts only through the rows of the matrix that name releases, and sizes, days and digests
    do not count.
    """
    wheels = tuple((one.os, one.arch, one.python, one.cuda, one.glibc) for one in release.wheels)
    built = (release.built_with_cuda, release.built_with_cudnn, release.hand_written, release.kernel_gen)
    specifiers = (
        *(row.tf for row in matrix.known_bad),
        *(row.tf for row in matrix.cudnn.preferred),
        *(row.tensorflow for row in matrix.companions),
    )
    named = tuple(is_for(specifier, release) for specifier in specifiers)
    return release.package, wheels, built, release.requires, release.and_cuda, proven_pythons(release), named
