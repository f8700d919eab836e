"""`requirements.envfix.txt`: the same pins and hashes for `pip install --require-hashes`."""

from __future__ import annotations

from envfix.model.plan import Lock, LockedPackage


def render_requirements(lock: Lock) -> str:
    """The requirements file, sorted by name; the same lock gives the same bytes."""
    floors = lock.floors
    header = (
        f"# Made by envfix for TensorFlow {lock.tensorflow} on Python {floors.python}, "
        f"{floors.os} {floors.arch}\n"
        "# Install with: pip install --no-deps --require-hashes -r requirements.envfix.txt\n"
    )
    packages = sorted(lock.resolution.packages, key=lambda package: package.name)
    return header + "".join(_pin(package) for package in packages)


def _pin(package: LockedPackage) -> str:
    files = [*package.wheels, *([package.sdist] if package.sdist else [])]
    hashes = sorted({file.sha256 for file in files})
    return (
        " \\\n    ".join([f"{package.name}=={package.version}", *(f"--hash=sha256:{one}" for one in hashes)])
        + "\n"
    )
